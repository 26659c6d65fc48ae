//! The baseline of a column in a few bins, to compare later traffic or another baseline with.

use crate::maths::ln;
use crate::{Model, Transform, baseline::Profile};

/// Bins of a column, at most: tenths of the baseline, or the nine most frequent names and the others.
pub const BINS: usize = 10;
/// Share that an empty bin counts as: the index stays finite, and a bin that nobody is in is no proof.
const LEAST: f64 = 1e-3;

/// Bins of one column with the share of the baseline in each.
#[derive(Clone, Debug, PartialEq)]
pub struct Bins {
    edges: Vec<f32>,
    names: Vec<f32>,
    expected: Vec<f64>,
}

impl Bins {
    fn of(profile: &Profile) -> Self {
        if profile.transform == Transform::Categorical {
            let total: f64 = profile.categories.iter().map(|c| f64::from(c.count)).sum();
            let mut often: Vec<_> = profile.categories.iter().collect();
            often.sort_by(|a, b| b.count.cmp(&a.count).then(a.value.total_cmp(&b.value)));
            often.truncate(BINS - 1);
            let mut expected: Vec<f64> = often.iter().map(|c| f64::from(c.count) / total).collect();
            expected.push((1.0 - expected.iter().sum::<f64>()).max(0.0));
            return Self {
                edges: Vec::new(),
                names: often.iter().map(|c| c.value).collect(),
                expected,
            };
        }
        let knots = &profile.knots;
        let last = knots.len() - 1;
        let mut edges: Vec<f32> = (1..BINS).map(|tenth| knots[tenth * last / BINS]).collect();
        edges.retain(|edge| !edge.is_nan());
        edges.dedup();
        let mut bins = Self {
            expected: vec![0.0; edges.len() + 1],
            edges,
            names: Vec::new(),
        };
        for knot in knots {
            if let Some(at) = bins.place(*knot) {
                bins.expected[at] += 1.0 / knots.len() as f64;
            }
        }
        bins
    }

    /// The bin of a value; nothing for a missing one.
    pub fn place(&self, value: f32) -> Option<usize> {
        if value.is_nan() {
            None
        } else if self.edges.is_empty() {
            let at = self.names.iter().position(|name| *name == value);
            Some(at.unwrap_or(self.expected.len() - 1))
        } else {
            Some(self.edges.partition_point(|edge| *edge < value))
        }
    }

    /// Share of the baseline in each bin.
    pub fn expected(&self) -> &[f64] {
        &self.expected
    }

    /// Population stability index of values counted by bin against the baseline: below 0.1 the same, above 0.25 another
    /// population, as the rule of thumb goes. 0 where nothing was counted.
    pub fn stability_index(&self, counts: &[f64]) -> f64 {
        let total: f64 = counts.iter().sum();
        if total <= 0.0 {
            return 0.0;
        }
        self.expected
            .iter()
            .zip(counts)
            .map(|(expected, count)| {
                let (p, q) = ((count / total).max(LEAST), expected.max(LEAST));
                (p - q) * ln(p / q)
            })
            .sum()
    }
}

impl Model {
    /// The baseline of a column in a few bins.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn bins(&self, column: usize) -> Bins {
        Bins::of(&self.profiles()[column])
    }

    /// Value of the baseline at a quantile from 0 to 1, raw unit; NaN if every value was missing.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn quantile(&self, column: usize, quantile: f64) -> f32 {
        let knots = &self.profiles()[column].knots;
        let last = (knots.len() - 1) as f64;
        knots[(quantile.clamp(0.0, 1.0) * last).round() as usize]
    }

    /// Population stability index of another model's baseline against this one's: how far a column moved. Of names only
    /// those are compared that both know.
    ///
    /// # Panics
    /// If there is no such column in either.
    pub fn shift(&self, other: &Self, column: usize) -> f64 {
        let bins = self.bins(column);
        let mut counts = vec![0.0; bins.expected.len()];
        let profile = &other.profiles()[column];
        if profile.transform == Transform::Categorical {
            for category in &profile.categories {
                if let Some(at) = bins.place(category.value) {
                    counts[at] += f64::from(category.count);
                }
            }
        } else {
            for knot in &profile.knots {
                if let Some(at) = bins.place(*knot) {
                    counts[at] += 1.0;
                }
            }
        }
        bins.stability_index(&counts)
    }
}
