//! From rows to a model.

use crate::baseline::{self, Profile};
use crate::calibrate::{self, Calibration, CalibrationSource};
use crate::ensemble::{self, AutoencoderInfo, Ensemble};
use crate::exemplars::Exemplars;
use crate::forest::{Forest, TreeView, Trees};
use crate::grow::{Grown, grow};
use crate::quantise::{Cuts, Quantiser};
use crate::rng::{Purpose, Rng};
use crate::schema::hex;
use crate::score::{Scorer, Scratch};
use crate::walk::Walker;
use crate::{Rows, Schema, SchemaMismatch, Settings, parallel};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Most columns a model may have.
pub(crate) const MAX_COLUMNS: usize = 4096;

/// Why there is no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// A setting is out of its range.
    #[error("{0}")]
    Setting(&'static str),
    /// Rows and schema disagree about the width.
    #[error("rows have {rows} columns, the schema has {schema}")]
    Width {
        /// Columns of the rows.
        rows: usize,
        /// Columns of the schema.
        schema: usize,
    },
    /// No column, or more than 4096.
    #[error("a schema has 1 to {MAX_COLUMNS} columns, this one has {0}")]
    Columns(usize),
    /// Too few rows to isolate anything.
    #[error("training needs at least 2 rows besides those held out, there are {0}")]
    TooFewRows(usize),
    /// More rows than an index can count.
    #[error("training takes at most 2^32 - 1 rows")]
    TooManyRows,
}

/// What is known of a model besides its trees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// Program that trained it, with its version.
    pub created_by: String,
    /// Settings it was trained with.
    pub settings: Settings,
    /// Rows given.
    pub rows: u64,
    /// Rows held out of them.
    pub held_out: u64,
    /// SHA-256 of the rows given, in hexadecimal.
    pub data_digest: String,
    /// Rows each tree was grown from.
    pub rows_per_tree: u32,
    /// Columns that at least one tree tests.
    pub columns_used: usize,
    /// Rows the calibration scores come from.
    pub calibration: CalibrationSource,
    /// Number of calibration scores.
    pub calibration_rows: u32,
    /// The autoencoder beside the forest, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoencoder: Option<AutoencoderInfo>,
    /// Peer groups with a baseline of their own.
    pub peer_groups: usize,
}

/// Serial of the next model.
static SERIALS: AtomicU64 = AtomicU64::new(1);

/// A trained forest with its schema, baseline and calibration.
#[derive(Clone, Debug)]
pub struct Model {
    schema: Schema,
    info: Info,
    profiles: Vec<Profile>,
    cuts: Vec<Cuts>,
    forest: Forest,
    calibration: Calibration,
    exemplars: Exemplars,
    ensemble: Option<Ensemble>,
    // What follows is derived from what is above.
    threshold: f32,
    quantiser: Quantiser,
    /// Computed when first asked for.
    digest: OnceLock<String>,
    walker: Walker,
    serial: u64,
}

