//! Forests of several boxes as one: their trees together, over what is usual on all of them.
//!
//! A tree of an isolation forest is grown by itself, so a forest of the trees of several is the forest of a learner that
//! drew each subsample from one of the boxes (federated forests are this; path lengths average). Trees speak of cuts
//! by number: the merged model has the cuts of all, and where that are more than a code can count, each cut moves to
//! the nearest that is kept. Quantiles and categories are those of the mixture, each model counting by the rows it learned from.
//!
//! What cannot be merged is calibration: scores of the merged forest on the boxes' traffic are not known. Until
//! [`Model::recalibrate`] is given rows there is a stand-in, the mixture of the calibrations.

use crate::baseline::{INTERVALS, MAX_CATEGORIES, Profile, ordered, unordered};
use crate::calibrate::{self, Calibration, CalibrationSource};
use crate::exemplars::{self, Exemplars};
use crate::forest::{Forest, LevelTree, NEVER, Node, Trees};
use crate::quantise::{Cuts, thin};
use crate::schema::hex;
use crate::train::{Info, columns_used};
use crate::{Model, Rows, SchemaMismatch, TrainError, Transform, parallel};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Scores that stand for the calibrations of all.
const STAND_IN: f64 = 20_000.0;

/// Why models cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// One is no several.
    #[error("there is nothing to merge: at least two models are needed")]
    Alone,
    /// The same model twice would only count more.
    #[error("model {0} is given twice")]
    Twice(usize),
    /// They speak of other features.
    #[error("model {place} has another schema than the first: {what}")]
    Schema {
        /// Which, from 1.
        place: usize,
        /// The first difference.
        what: SchemaMismatch,
    },
    /// Trees of another form.
    #[error("model {0} has trees of another shape than the first")]
    Shape(usize),
    /// Path lengths in trees of fewer rows mean something else.
    #[error("model {place} has trees of {rows} rows, the first of {first}")]
    RowsPerTree {
        /// Which, from 1.
        place: usize,
        /// Rows of its trees.
        rows: u32,
        /// Rows of those of the first.
        first: u32,
    },
    /// Only trees add up.
    #[error("model {0} has an autoencoder or peer groups, and only forests can be merged")]
    NotAlone(usize),
    /// More trees than a model may have.
    #[error("together they have {0} trees, and 4096 is the most")]
    Trees(usize),
}

impl Model {
    /// One model of the trees of several, for the same schema. The order in which they are given does not matter.
    ///
    /// # Errors
    /// [`MergeError`]: what does not fit together.
    pub fn merge(models: &[&Self]) -> Result<Self, MergeError> {
        let [first, others @ ..] = models else {
            return Err(MergeError::Alone);
        };
        if others.is_empty() {
            return Err(MergeError::Alone);
        }
        check(first, models)?;
        let mut models = models.to_vec();
        models.sort_by_key(|model| model.digest());
        let trees: usize = models.iter().map(|model| model.forest().len()).sum();
        if trees > 4096 {
            return Err(MergeError::Trees(trees));
        }
        let columns = first.schema().len();
        let profiles: Vec<Profile> = (0..columns).map(|column| mix(&models, column)).collect();
        let cuts: Vec<Cuts> = (0..columns)
            .map(|column| {
                thin(
                    models
                        .iter()
                        .flat_map(|m| m.cuts()[column].clone())
                        .collect(),
                )
            })
            .collect();
        let all = together(&models, &cuts);
        let used = columns_used(&all);
        let rows_per_tree = first.forest().rows_per_tree();
        let forest = Forest::new(all, columns, rows_per_tree).expect("trees of sound forests");
        let calibration = stand_in(&models);
        let total = |of: fn(&Info) -> u64| models.iter().map(|model| of(model.info())).sum();
        let least = |a: f64, b: &Self| a.min(b.info().settings.contamination);
        let mut hash = Sha256::new();
        for model in &models {
            hash.update(model.info().data_digest.as_bytes());
        }
        let mut settings = models[0].info().settings.clone();
        settings.trees = trees;
        settings.contamination = models.iter().fold(0.5, |a, b| least(a, b));
        let info = Info {
            created_by: concat!("anomaly-detect ", env!("CARGO_PKG_VERSION")).to_owned(),
            settings,
            rows: total(|info| info.rows),
            held_out: total(|info| info.held_out),
            data_digest: hex(&hash.finalize()),
            rows_per_tree,
            columns_used: used,
            calibration: CalibrationSource::Merged,
            calibration_rows: calibration.rows(),
            autoencoder: None,
            peer_groups: 0,
        };
        let examples = examples(&models);
        let schema = first.schema().clone();
        Ok(Self::assemble(
            schema,
            info,
            profiles,
            cuts,
            forest,
            calibration,
            examples,
        ))
    }

