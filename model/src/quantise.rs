//! Raw values to 8-bit codes, once per row: every tree then compares bytes.
//!
//! The code of a value is the number of cuts below it. The cuts are the forest's own thresholds, at most 255 a
//! column, so that `code > k` says exactly what `value > cut[k]` says.

use crate::baseline::{Profile, ordered};

/// Cuts a column may have.
pub(crate) const MAX_CUTS: usize = 255;

/// The cuts of one column, ascending: raw values, or surprisals if the column is categorical.
pub(crate) type Cuts = Vec<f32>;

/// Thins sorted cuts to [`MAX_CUTS`], evenly by rank.
pub(crate) fn thin(mut cuts: Cuts) -> Cuts {
    cuts.sort_unstable_by(f32::total_cmp);
    cuts.dedup();
    if cuts.len() <= MAX_CUTS {
        return cuts;
    }
    let last = cuts.len() - 1;
    (0..MAX_CUTS)
        .map(|i| cuts[(i * last + (MAX_CUTS - 1) / 2) / (MAX_CUTS - 1)])
        .collect()
}

/// Gives the codes of one column.
#[derive(Clone, Debug)]
pub(crate) struct Coder {
    /// Code of a missing value: the median's.
    missing: u8,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Ordered(Cuts),
    /// Sorted keys of the categories with their codes; the others have the rarest's.
    Category {
        known: Vec<(u32, u8)>,
        other: u8,
    },
}

impl Coder {
    /// A coder for a column of the baseline. `cuts` ascend strictly and are at most [`MAX_CUTS`].
    pub(crate) fn new(profile: &Profile, cuts: &[f32]) -> Self {
        let below = |place: f32| cuts.partition_point(|&cut| place > cut) as u8;
        let rule = match profile.transform {
            crate::Transform::Categorical => {
                let other = below(profile.position(f32::NAN));
                let known = profile
                    .categories
                    .iter()
                    .map(|c| (ordered(c.value), below(c.surprisal)));
                Rule::Category {
                    known: known.filter(|&(_, code)| code != other).collect(),
                    other,
                }
            }
            _ => Rule::Ordered(cuts.to_vec()),
        };
        let mut coder = Self { missing: 0, rule };
        let median = profile.median();
        if !median.is_nan() {
            coder.missing = coder.code(median);
        }
        coder
    }

    /// The code of a raw value.
    pub(crate) fn code(&self, value: f32) -> u8 {
        if value.is_nan() {
            return self.missing;
        }
        match &self.rule {
            Rule::Ordered(cuts) => cuts.partition_point(|&cut| value > cut) as u8,
            Rule::Category { known, other } => known
                .binary_search_by_key(&ordered(value), |&(key, _)| key)
                .map_or(*other, |at| known[at].1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rows, Transform};

    #[test]
    fn a_code_counts_the_cuts_below() {
        let rows = Rows {
            values: vec![1.0, 2.0, 3.0],
            columns: 1,
        };
        let profile = Profile::learn(&rows, &[0, 1, 2], 0, Transform::Linear);
        let coder = Coder::new(&profile, &[-1.5, 1.0, 2.5]);
        let codes = [
            f32::NEG_INFINITY,
            -1.5,
            0.0,
            1.0,
            1.1,
            9.0,
            f32::INFINITY,
            f32::NAN,
        ]
        .map(|v| coder.code(v));
        assert_eq!(codes, [0, 0, 1, 1, 2, 3, 3, 2]);
    }

    #[test]
    fn thinning_keeps_the_ends() {
        let cuts = thin((0..5000).rev().map(|i| i as f32).collect());
        assert_eq!(cuts.len(), MAX_CUTS);
        assert_eq!((cuts[0], cuts[MAX_CUTS - 1]), (0.0, 4999.0));
        assert!(cuts.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