impl Model {
    /// Trains a model on baseline rows.
    ///
    /// # Errors
    /// [`TrainError`] if a setting is out of range, or there is nothing to learn from.
    pub fn train(rows: &Rows, schema: &Schema, settings: &Settings) -> Result<Self, TrainError> {
        if let Some(fault) = settings.fault() {
            return Err(TrainError::Setting(fault));
        }
        if rows.columns != schema.len() {
            return Err(TrainError::Width {
                rows: rows.columns,
                schema: schema.len(),
            });
        }
        if !(1..=MAX_COLUMNS).contains(&schema.len()) {
            return Err(TrainError::Columns(schema.len()));
        }
        if rows.len() >= u32::MAX as usize {
            return Err(TrainError::TooManyRows);
        }
        let threads = parallel::threads(settings.threads);
        let (chosen, held_out) = split(rows.len(), settings);
        if chosen.len() < 2 {
            return Err(TrainError::TooFewRows(rows.len()));
        }
        let profiles = baseline::learn(rows, &chosen, schema, threads);
        let Grown {
            trees,
            cuts,
            rows_per_tree,
        } = grow(rows, &chosen, &profiles, schema, settings);
        let columns_used = columns_used(&trees);
        let forest =
            Forest::new(trees, schema.len(), rows_per_tree).expect("grown trees are whole");
        let (source, judges) = if held_out.is_empty() {
            (CalibrationSource::Training, &chosen)
        } else {
            (CalibrationSource::HeldOut, &held_out)
        };
        let info = Info {
            created_by: concat!("anomaly-detect ", env!("CARGO_PKG_VERSION")).to_owned(),
            settings: settings.clone(),
            rows: rows.len() as u64,
            held_out: held_out.len() as u64,
            data_digest: digest(rows, threads),
            rows_per_tree,
            columns_used,
            calibration: source,
            calibration_rows: 0,
            autoencoder: None,
            peer_groups: 0,
        };
        // Any calibration will do until the scores it is to be made of are there.
        let blank = Calibration::fit(vec![0.5]);
        let none = Rows::with_columns(schema.len());
        let mut model = Self::assemble(schema.clone(), info, profiles, cuts, forest, blank, none);
        let step = judges.len().div_ceil(calibrate::MOST).max(1);
        let mut judges: Vec<u32> = judges.iter().copied().step_by(step).collect();
        if settings.autoencoder > 0.0 || settings.peers > 0.0 {
            let (members, whole) = ensemble::halves(&judges);
            let ensemble = model.learn_ensemble(rows, &chosen, &members, threads);
            model = model.with_ensemble(Some(ensemble));
            judges = whole;
        }
        let scores = model.calibration_scores(rows, &judges, threads);
        model.exemplars = Exemplars::pick(rows, &judges, &scores, &model.profiles);
        model.info.calibration_rows = scores.len() as u32;
        model.calibration = Calibration::fit(scores);
        model.threshold = model.calibration.threshold(settings.contamination);
        Ok(model)
    }

    /// Puts a model together from checked parts.
    pub(crate) fn assemble(
        schema: Schema,
        info: Info,
        profiles: Vec<Profile>,
        cuts: Vec<Cuts>,
        forest: Forest,
        calibration: Calibration,
        exemplars: Rows,
    ) -> Self {
        let exemplars = Exemplars::new(exemplars);
        let quantiser = Quantiser::new(&profiles, &cuts);
        let walker = Walker::new(&forest);
        let threshold = calibration.threshold(info.settings.contamination);
        Self {
            schema,
            info,
            profiles,
            cuts,
            forest,
            calibration,
            exemplars,
            ensemble: None,
            threshold,
            quantiser,
            digest: OnceLock::new(),
            walker,
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Puts an autoencoder or peer groups beside the forest.
    pub(crate) fn with_ensemble(mut self, ensemble: Option<Ensemble>) -> Self {
        let beside = ensemble.as_ref();
        self.info.autoencoder = beside.and_then(|ensemble| {
            let (autoencoder, _) = ensemble.autoencoder.as_ref()?;
            Some(AutoencoderInfo {
                sizes: autoencoder.sizes(),
            })
        });
        self.info.peer_groups = beside.map_or(0, |ensemble| {
            (ensemble.groups.as_ref()).map_or(0, |groups| groups.groups().len())
        });
        self.ensemble = ensemble;
        self
    }

    pub(crate) fn calibration_scores(
        &self,
        rows: &Rows,
        judges: &[u32],
        threads: usize,
    ) -> Vec<f32> {
        const CHUNK: usize = 4096;
        parallel::map(threads, judges.len().div_ceil(CHUNK), |chunk| {
            let judges = &judges[chunk * CHUNK..judges.len().min((chunk + 1) * CHUNK)];
            let values: Vec<f32> = judges
                .iter()
                .flat_map(|&row| rows.row(row as usize))
                .copied()
                .collect();
            let mut scores = vec![0.0; judges.len()];
            self.score_with(&mut Scratch::default(), &values, &mut scores);
            scores
        })
        .concat()
    }

    /// What the columns of its rows mean.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What else is known of it.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Whether rows of this schema may be scored.
    ///
    /// # Errors
    /// [`SchemaMismatch`] if they mean something else.
    pub fn accepts(&self, rows: &Schema) -> Result<(), SchemaMismatch> {
        self.schema.accepts(rows)
    }

    /// Score at and above which a row is anomalous: the least with a p-value of at most the contamination setting.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// The least score whose p-value is at most `p`; infinite if no score is that rare.
    pub fn threshold_for_p(&self, p: f64) -> f32 {
        self.calibration.threshold(p)
    }

    /// Share of baseline rows expected to score at least this high; above 0, at most 1.
    pub fn p_value(&self, score: f32) -> f64 {
        self.calibration.p_value(score)
    }

    /// A scorer with its own scratch memory.
    pub fn scorer(&self) -> Scorer<'_> {
        Scorer::new(self)
    }

    /// The trees in a readable form, for comparison with other implementations.
    pub fn trees(&self) -> Vec<TreeView> {
        (0..self.forest.len())
            .map(|tree| self.forest.view(tree, &self.cuts))
            .collect()
    }

    /// Resolution of path lengths: a row's expected path length is within half of this of the exact one.
    pub fn path_resolution(&self) -> f64 {
        1.0 / self.walker.steps()
    }

    /// Tells this model from every other of the process but its clones, so that a score can be remembered. Above 0, and
    /// no part of the artifact.
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn digest_once(&self) -> &OnceLock<String> {
        &self.digest
    }

    pub(crate) fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    pub(crate) fn cuts(&self) -> &[Cuts] {
        &self.cuts
    }

    pub(crate) fn forest(&self) -> &Forest {
        &self.forest
    }

    pub(crate) fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    pub(crate) fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }

