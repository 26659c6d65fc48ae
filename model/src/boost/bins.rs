//! Values to 8-bit codes. 0 is missing, so that every split can say to which side what is missing goes.

use crate::baseline::ordered;
use crate::{Rows, Transform};

/// Code of a missing value.
pub(super) const MISSING: u8 = 0;
/// Code of the names that have none of their own: rare ones, and those never seen.
pub(super) const OTHER: u8 = 255;
/// Values, or names, told apart; codes 1 to 254.
pub(super) const MOST: usize = 254;

/// How the values of one column become codes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bins {
    /// Ascending cuts; the code is 1 and the number of cuts below the value.
    Ordered(Vec<f32>),
    /// The most frequent names, ascending in the total order of their bits; the code is the place, counted from 1.
    Named(Vec<f32>),
}

impl Bins {
    /// Learns from the rows that trees will be grown from.
    pub(super) fn learn(rows: &Rows, chosen: &[u32], column: usize, transform: Transform) -> Self {
        let mut values: Vec<f32> = chosen
            .iter()
            .map(|&row| rows.at(row as usize, column))
            .filter(|value| !value.is_nan())
            // 0 and -0 are one value.
            .map(|value| value + 0.0)
            .collect();
        values.sort_unstable_by_key(|value| ordered(*value));
        let mut counted: Vec<(f32, usize)> = Vec::new();
        for value in values {
            match counted.last_mut() {
                Some((last, count)) if *last == value => *count += 1,
                _ => counted.push((value, 1)),
            }
        }
        match transform {
            Transform::Categorical => {
                counted.sort_by_key(|&(value, count)| (std::cmp::Reverse(count), ordered(value)));
                let mut names: Vec<f32> = counted
                    .into_iter()
                    .take(MOST)
                    .map(|(value, _)| value)
                    .collect();
                names.sort_unstable_by_key(|value| ordered(*value));
                Self::Named(names)
            }
            Transform::Linear | Transform::SignedLog | Transform::Time => {
                Self::Ordered(cuts(&counted))
            }
        }
    }

    /// The code of a raw value.
    #[inline]
    pub(super) fn code(&self, value: f32) -> u8 {
        if value.is_nan() {
            return MISSING;
        }
        match self {
            Self::Ordered(cuts) => cuts.partition_point(|&cut| cut < value) as u8 + 1,
            Self::Named(names) => names
                .binary_search_by_key(&ordered(value + 0.0), |name| ordered(*name))
                .map_or(OTHER, |at| at as u8 + 1),
        }
    }

    /// Codes there may be, 0 included.
    pub(super) fn codes(&self) -> usize {
        match self {
            Self::Ordered(cuts) => cuts.len() + 2,
            Self::Named(_) => 256,
        }
    }
}

/// Cuts half-way between neighbours, so that codes have about equally many rows; a value with many rows has a code
/// to itself.
fn cuts(counted: &[(f32, usize)]) -> Vec<f32> {
    let mut left: usize = counted.iter().map(|(_, count)| count).sum();
    let mut cuts = Vec::new();
    let mut inside = 0;
    for (at, pair) in counted.windows(2).enumerate() {
        let [(value, count), (next, next_count)] = [pair[0], pair[1]];
        inside += count;
        let room = MOST - cuts.len();
        let share = left.div_ceil(room).max(1);
        let few = counted.len() - at <= room;
        if room > 1
            && (few || inside >= share || inside + next_count > share && next_count >= share)
        {
            let middle = value + (next - value) / 2.0;
            cuts.push(if middle.is_finite() && middle < next {
                middle.max(value)
            } else {
                value
            });
            left -= inside;
            inside = 0;
        }
    }
    cuts.retain(|cut| cut.is_finite());
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn learned(values: Vec<f32>, transform: Transform) -> Bins {
        let chosen: Vec<u32> = (0..values.len() as u32).collect();
        Bins::learn(&Rows { columns: 1, values }, &chosen, 0, transform)
    }

    proptest! {
        #[test]
        fn codes_keep_the_order(values in prop::collection::vec(prop_oneof![-1e9_f32..1e9, Just(0.0), Just(f32::NAN), Just(f32::INFINITY)], 1..900)) {
            let bins = learned(values.clone(), Transform::Linear);
            let distinct = values.iter().filter(|value| !value.is_nan()).map(|value| ordered(value + 0.0)).collect::<std::collections::BTreeSet<_>>();
            for a in values.iter().take(60) {
                prop_assert_eq!(bins.code(*a) == MISSING, a.is_nan());
                for b in values.iter().take(60) {
                    if a < b {
                        prop_assert!(bins.code(*a) <= bins.code(*b));
                        if distinct.len() <= MOST && b.is_finite() {
                            prop_assert!(bins.code(*a) < bins.code(*b), "{} {}", a, b);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn frequent_names_have_codes_and_others_share_one() {
        let values: Vec<f32> = (0..400)
            .flat_map(|name| vec![name as f32; if name < 50 { 3 } else { 1 }])
            .collect();
        let bins = learned(values, Transform::Categorical);
        let codes: std::collections::BTreeSet<u8> =
            (0..50).map(|name| bins.code(name as f32)).collect();
        assert_eq!(codes.len(), 50);
        assert!(!codes.contains(&OTHER));
        assert_eq!(
            (bins.code(399.0), bins.code(1e6), bins.code(f32::NAN)),
            (OTHER, OTHER, MISSING)
        );
    }
}