    /// Rows that are ordinary to it, 128 at most: as different from each other as its baseline has them.
    pub fn examples(&self) -> &Rows {
        self.exemplars().rows()
    }

    /// The same forest with its scores calibrated on these rows: traffic of the place where it will be used, none of which
    /// need have been learned. Ordinary examples are picked from them too.
    ///
    /// # Errors
    /// Rows of another width, or fewer than a hundred.
    pub fn recalibrate(&self, rows: &Rows) -> Result<Self, TrainError> {
        if rows.columns != self.schema().len() {
            return Err(TrainError::Width {
                rows: rows.columns,
                schema: self.schema().len(),
            });
        }
        if rows.len() < calibrate::FEWEST {
            return Err(TrainError::TooFewRows(rows.len()));
        }
        let step = rows.len().div_ceil(calibrate::MOST).max(1);
        let judges: Vec<u32> = (0..rows.len() as u32).step_by(step).collect();
        let threads = parallel::threads(self.info().settings.threads);
        let scores = self.calibration_scores(rows, &judges, threads);
        let examples = Exemplars::pick(rows, &judges, &scores, self.profiles());
        let mut info = self.info().clone();
        info.calibration = CalibrationSource::HeldOut;
        info.calibration_rows = scores.len() as u32;
        let calibrated = Self::assemble(
            self.schema().clone(),
            info,
            self.profiles().to_vec(),
            self.cuts().to_vec(),
            self.forest().clone(),
            Calibration::fit(scores),
            examples.rows().clone(),
        );
        Ok(calibrated.with_ensemble(self.ensemble().cloned()))
    }
}

fn check(first: &Model, models: &[&Model]) -> Result<(), MergeError> {
    for (at, model) in models.iter().enumerate() {
        let place = at + 1;
        first
            .accepts(model.schema())
            .map_err(|what| MergeError::Schema { place, what })?;
        if model.ensemble().is_some() {
            return Err(MergeError::NotAlone(place));
        }
        if model.forest().shape() != first.forest().shape() {
            return Err(MergeError::Shape(place));
        }
        let [rows, first] = [model, first].map(|model| model.forest().rows_per_tree());
        if rows != first {
            return Err(MergeError::RowsPerTree { place, rows, first });
        }
        if models[..at]
            .iter()
            .any(|other| other.digest() == model.digest())
        {
            return Err(MergeError::Twice(place));
        }
    }
    Ok(())
}

/// A column over all models, each counting by the rows it learned from.
fn mix(models: &[&Model], column: usize) -> Profile {
    let profiles = || {
        models
            .iter()
            .map(|model| (&model.profiles()[column], model.info().rows.max(1) as f64))
    };
    let transform = models[0].profiles()[column].transform;
    let mut counts: Vec<(f32, u32)> = Vec::new();
    if transform == Transform::Categorical {
        let mut shares: BTreeMap<u32, f64> = BTreeMap::new();
        for (profile, rows) in profiles() {
            let total: f64 = profile.categories.iter().map(|c| f64::from(c.count)).sum();
            for category in &profile.categories {
                *shares.entry(ordered(category.value)).or_default() +=
                    f64::from(category.count) / total * rows;
            }
        }
        let mut often: Vec<(u32, f64)> = shares.into_iter().collect();
        often.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        often.truncate(MAX_CATEGORIES);
        often.sort_by_key(|(key, _)| *key);
        counts.extend(often.into_iter().map(|(key, rows)| {
            (
                unordered(key),
                rows.round().clamp(1.0, f64::from(u32::MAX)) as u32,
            )
        }));
    }
    let blank = vec![f32::NAN; INTERVALS + 1];
    let whole = Profile::assemble(transform, blank, &counts).expect("counts ascend by value");
    let mut values: Vec<(f32, f32, f64)> = profiles()
        .flat_map(|(profile, rows)| profile.knots.iter().map(move |knot| (*knot, rows)))
        .filter(|(knot, _)| !knot.is_nan())
        .map(|(knot, rows)| (whole.position(knot), knot, rows))
        .collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let total: f64 = values.iter().map(|value| value.2).sum();
    let mut knots = Vec::with_capacity(INTERVALS + 1);
    let (mut at, mut below) = (0, 0.0);
    for interval in 0..=INTERVALS {
        let wanted = total * interval as f64 / INTERVALS as f64;
        while at + 1 < values.len() && below + values[at].2 < wanted {
            below += values[at].2;
            at += 1;
        }
        knots.push(values.get(at).map_or(f32::NAN, |value| value.1));
    }
    Profile::assemble(transform, knots, &counts).expect("quantiles ascend along the axis")
}

