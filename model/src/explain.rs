//! Why a row scores as it does: how much each column shortens its path.

use crate::{Model, Scratch};

/// What one column has to do with a row's score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// The column.
    pub column: usize,
    /// Its share (above 0, at most 1) of what makes the row anomalous: see [`Model::explain`].
    pub weight: f32,
    /// The row's raw value.
    pub value: f32,
    /// Share of the baseline below the value, 0 to 1. Of a categorical column: share of baseline rows in more
    /// common categories.
    pub quantile: f32,
    /// 1 % quantile of the baseline.
    pub low: f32,
    /// Median of the baseline.
    pub median: f32,
    /// 99 % quantile of the baseline.
    pub high: f32,
}

impl Model {
    /// The columns that make a row anomalous, at most `top`, heaviest first.
    ///
    /// A column's weight is what it does to the row's expected path length, times how far out its value lies in the
    /// baseline; weights are given as shares of their sum over all columns.
    ///
    /// The first factor is the mean of two exact differences: of the row with this value put back to the baseline's
    /// median, and of the all-median row with only this value put in. The first alone overlooks columns that are
    /// anomalous together (each is enough without the other); the second alone overlooks what is odd only in
    /// company. They are the first and the last term of the column's Shapley value.
    ///
    /// The second factor is the surprisal of the value's tail. A forest knows no "farther": to it everything beyond
    /// the last cut is one place, and with dozens of columns the chance of the draw lifts middling values above a
    /// value outside all that was ever seen. People mean the latter when they ask why.
    ///
    /// # Panics
    /// If the row has not the model's width.
    pub fn explain(&self, row: &[f32], top: usize) -> Vec<Contribution> {
        let width = self.schema().len();
        assert_eq!(
            row.len(),
            width,
            "a row has as many values as the model has columns"
        );
        let median: Vec<f32> = self
            .profiles()
            .iter()
            .map(crate::baseline::Profile::median)
            .collect();
        // Row and all-median row first, then two variants for each column.
        let mut variants = Vec::with_capacity((2 * width + 2) * width);
        variants.extend_from_slice(row);
        variants.extend_from_slice(&median);
        for column in 0..width {
            for (base, value) in [(row, median[column]), (&median[..], row[column])] {
                variants.extend_from_slice(base);
                let at = variants.len() - width + column;
                variants[at] = value;
            }
        }
        let mut sums = vec![0.0; 2 * width + 2];
        self.sums(
            &mut Scratch::default(),
            &variants,
            2 * width + 2,
            |at, sum| sums[at] = f64::from(sum),
        );
        let gains: Vec<f64> = (0..width)
            .map(|column| {
                let removed = sums[2 + 2 * column] - sums[0];
                let added = sums[1] - sums[3 + 2 * column];
                f64::max(0.0, removed + added)
                    * f64::from(self.profiles()[column].oddity(row[column]))
            })
            .collect();
        let total: f64 = gains.iter().sum();
        let mut order: Vec<usize> = (0..width).filter(|&column| gains[column] > 0.0).collect();
        order.sort_by(|&a, &b| gains[b].total_cmp(&gains[a]).then(a.cmp(&b)));
        order.truncate(top);
        order
            .into_iter()
            .map(|column| {
                let profile = &self.profiles()[column];
                let (low, high) = profile.tails();
                Contribution {
                    column,
                    weight: (gains[column] / total) as f32,
                    value: row[column],
                    quantile: profile.quantile(row[column]),
                    low,
                    median: median[column],
                    high,
                }
            })
            .collect()
    }
}
