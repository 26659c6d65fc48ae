//! What stands beside the forest, and how it all becomes one score: an autoencoder, and peer groups.
//!
//! Each member has a calibration of its own on held-out rows, so that their surprises (minus the logarithm of the p-value)
//! speak of the same thing. Their weighted sum is Fisher's statistic with weights (Good, On the weighted combination of
//! significance tests, JRSS B 1955). Members are not independent, so what the sum is worth is calibrated
//! again, on held-out rows that calibrated none of them where there are enough.

mod write;

use crate::autoencoder::{Autoencoder, Room};
use crate::calibrate::{self, Calibration};
use crate::groups::{Group, Groups};
use crate::maths::ln;
use crate::score::{Path, Scratch};
use crate::{Model, Rows, Settings};
use serde::{Deserialize, Serialize};

/// How much of a member's own score goes into its surprise: keeps the order of those that rank alike.
const ORDER: f32 = 0.05;

/// What is known of a model's autoencoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderInfo {
    /// Units of each layer: inputs, hidden layers, outputs.
    pub sizes: Vec<usize>,
}

/// All that stands beside the forest.
#[derive(Clone, Debug)]
pub(crate) struct Ensemble {
    /// Of the forest's scores.
    pub(crate) forest: Calibration,
    /// With the calibration of its scores.
    pub(crate) autoencoder: Option<(Autoencoder, Calibration)>,
    pub(crate) groups: Option<Groups>,
    pub(crate) weights: Weights,
}

/// What members count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Weights {
    autoencoder: f32,
    peers: f32,
}

impl Weights {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            autoencoder: settings.autoencoder,
            peers: settings.peers,
        }
    }
}

/// Scores of the members for one row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scores<'a> {
    pub(crate) forest: f32,
    pub(crate) autoencoder: f32,
    /// Among its peers, if they have a baseline of their own.
    pub(crate) peers: Option<(&'a Group, f32)>,
}

/// Weighted surprises of the members.
pub(crate) struct Surprises {
    pub(crate) forest: f32,
    pub(crate) autoencoder: f32,
    pub(crate) peers: f32,
}

impl Surprises {
    /// All in one, 0 to below 1.
    fn score(&self) -> f32 {
        let sum = self.forest + self.autoencoder + self.peers;
        sum / (1.0 + sum)
    }
}

impl Ensemble {
    /// From the scores. A row without a group of its own is judged among all.
    pub(crate) fn surprises(&self, scores: &Scores<'_>) -> Surprises {
        let surprise = |calibration: &Calibration, score: f32| {
            ORDER * score - ln(calibration.p_value(score)) as f32
        };
        let own = match &self.autoencoder {
            Some((_, calibration)) => {
                self.weights.autoencoder * surprise(calibration, scores.autoencoder)
            }
            None => 0.0,
        };
        let rest = match &self.autoencoder {
            Some(_) => 1.0 - self.weights.autoencoder,
            None => 1.0,
        };
        let forest = rest * surprise(&self.forest, scores.forest);
        match scores.peers {
            Some((group, score)) => Surprises {
                forest: (1.0 - self.weights.peers) * forest,
                autoencoder: own,
                peers: self.weights.peers * rest * surprise(&group.calibration, score),
            },
            None => Surprises {
                forest,
                autoencoder: own,
                peers: 0.0,
            },
        }
    }

    /// The group of a row, and its score among its peers; `at` is its place in a block of codes.
    pub(crate) fn among_peers(
        &self,
        row: &[f32],
        codes: &[u8],
        at: usize,
    ) -> Option<(&Group, f32)> {
        let group = self.groups.as_ref()?.of(row)?;
        Some((group, group.score(codes, at)))
    }

    /// From scores of the forest to those of all together, for the rows of a block and their codes; `own` is room for as
    /// many scores.
    pub(crate) fn join(
        &self,
        (path, codes): (Path, &[u8]),
        rows: &[f32],
        room: &mut Room,
        own: &mut [f32],
        scores: &mut [f32],
    ) {
        if let Some((autoencoder, _)) = &self.autoencoder {
            autoencoder.score(path, codes, room, own);
        }
        let width = rows.len() / scores.len().max(1);
        let rows = rows.chunks_exact(width).enumerate();
        for ((score, own), (at, row)) in scores.iter_mut().zip(own).zip(rows) {
            let all = Scores {
                forest: *score,
                autoencoder: *own,
                peers: self.among_peers(row, codes, at),
            };
            *score = self.surprises(&all).score();
        }
    }
}