/// The trees of all, speaking of the cuts of all.
fn together(models: &[&Model], cuts: &[Cuts]) -> Trees {
    let moved = |model: &Model, column: u16, threshold: u8| -> u8 {
        let column = usize::from(column);
        match model.cuts()[column].get(usize::from(threshold)) {
            Some(cut) => nearest(&cuts[column], *cut),
            None => NEVER,
        }
    };
    let mut level = Vec::new();
    let mut ordinary = Vec::new();
    for model in models {
        match model.forest().trees() {
            Trees::LevelShared(trees) => level.extend(trees.iter().map(|tree| {
                LevelTree {
                    columns: tree.columns,
                    counts: tree.counts.clone(),
                    thresholds: (tree.thresholds.iter().enumerate())
                        .map(|(node, threshold)| {
                            let column = tree.columns[(node + 1).ilog2() as usize];
                            moved(model, column, *threshold)
                        })
                        .collect(),
                }
            })),
            Trees::Ordinary(trees) => ordinary.extend(trees.iter().map(|nodes| {
                let nodes = nodes.iter().map(|node| match *node {
                    Node::Split { column, threshold } => Node::Split {
                        column,
                        threshold: moved(model, column, threshold),
                    },
                    leaf @ Node::Leaf { .. } => leaf,
                });
                nodes.collect()
            })),
        }
    }
    if ordinary.is_empty() {
        Trees::LevelShared(level)
    } else {
        Trees::Ordinary(ordinary)
    }
}

/// Place of the cut nearest to this one, by rank where it is not there itself.
fn nearest(cuts: &[f32], cut: f32) -> u8 {
    let above = cuts.partition_point(|other| *other < cut);
    let at = match (above.checked_sub(1), cuts.get(above)) {
        (Some(below), Some(next)) if cut - cuts[below] < next - cut => below,
        (_, Some(_)) => above,
        (Some(below), None) => below,
        (None, None) => return NEVER,
    };
    at as u8
}

/// Calibration of the mixture, as if each forest still scored its own rows.
fn stand_in(models: &[&Model]) -> Calibration {
    let all: f64 = models.iter().map(|m| m.info().rows.max(1) as f64).sum();
    let mut scores = Vec::new();
    for model in models {
        let share = model.info().rows.max(1) as f64 / all;
        let most = f64::from(model.calibration().rows());
        let count = (share * STAND_IN).min(most * models.len() as f64).max(1.0) as u32;
        let places = (0..count).map(|at| (f64::from(at) + 0.5) / f64::from(count));
        let each = places.map(|p| model.threshold_for_p(p));
        scores.extend(each.filter(|score| score.is_finite()));
    }
    if scores.is_empty() {
        scores.push(0.5);
    }
    Calibration::fit(scores)
}

/// Examples of all in turn.
fn examples(models: &[&Model]) -> Rows {
    let mut rows = Rows::with_columns(models[0].schema().len());
    for at in 0..exemplars::MOST {
        for model in models {
            let own = model.exemplars().rows();
            if at < own.len() && rows.len() < exemplars::MOST {
                rows.push(own.row(at));
            }
        }
    }
    rows
}
