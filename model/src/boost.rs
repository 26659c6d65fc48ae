//! Gradient boosting for those who have labels: additive trees on 8-bit codes, grown best leaf first.
//!
//! Jerome Friedman: Greedy function approximation, Annals of Statistics 2001; the second-order gain is that of Tianqi
//! Chen and Carlos Guestrin: XGBoost, KDD 2016; histograms and growing by the best leaf are those of Guolin Ke et al.:
//! LightGBM, NeurIPS 2017. Gradients are summed as integers, so sums do not depend on the order of rows or the number
//! of threads, and the histogram of a child is exactly that of its parent less its sibling's.
//!
//! Class 0 is ordinary traffic. The score of a row is the probability that it is any other class, so it is read like
//! the forest's: higher is worse, with a p-value against held-out ordinary rows and a threshold from it.

use crate::calibrate::{Calibration, CalibrationSource};
use crate::{Rows, Schema, SchemaMismatch, parallel};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

mod bins;
mod grow;
mod histogram;
mod settings;
mod split;
mod store;
mod temper;
mod train;
mod tree;

pub use settings::BoostSettings;
pub use temper::Sureness;

use bins::Bins;
use tree::Tree;

/// Most classes told apart.
pub(crate) const MAX_CLASSES: usize = 256;

/// Why there is no classifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoostError {
    /// A setting is out of its range.
    #[error("{0}")]
    Setting(&'static str),
    /// Rows, schema and classes do not fit each other.
    #[error("rows have {rows} columns and {classes} labels, the schema has {schema} columns")]
    Shape {
        /// Columns of the rows.
        rows: usize,
        /// Columns of the schema.
        schema: usize,
        /// Labels given, one for each row.
        classes: usize,
    },
    /// Labels name fewer than two classes, or more than 256, or one beyond the names.
    #[error(
        "labels must name ordinary rows and 1 to 255 kinds of attack, with at least 2 rows of each side; here are {0}"
    )]
    Classes(String),
    /// More rows than an index can count.
    #[error("training takes at most 2^31 rows")]
    TooManyRows,
}

/// What is known of a classifier besides its trees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostInfo {
    /// Program that trained it, with its version.
    pub created_by: String,
    /// Settings it was trained with.
    pub settings: BoostSettings,
    /// Names of the classes; the first is ordinary traffic.
    pub classes: Vec<String>,
    /// Rows of each class that were given.
    pub class_rows: Vec<u64>,
    /// Words that stand for the numbers of columns that were text, by column; empty for columns of numbers.
    pub words: Vec<Vec<String>>,
    /// Rows held out: one half says when to stop, the other calibrates.
    pub held_out: u64,
    /// Rounds kept; each adds a tree for every class (one in all, if there are two).
    pub rounds: usize,
    /// Mean logarithmic loss of the held-out half after these rounds; absent if nothing was held out.
    pub held_out_loss: Option<f64>,
    /// What makes probabilities what they say.
    pub sureness: Sureness,
    /// Share of the whole gain that each column brought, in order of the columns.
    pub importance: Vec<f64>,
    /// Rows the calibration scores come from.
    pub calibration: CalibrationSource,
}

/// Rows with what they are.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// The rows.
    pub rows: &'a Rows,
    /// Class of each row, an index into `names`; 0 is ordinary.
    pub classes: &'a [u32],
    /// Names of the classes.
    pub names: &'a [String],
    /// Words behind the numbers of text columns; may be empty, else one list a column.
    pub words: &'a [Vec<String>],
}

/// Boosted trees with their schema, classes and calibration.
#[derive(Clone, Debug)]
pub struct Classifier {
    schema: Schema,
    info: BoostInfo,
    bins: Vec<Bins>,
    /// Logits before any tree, by output.
    base: Vec<f64>,
    /// By round, and within a round by output.
    trees: Vec<Tree>,
    calibration: Calibration,
    threshold: f32,
    digest: OnceLock<String>,
}

impl Classifier {
    /// Puts a classifier together from checked parts.
    fn assemble(
        schema: Schema,
        info: BoostInfo,
        bins: Vec<Bins>,
        base: Vec<f64>,
        trees: Vec<Tree>,
        calibration: Calibration,
    ) -> Self {
        let threshold = calibration.threshold(info.settings.contamination);
        Self {
            schema,
            info,
            bins,
            base,
            trees,
            calibration,
            threshold,
            digest: OnceLock::new(),
        }
    }

    fn all_logits(&self, rows: &Rows, which: &[u32], threads: usize) -> Vec<f64> {
        const CHUNK: usize = 4096;
        parallel::map(threads, which.len().div_ceil(CHUNK), |chunk| {
            let which = &which[chunk * CHUNK..which.len().min((chunk + 1) * CHUNK)];
            let values: Vec<f32> = which
                .iter()
                .flat_map(|&row| rows.row(row as usize))
                .copied()
                .collect();
            self.logits(&values)
        })
        .concat()
    }