impl Model {
    /// Learns what the settings want beside the forest. `chosen` are the rows to learn from, `judges` those to calibrate by.
    pub(crate) fn learn_ensemble(
        &self,
        rows: &Rows,
        chosen: &[u32],
        judges: &[u32],
        threads: usize,
    ) -> Ensemble {
        let settings = &self.info().settings;
        let scores = self.calibration_scores(rows, judges, threads);
        let groups = (settings.peers > 0.0)
            .then(|| {
                let known = (self.profiles(), self.cuts());
                let parts = [chosen, judges];
                Groups::learn(&settings.groups, self.schema(), known, rows, parts)
            })
            .flatten();
        let autoencoder = (settings.autoencoder > 0.0)
            .then(|| {
                let kept = self.trim(rows, chosen, f64::from(settings.trim), threads);
                let (profiles, cuts) = (self.profiles(), self.cuts());
                Autoencoder::train(rows, &kept, profiles, cuts, settings.seed)
            })
            .flatten()
            .map(|autoencoder| {
                let (mut scratch, mut room) = (Scratch::new(), Room::default());
                let own = judges.iter().map(|&row| {
                    let mut score = [0.0];
                    let codes = self.codes_of(&mut scratch, rows.row(row as usize));
                    autoencoder.score(Path::Portable, codes, &mut room, &mut score);
                    score[0]
                });
                let calibration = Calibration::fit(own.collect());
                (autoencoder, calibration)
            });
        Ensemble {
            forest: Calibration::fit(scores),
            autoencoder,
            groups,
            weights: Weights::of(settings),
        }
    }

    /// Surprises of the members over one row, and each column's share in the autoencoder's and in that among peers.
    pub(crate) fn reasons(&self, ensemble: &Ensemble, row: &[f32]) -> (Surprises, [Vec<f32>; 2]) {
        let mut scratch = Scratch::new();
        let mut scores = Scores::default();
        self.blocks(&mut scratch, row, 1, |_, _, sums| {
            scores.forest = self.walker().score(sums[0]);
        });
        let codes = self.codes_of(&mut scratch, row);
        let mut shares = [vec![0.0; row.len()], vec![0.0; row.len()]];
        if let Some((autoencoder, _)) = &ensemble.autoencoder {
            let mut own = [0.0];
            autoencoder.score(Path::Portable, codes, &mut Room::default(), &mut own);
            scores.autoencoder = own[0];
            shares[0] = autoencoder.shares(codes, row.len());
        }
        scores.peers = ensemble.among_peers(row, codes, 0);
        if let Some((group, _)) = scores.peers {
            shares[1] = group.shares(codes);
        }
        (ensemble.surprises(&scores), shares)
    }

    /// The rows without the share that the forest finds most anomalous: attacks in the baseline poison an autoencoder.
    fn trim(&self, rows: &Rows, chosen: &[u32], share: f64, threads: usize) -> Vec<u32> {
        let step = chosen.len().div_ceil(calibrate::MOST).max(1);
        let chosen: Vec<u32> = chosen.iter().copied().step_by(step).collect();
        if share <= 0.0 {
            return chosen;
        }
        let scores = self.calibration_scores(rows, &chosen, threads);
        let mut order = scores.clone();
        order.sort_unstable_by(f32::total_cmp);
        let last = ((order.len() as f64 * (1.0 - share)) as usize).min(order.len() - 1);
        let limit = order[last];
        let kept = chosen
            .iter()
            .zip(&scores)
            .filter(|(_, score)| **score <= limit);
        kept.map(|(row, _)| *row).collect()
    }
}

/// Held-out rows that are enough to calibrate the members by one half and the whole by the other. Of fewer, all do both: a
/// tail from half of them would cost more than what a row that has calibrated its own member is off by.
const PLENTY: usize = 10_000;

/// Rows that calibrate the members, and rows that calibrate the whole.
pub(crate) fn halves(judges: &[u32]) -> (Vec<u32>, Vec<u32>) {
    if judges.len() < PLENTY {
        return (judges.to_vec(), judges.to_vec());
    }
    let every_other = |from: usize| judges.iter().copied().skip(from).step_by(2).collect();
    (every_other(0), every_other(1))
}
