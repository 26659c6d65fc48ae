//! Forest and autoencoder as one score: their p-values, combined.
//!
//! Each has a calibration of its own on held-out rows, so that their surprises (minus the logarithm of the p-value) speak
//! of the same thing. Their weighted sum is Fisher's statistic with weights (Good, On the weighted combination of
//! significance tests, JRSS B 1955). The two are not independent, so what the sum is worth is calibrated
//! again, on held-out rows that calibrated neither where there are enough.

use crate::autoencoder::{Autoencoder, Room};
use crate::calibrate::{self, Calibration};
use crate::maths::ln;
use crate::score::{Path, Scratch};
use crate::{Model, Rows};

/// How much of a member's own score goes into its surprise: keeps the order of those that rank alike.
const ORDER: f32 = 0.05;

/// The autoencoder beside the forest, and how they combine.
#[derive(Clone, Debug)]
pub(crate) struct Ensemble {
    pub(crate) autoencoder: Autoencoder,
    /// Of the forest's scores and of the autoencoder's.
    pub(crate) members: [Calibration; 2],
    /// Weight of the autoencoder, 0 to 1; the forest has the rest.
    pub(crate) share: f32,
}

impl Ensemble {
    /// Weighted surprises of the two, from their scores.
    pub(crate) fn surprises(&self, forest: f32, autoencoder: f32) -> [f32; 2] {
        let [of_forest, of_autoencoder] = &self.members;
        let surprise = |calibration: &Calibration, score: f32| {
            ORDER * score - ln(calibration.p_value(score)) as f32
        };
        [
            (1.0 - self.share) * surprise(of_forest, forest),
            self.share * surprise(of_autoencoder, autoencoder),
        ]
    }

    /// From scores of the forest to those of the two together, for the first rows of a block of codes; `own` is room for
    /// as many.
    pub(crate) fn join(
        &self,
        path: Path,
        codes: &[u8],
        room: &mut Room,
        own: &mut [f32],
        scores: &mut [f32],
    ) {
        self.autoencoder.score(path, codes, room, own);
        for (score, own) in scores.iter_mut().zip(own) {
            let [forest, autoencoder] = self.surprises(*score, *own);
            let sum = forest + autoencoder;
            *score = sum / (1.0 + sum);
        }
    }
}

impl Model {
    /// Trains what the settings want beside the forest. `chosen` are the rows to learn from, `judges` those to calibrate by.
    pub(crate) fn learn_ensemble(
        &self,
        rows: &Rows,
        chosen: &[u32],
        judges: &[u32],
        threads: usize,
    ) -> Option<Ensemble> {
        let settings = &self.info().settings;
        if settings.autoencoder <= 0.0 {
            return None;
        }
        let kept = self.trim(rows, chosen, f64::from(settings.trim), threads);
        let (profiles, cuts) = (self.profiles(), self.cuts());
        let autoencoder = Autoencoder::train(rows, &kept, profiles, cuts, settings.seed)?;
        let forest = self.calibration_scores(rows, judges, threads);
        let mut scratch = Scratch::new();
        let own = judges.iter().map(|&row| {
            let mut score = [0.0];
            let codes = self.codes_of(&mut scratch, rows.row(row as usize));
            autoencoder.score(Path::Portable, codes, &mut Room::default(), &mut score);
            score[0]
        });
        Some(Ensemble {
            members: [Calibration::fit(forest), Calibration::fit(own.collect())],
            autoencoder,
            share: settings.autoencoder,
        })
    }

    /// Scores of the forest and of the autoencoder alone, and each column's share in the latter.
    pub(crate) fn member_scores(&self, ensemble: &Ensemble, row: &[f32]) -> (f32, f32, Vec<f32>) {
        let mut scratch = Scratch::new();
        let mut forest = 0.0;
        self.blocks(&mut scratch, row, 1, |_, _, sums| {
            forest = self.walker().score(sums[0]);
        });
        let codes = self.codes_of(&mut scratch, row);
        let mut own = [0.0];
        let mut room = Room::default();
        ensemble
            .autoencoder
            .score(Path::Portable, codes, &mut room, &mut own);
        let shares = ensemble.autoencoder.shares(codes, row.len());
        (forest, own[0], shares)
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