    pub(crate) fn ensemble(&self) -> Option<&Ensemble> {
        self.ensemble.as_ref()
    }

    pub(crate) fn quantiser(&self) -> &Quantiser {
        &self.quantiser
    }

    pub(crate) fn walker(&self) -> &Walker {
        &self.walker
    }
}

/// Rows to train on and rows to calibrate on. Too few of the latter, and there are none.
fn split(rows: usize, settings: &Settings) -> (Vec<u32>, Vec<u32>) {
    let mut rng = Rng::new(settings.seed, Purpose::Holdout);
    let (held_out, chosen): (Vec<u32>, Vec<u32>) =
        (0..rows as u32).partition(|_| rng.unit() < settings.holdout);
    if held_out.len() < calibrate::FEWEST || chosen.len() < 2 {
        return ((0..rows as u32).collect(), Vec::new());
    }
    (chosen, held_out)
}

pub(crate) fn columns_used(trees: &Trees) -> usize {
    use crate::forest::{NEVER, Node};
    let mut used = std::collections::BTreeSet::new();
    match trees {
        Trees::LevelShared(trees) => {
            for tree in trees {
                for (level, &column) in tree.columns.iter().enumerate() {
                    let nodes = &tree.thresholds[(1 << level) - 1..(2 << level) - 1];
                    if nodes.iter().any(|&threshold| threshold != NEVER) {
                        used.insert(column);
                    }
                }
            }
        }
        Trees::Ordinary(trees) => {
            used.extend(trees.iter().flatten().filter_map(|node| match node {
                Node::Split { column, .. } => Some(*column),
                Node::Leaf { .. } => None,
            }));
        }
    }
    used.len()
}

/// SHA-256 over the digests of fixed-size pieces of the values, so that it can be computed by several threads.
fn digest(rows: &Rows, threads: usize) -> String {
    const PIECE: usize = 1 << 18;
    let pieces = parallel::map(threads, rows.values.len().div_ceil(PIECE), |piece| {
        let values = &rows.values[piece * PIECE..rows.values.len().min((piece + 1) * PIECE)];
        let mut hash = Sha256::new();
        let mut bytes = [0; 4096];
        for values in values.chunks(bytes.len() / 4) {
            for (to, value) in bytes.chunks_exact_mut(4).zip(values) {
                to.copy_from_slice(&value.to_le_bytes());
            }
            hash.update(&bytes[..values.len() * 4]);
        }
        hash.finalize()
    });
    let mut hash = Sha256::new();
    hash.update((rows.columns as u64).to_le_bytes());
    hash.update((rows.values.len() as u64).to_le_bytes());
    for piece in pieces {
        hash.update(piece);
    }
    hex(&hash.finalize())
}
