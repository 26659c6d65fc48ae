//! What an operator may choose about training.

use crate::groups::MOST_COLUMNS;
use serde::{Deserialize, Serialize};

/// Form of the trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// All nodes of a level test the same feature, each against its own threshold: a row's leaf is the
    /// pattern of at most eight comparisons, and its path length a look-up.
    LevelShared,
    /// Every node tests a feature of its own, as in the isolation-forest paper.
    Ordinary,
}

/// How a forest is grown and calibrated. Two trainings with equal settings on equal rows give equal bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Number of trees, 1 to 4096.
    pub trees: usize,
    /// Rows drawn (without replacement) for each tree, 2 to 65536; all rows if there are fewer.
    pub subsample: usize,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Form of the trees.
    pub shape: Shape,
    /// Share (0 to 1) of the splits that choose their feature in proportion to the range it spans in the node;
    /// the others choose uniformly among the features that vary there.
    pub range_share: f32,
    /// Share (0 to 1) of the trees that cut signed-log columns along their ranks instead of their logarithms, and in
    /// which each column but the categorical ones spans 1.
    pub rank_share: f32,
    /// Chance (0 to 1) of each column and tree to have cuts drawn also beyond all values seen: what makes a size never
    /// reached and a category never met odder than the oddest of the baseline.
    pub beyond: f32,
    /// Share (above 0, at most 0.5) of the baseline that lies above [`crate::Model::threshold`].
    pub contamination: f64,
    /// Threads to train with; 0 means as many as the machine has. The result does not depend on it.
    #[serde(skip)]
    pub threads: usize,
    /// Share (0 to 0.9) of the rows held out of training for calibration.
    pub holdout: f64,
    /// Weight (0 to 0.9) of an autoencoder beside the forest; 0 trains none.
    pub autoencoder: f32,
    /// Share (0 to 0.5) of the rows, those that the forest finds most anomalous, that the autoencoder does not learn
    /// from; 0 where the baseline is known to hold no attacks.
    pub trim: f32,
    /// Columns, at most 4, by name: rows alike in all of them are peers. Without all of these columns there are no groups.
    pub groups: Vec<String>,
    /// Weight (0 to 0.9) of how odd a row is among its peers, where there are enough; the rest is how odd it is among
    /// all rows. 0 forms no groups.
    pub peers: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trees: 100,
            subsample: 256,
            seed: 0,
            shape: Shape::LevelShared,
            range_share: 1.0,
            rank_share: 0.8,
            beyond: 1.0,
            contamination: 0.01,
            threads: 0,
            holdout: 0.2,
            autoencoder: 0.0,
            trim: 0.1,
            groups: Vec::new(),
            peers: 0.0,
        }
    }
}

impl Settings {
    /// The paper's forest: 100 trees of 256 rows, every feature that varies equally likely, no row held out. (In
    /// level-shared trees, as by default; ordinary ones, the paper's, rank alike: docs/models.md.)
    ///
    /// Fei Tony Liu, Kai Ming Ting, Zhi-Hua Zhou: Isolation Forest, ICDM 2008.
    pub fn classic() -> Self {
        Self {
            range_share: 0.0,
            rank_share: 0.0,
            beyond: 0.0,
            holdout: 0.0,
            ..Self::default()
        }
    }

    /// The setting that is out of its range, as a sentence.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if !(1..=4096).contains(&self.trees) {
            Some("trees must be 1 to 4096")
        } else if !(2..=65_536).contains(&self.subsample) {
            Some("subsample must be 2 to 65536")
        } else if !(0.0..=1.0).contains(&self.range_share) {
            Some("range_share must be 0 to 1")
        } else if !(0.0..=1.0).contains(&self.rank_share) {
            Some("rank_share must be 0 to 1")
        } else if !(0.0..=1.0).contains(&self.beyond) {
            Some("beyond must be 0 to 1")
        } else if !(self.contamination > 0.0 && self.contamination <= 0.5) {
            Some("contamination must be above 0 and at most 0.5")
        } else if !(0.0..=0.9).contains(&self.holdout) {
            Some("holdout must be 0 to 0.9")
        } else if !(0.0..=0.9).contains(&self.autoencoder) {
            Some("autoencoder must be 0 to 0.9")
        } else if !(0.0..=0.5).contains(&self.trim) {
            Some("trim must be 0 to 0.5")
        } else if !(0.0..=0.9).contains(&self.peers) {
            Some("peers must be 0 to 0.9")
        } else if self.groups.len() > MOST_COLUMNS {
            Some("groups must be at most 4 columns")
        } else {
            None
        }
    }
}