    /// Logits of rows in raw units, row by row.
    fn logits(&self, values: &[f32]) -> Vec<f64> {
        /// Rows whose codes stay in the first-level cache while the trees pass over them.
        const BLOCK: usize = 64;
        let (width, outputs) = (self.schema.len(), self.base.len());
        let mut out = self.base.repeat(values.len() / width);
        let mut codes = vec![0; BLOCK * width];
        for (values, out) in values
            .chunks(BLOCK * width)
            .zip(out.chunks_mut(BLOCK * outputs))
        {
            for (codes, values) in codes
                .chunks_exact_mut(width)
                .zip(values.chunks_exact(width))
            {
                for ((code, bins), value) in codes.iter_mut().zip(&self.bins).zip(values) {
                    *code = bins.code(*value);
                }
            }
            for (at, tree) in self.trees.iter().enumerate() {
                let output = at % outputs;
                for (codes, out) in codes.chunks_exact(width).zip(out.chunks_exact_mut(outputs)) {
                    out[output] += f64::from(tree.value(|column| codes[column]));
                }
            }
        }
        out
    }

    /// Probability of any class but the first, from logits.
    fn attack(&self, logits: &[f64]) -> f32 {
        temper::attack(logits, self.info.sureness) as f32
    }

    /// Probability of an attack of each row, 0 to 1.
    ///
    /// # Panics
    /// If `values` are not rows of the schema's width, or `scores` has another length.
    pub fn score(&self, values: &[f32], scores: &mut [f32]) {
        assert_eq!(values.len(), scores.len() * self.schema.len());
        for (score, logits) in scores
            .iter_mut()
            .zip(self.logits(values).chunks_exact(self.base.len()))
        {
            *score = self.attack(logits);
        }
    }

    /// Probability of each class, row by row, in the order of [`BoostInfo::classes`]; they sum to 1.
    ///
    /// # Panics
    /// If `values` are not rows of the schema's width.
    pub fn probabilities(&self, values: &[f32]) -> Vec<f32> {
        assert_eq!(values.len() % self.schema.len(), 0);
        let mut shares = vec![0.0; self.info.classes.len()];
        let mut out = Vec::with_capacity(values.len() / self.schema.len() * shares.len());
        for logits in self.logits(values).chunks_exact(self.base.len()) {
            temper::shares(logits, self.info.sureness, &mut shares);
            out.extend(shares.iter().map(|share| *share as f32));
        }
        out
    }

    /// How far each column moved a row from what is usual towards its most probable attack, in units of the logit
    /// (natural logarithm of the odds); in order of the columns, positive is towards the attack.
    ///
    /// A tree's output is split along the row's path: each step is the change of the node's mean (Ando Saabas, 2014).
    pub fn contributions(&self, row: &[f32]) -> Vec<f32> {
        let codes: Vec<u8> = self
            .bins
            .iter()
            .zip(row)
            .map(|(bins, value)| bins.code(*value))
            .collect();
        let outputs = self.base.len();
        let logits = self.logits(row);
        let worst = (1..outputs)
            .max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)))
            .unwrap_or(0);
        let mut moved = vec![0.0_f32; self.schema.len()];
        for (at, tree) in self.trees.iter().enumerate() {
            let sign = match at % outputs {
                output if output == worst => 1.0,
                0 => -1.0,
                _ => continue,
            };
            tree.walk(|column| codes[column], &mut |column, change| {
                moved[column] += sign * change;
            });
        }
        moved
    }

    /// What the columns of its rows mean.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What else is known of it.
    pub fn info(&self) -> &BoostInfo {
        &self.info
    }

    /// Trees in all.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// Whether rows of this schema may be scored.
    ///
    /// # Errors
    /// [`SchemaMismatch`] if they mean something else.
    pub fn accepts(&self, rows: &Schema) -> Result<(), SchemaMismatch> {
        self.schema.accepts(rows)
    }

    /// Score at and above which a row is alarmed: the least with a p-value of at most the contamination setting.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Share of ordinary rows expected to score at least this high; above 0, at most 1.
    pub fn p_value(&self, score: f32) -> f64 {
        self.calibration.p_value(score)
    }
}

/// Logits a row has: the odds are enough for two classes.
fn outputs(classes: usize) -> usize {
    if classes == 2 { 1 } else { classes }
}

/// Fixed point of gradients: the greatest, 1, is this.
pub(crate) const ONE: f64 = (1 << 30) as f64;

#[cfg(test)]
mod tests;
