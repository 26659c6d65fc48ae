//! A few ordinary rows of the baseline, kept with the model: what a flow is compared with when people ask what it
//! should have looked like.

use crate::baseline::Profile;
use crate::{Rows, Transform};
use std::sync::OnceLock;

/// Rows kept.
pub(crate) const MOST: usize = 128;
/// Rows they are picked from.
const CANDIDATES: usize = 1024;
/// Share of the calibration rows, the most ordinary ones, that they are picked from.
const ORDINARY: f64 = 0.75;

/// Ordinary rows, as they were.
#[derive(Clone, Debug)]
pub(crate) struct Exemplars {
    rows: Rows,
    /// Where each of their values lies, for comparing: see [`ranks`]. Worked out when they are first compared, since
    /// loading a model to score does not.
    ranks: OnceLock<Vec<f32>>,
}

impl Exemplars {
    /// From rows that were read or picked.
    pub(crate) fn new(rows: Rows) -> Self {
        Self {
            rows,
            ranks: OnceLock::new(),
        }
    }

    /// Picks from the rows at `judges`, whose scores these are, rows that lie far from each other (farthest first,
    /// Gonzalez 1985), so that every kind of ordinary traffic has one near.
    pub(crate) fn pick(rows: &Rows, judges: &[u32], scores: &[f32], profiles: &[Profile]) -> Self {
        let mut order: Vec<usize> = (0..judges.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
        order.truncate(((judges.len() as f64 * ORDINARY) as usize).max(1));
        let step = order.len().div_ceil(CANDIDATES).max(1);
        let mut table = Rows::with_columns(rows.columns);
        for &at in order.iter().step_by(step) {
            table.push(rows.row(judges[at] as usize));
        }
        let all = Self::new(table);
        let mut kept = Rows::with_columns(rows.columns);
        let mut nearest = vec![f32::INFINITY; all.rows.len()];
        // The most ordinary is the first of the order, and the first kept.
        let mut next = 0;
        while kept.len() < MOST && nearest[next] > 0.0 {
            kept.push(all.rows.row(next));
            for (at, near) in nearest.iter_mut().enumerate() {
                *near = near.min(distance(
                    all.ranks_of(at, profiles),
                    all.ranks_of(next, profiles),
                    profiles,
                ));
            }
            next = (0..nearest.len())
                .rev()
                .max_by(|&a, &b| nearest[a].total_cmp(&nearest[b]))
                .unwrap_or(0);
        }
        Self::new(kept)
    }

    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The nearest `count` to a row, nearest first, with their distances.
    pub(crate) fn nearest(
        &self,
        row: &[f32],
        count: usize,
        profiles: &[Profile],
    ) -> Vec<(usize, f32)> {
        let place: Vec<f32> = ranks(row, profiles).collect();
        let mut all: Vec<(usize, f32)> = (0..self.rows.len())
            .map(|at| (at, distance(&place, self.ranks_of(at, profiles), profiles)))
            .collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        all.truncate(count);
        all
    }

    fn ranks_of(&self, at: usize, profiles: &[Profile]) -> &[f32] {
        let all = || {
            let rows = self.rows.iter();
            rows.flat_map(|row| ranks(row, profiles)).collect()
        };
        &self.ranks.get_or_init(all)[at * self.rows.columns..][..self.rows.columns]
    }
}

/// Where the values of a row lie in the baseline: shares below, or of a categorical column the value itself.
fn ranks<'a>(row: &'a [f32], profiles: &'a [Profile]) -> impl Iterator<Item = f32> + 'a {
    row.iter().zip(profiles).map(|(&value, profile)| {
        let value = if value.is_nan() {
            profile.median()
        } else {
            value
        };
        match profile.transform {
            Transform::Categorical => value + 0.0,
            _ => profile.quantile(value),
        }
    })
}

/// Mean over the columns of how far apart two rows lie, 0 to 1.
fn distance(one: &[f32], other: &[f32], profiles: &[Profile]) -> f32 {
    let sum: f32 = one
        .iter()
        .zip(other)
        .zip(profiles)
        .map(|((&a, &b), profile)| match profile.transform {
            Transform::Categorical if a == b => 0.0,
            Transform::Categorical => 1.0,
            _ if a.is_nan() || b.is_nan() => 0.0,
            _ => (a - b).abs(),
        })
        .sum();
    sum / profiles.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_row_has_one_near() {
        let mut rows = Rows::with_columns(2);
        for i in 0..600 {
            let port = [80.0, 443.0, 53.0][i % 3];
            rows.push(&[port, port * 10.0 + (i % 7) as f32]);
        }
        let all: Vec<u32> = (0..600).collect();
        let profiles = [
            Profile::learn(&rows, &all, 0, Transform::Categorical),
            Profile::learn(&rows, &all, 1, Transform::SignedLog),
        ];
        let exemplars = Exemplars::pick(&rows, &all, &vec![0.4; 600], &profiles);
        assert!((3..=MOST).contains(&exemplars.rows().len()));
        for row in &rows {
            let (at, distance) = exemplars.nearest(row, 1, &profiles)[0];
            assert_eq!(exemplars.rows().row(at)[0], row[0]);
            assert!(distance < 0.05, "{row:?}: {distance}");
        }
    }
}
