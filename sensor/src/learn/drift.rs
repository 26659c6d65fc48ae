//! How far the traffic has moved from the baseline of the model in use.

use model::{Bins, Model};

use super::reservoir::Values;
use crate::features::MODEL_COUNT;

/// Rows after which the older half of what was counted is let go.
const WINDOW: f64 = 8192.0;
/// Steps of the distribution of p-values.
const STEPS: usize = 50;

/// Counts of recent rows, against one model.
#[derive(Debug)]
pub struct Drift {
    bins: Vec<Bins>,
    counts: Vec<Vec<f64>>,
    p_values: [f64; STEPS],
    rows: f64,
}

impl Drift {
    /// Nothing seen yet of the traffic that this model scores.
    pub fn new(model: &Model) -> Self {
        let bins: Vec<Bins> = (0..MODEL_COUNT).map(|column| model.bins(column)).collect();
        Self {
            counts: bins
                .iter()
                .map(|bins| vec![0.0; bins.expected().len()])
                .collect(),
            bins,
            p_values: [0.0; STEPS],
            rows: 0.0,
        }
    }

    /// Counts a row with its p-value.
    pub fn see(&mut self, values: &Values, p_value: f64) {
        for ((bins, counts), value) in self.bins.iter().zip(&mut self.counts).zip(values) {
            if let Some(at) = bins.place(*value) {
                counts[at] += 1.0;
            }
        }
        self.p_values[((p_value * STEPS as f64) as usize).min(STEPS - 1)] += 1.0;
        self.rows += 1.0;
        if self.rows >= WINDOW {
            self.rows /= 2.0;
            let all = self.counts.iter_mut().flatten().chain(&mut self.p_values);
            for count in all {
                *count /= 2.0;
            }
        }
    }

    /// Rows that count.
    pub const fn rows(&self) -> f64 {
        self.rows
    }

    /// Population stability index of a column of the model.
    pub fn index(&self, column: usize) -> f64 {
        self.bins[column].stability_index(&self.counts[column])
    }

    /// Share of the columns that have become another population (index above 0.25).
    pub fn moved(&self) -> f64 {
        let moved = (0..MODEL_COUNT).filter(|column| self.index(*column) > 0.25);
        moved.count() as f64 / MODEL_COUNT as f64
    }

    /// Distance of scores from those of the baseline: the greatest difference between the distribution of p-values and
    /// the uniform one they have without drift (Kolmogorov and Smirnov), 0 to 1.
    pub fn distance(&self) -> f64 {
        let (mut below, mut most) = (0.0, 0.0_f64);
        for (step, count) in self.p_values.iter().enumerate() {
            below += count;
            let uniform = (step + 1) as f64 / STEPS as f64;
            most = most.max((below / self.rows.max(1.0) - uniform).abs());
        }
        if self.rows > 0.0 { most } else { 0.0 }
    }
}
