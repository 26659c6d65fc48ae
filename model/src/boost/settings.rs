//! What may be chosen about boosting.

use serde::{Deserialize, Serialize};

/// How a classifier is grown and calibrated. Two trainings with equal settings on equal rows give equal bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostSettings {
    /// Most rounds, 1 to 4096.
    pub rounds: usize,
    /// Leaves of a tree, 2 to 256.
    pub leaves: usize,
    /// What each tree's output is multiplied with, above 0 to 1.
    pub shrinkage: f64,
    /// Added to the curvature of a leaf (L2 regularisation), 0 or above.
    pub l2: f64,
    /// Fewest rows in a leaf.
    pub leaf_rows: u32,
    /// Least curvature (about rows times uncertainty) in a leaf.
    pub leaf_weight: f64,
    /// Share of the rows that a round sees.
    pub row_share: f64,
    /// Share of the columns that a round sees.
    pub column_share: f64,
    /// Rounds without gain on held-out rows before it ends.
    pub patience: usize,
    /// Share (0 to 0.9) of the rows held out: half of them say when to stop, half calibrate.
    pub holdout: f64,
    /// Share of ordinary rows that lies above [`crate::Classifier::threshold`].
    pub contamination: f64,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Threads to train with; 0 means as many as the machine has. The result does not depend on it.
    #[serde(skip)]
    pub threads: usize,
}

impl Default for BoostSettings {
    fn default() -> Self {
        Self {
            rounds: 200,
            leaves: 31,
            shrinkage: 0.1,
            l2: 1.0,
            leaf_rows: 20,
            leaf_weight: 1e-3,
            row_share: 1.0,
            column_share: 1.0,
            patience: 20,
            holdout: 0.2,
            contamination: 0.01,
            seed: 0,
            threads: 0,
        }
    }
}

impl BoostSettings {
    /// The setting that is out of its range, as a sentence.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let share = |value: f64| value > 0.0 && value <= 1.0;
        if !(1..=4096).contains(&self.rounds) {
            Some("rounds must be 1 to 4096")
        } else if !(2..=256).contains(&self.leaves) {
            Some("leaves must be 2 to 256")
        } else if !share(self.shrinkage) || !share(self.row_share) || !share(self.column_share) {
            Some("shrinkage, row_share and column_share must be above 0 and at most 1")
        } else if !(self.l2 >= 0.0
            && self.l2.is_finite()
            && self.leaf_weight > 0.0
            && self.leaf_weight.is_finite())
        {
            Some("l2 must be 0 or above, leaf_weight above 0")
        } else if self.leaf_rows == 0 {
            Some("leaf_rows must be 1 or above")
        } else if !(0.0..=0.9).contains(&self.holdout) {
            Some("holdout must be 0 to 0.9")
        } else if !(self.contamination > 0.0 && self.contamination <= 0.5) {
            Some("contamination must be above 0 and at most 0.5")
        } else {
            None
        }
    }
}
