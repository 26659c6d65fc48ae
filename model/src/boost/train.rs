//! From labelled rows to a classifier.

use super::bins::Bins;
use super::grow::Grower;
use super::tree::Tree;
use super::{
    BoostError, BoostInfo, BoostSettings, Classifier, Labelled, MAX_CLASSES, ONE, Sureness,
    outputs, temper,
};
use crate::calibrate::{self, Calibration, CalibrationSource};
use crate::maths::{exp, ln};
use crate::rng::{Purpose, Rng};
use crate::{Rows, Schema, parallel};

impl Classifier {
    /// Learns to tell the classes apart. Equal rows, labels and settings give equal bytes, whatever the number of
    /// threads.
    ///
    /// # Errors
    /// [`BoostError`] if a setting is out of range, or there is nothing to tell apart.
    pub fn train(
        data: Labelled<'_>,
        schema: &Schema,
        settings: &BoostSettings,
    ) -> Result<Self, BoostError> {
        check(data, schema, settings)?;
        let Labelled { rows, classes, .. } = data;
        let threads = parallel::threads(settings.threads);
        let (chosen, stop, judges) = split_rows(data, settings);
        let bins = parallel::map(threads, schema.len(), |column| {
            Bins::learn(rows, &chosen, column, schema.columns[column].transform)
        });
        let codes = parallel::map(threads, schema.len(), |column| {
            rows.iter()
                .map(|row| bins[column].code(row[column]))
                .collect::<Vec<u8>>()
        });
        let outputs = outputs(data.names.len());
        let base = base(classes, &chosen, data.names.len());
        let mut logits: Vec<f64> = base.repeat(rows.len());
        let mut grower = Grower::new(&codes, &bins, settings, threads);
        let mut rng = Rng::new(settings.seed, Purpose::Tree(0));
        let mut trees: Vec<Tree> = Vec::new();
        let (mut best, mut kept) = (f64::INFINITY, 0);
        for round in 1..=settings.rounds {
            let sample = some(&mut rng, &chosen, settings.row_share);
            let columns = some_columns(&mut rng, schema.len(), settings.column_share);
            let mut grown = Vec::with_capacity(outputs);
            for output in 0..outputs {
                let gradients = gradients(&logits, classes, &sample, output, outputs);
                grown.push(grower.tree(&sample, &columns, &gradients));
            }
            for (output, tree) in grown.iter().enumerate() {
                for (row, logits) in logits.chunks_exact_mut(outputs).enumerate() {
                    logits[output] += f64::from(tree.value(|column| codes[column][row]));
                }
            }
            let idle = grown.iter().all(Tree::is_leaf);
            trees.extend(grown);
            if !stop.is_empty() {
                let loss = temper::loss(&logits, classes, &stop, outputs);
                if loss < best {
                    (best, kept) = (loss, round);
                } else if round - kept >= settings.patience {
                    break;
                }
            } else {
                kept = round;
            }
            if idle {
                break;
            }
        }
        trees.truncate(kept * outputs);
        let info = BoostInfo {
            created_by: concat!("anomaly-detect ", env!("CARGO_PKG_VERSION")).to_owned(),
            settings: settings.clone(),
            classes: data.names.to_vec(),
            class_rows: count_classes(classes, data.names.len()),
            words: data.words.to_vec(),
            held_out: (stop.len() + judges.len()) as u64,
            rounds: kept,
            held_out_loss: best.is_finite().then(|| short(best)),
            sureness: Sureness::default(),
            importance: grower
                .importance(&trees, schema.len())
                .into_iter()
                .map(short)
                .collect(),
            calibration: CalibrationSource::Training,
        };
        let blank = Calibration::fit(vec![0.5]);
        let mut model = Self::assemble(schema.clone(), info, bins, base, trees, blank);
        model.calibrate(rows, classes, &chosen, &judges, threads);
        Ok(model)
    }

    /// Sureness and p-values from rows that no tree has seen.
    fn calibrate(
        &mut self,
        rows: &Rows,
        classes: &[u32],
        chosen: &[u32],
        judges: &[u32],
        threads: usize,
    ) {
        let outputs = self.base.len();
        if !judges.is_empty() {
            let logits = self.all_logits(rows, judges, threads);
            let odds: Vec<f64> = logits.chunks_exact(outputs).map(temper::odds).collect();
            let attacks: Vec<bool> = judges
                .iter()
                .map(|&row| classes[row as usize] != 0)
                .collect();
            let sure = temper::platt(&odds, &attacks);
            self.info.sureness = Sureness {
                slope: short(sure.slope).max(1e-6),
                shift: short(sure.shift),
            };
        }
        let ordinary = |from: &[u32]| -> Vec<u32> {
            let only = from
                .iter()
                .copied()
                .filter(|&row| classes[row as usize] == 0);
            only.take(calibrate::MOST).collect()
        };
        let mut chosen_rows = ordinary(judges);
        self.info.calibration = CalibrationSource::HeldOut;
        if chosen_rows.len() < calibrate::FEWEST {
            chosen_rows = ordinary(chosen);
            self.info.calibration = CalibrationSource::Training;
        }
        let scores = self
            .all_logits(rows, &chosen_rows, threads)
            .chunks_exact(outputs)
            .map(|logits| self.attack(logits))
            .collect();
        self.calibration = Calibration::fit(scores);
        self.threshold = self.calibration.threshold(self.info.settings.contamination);
    }
}

fn check(data: Labelled<'_>, schema: &Schema, settings: &BoostSettings) -> Result<(), BoostError> {
    if let Some(fault) = settings.fault() {
        return Err(BoostError::Setting(fault));
    }
    let Labelled {
        rows,
        classes,
        names,
        words,
    } = data;
    let width_fits = (1..=crate::train::MAX_COLUMNS).contains(&schema.len())
        && rows.columns == schema.len()
        && (words.is_empty() || words.len() == schema.len());
    if !width_fits || rows.len() != classes.len() {
        return Err(BoostError::Shape {
            rows: rows.columns,
            schema: schema.len(),
            classes: classes.len(),
        });
    }
    if rows.len() >= 1 << 31 {
        return Err(BoostError::TooManyRows);
    }
    let counts = count_classes(classes, names.len());
    let beyond = classes.iter().any(|&class| class as usize >= names.len());
    let ordinary = counts.first().copied().unwrap_or(0);
    if !(2..=MAX_CLASSES).contains(&names.len())
        || beyond
        || ordinary < 2
        || (classes.len() as u64) < ordinary + 2
    {
        return Err(BoostError::Classes(format!(
            "{} classes, {ordinary} ordinary of {} rows",
            names.len(),
            classes.len()
        )));
    }
    Ok(())
}

fn count_classes(classes: &[u32], names: usize) -> Vec<u64> {
    let mut counts = vec![0; names];
    for &class in classes {
        if let Some(count) = counts.get_mut(class as usize) {
            *count += 1;
        }
    }
    counts
}

/// Rows to grow from, rows that say when to stop, rows to calibrate on. With too few, all are grown from.
fn split_rows(data: Labelled<'_>, settings: &BoostSettings) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let mut rng = Rng::new(settings.seed, Purpose::Holdout);
    let (mut chosen, mut stop, mut judges) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..data.rows.len() as u32 {
        match rng.unit() / settings.holdout {
            part if part < 0.5 => stop.push(row),
            part if part < 1.0 => judges.push(row),
            _ => chosen.push(row),
        }
    }
    let both = |rows: &[u32]| {
        let ordinary = rows
            .iter()
            .filter(|&&row| data.classes[row as usize] == 0)
            .count();
        ordinary >= 2 && rows.len() - ordinary >= 2
    };
    let enough = |rows: &[u32]| rows.len() >= calibrate::FEWEST && both(rows);
    if enough(&stop) && enough(&judges) && both(&chosen) {
        (chosen, stop, judges)
    } else {
        (
            (0..data.rows.len() as u32).collect(),
            Vec::new(),
            Vec::new(),
        )
    }
}

/// Logits that give every row the shares of the classes.
fn base(classes: &[u32], chosen: &[u32], names: usize) -> Vec<f64> {
    let mut counts = vec![0.5; names];
    for &row in chosen {
        counts[classes[row as usize] as usize] += 1.0;
    }
    if names == 2 {
        return vec![ln(counts[1] / counts[0])];
    }
    let all: f64 = counts.iter().sum();
    counts.into_iter().map(|count| ln(count / all)).collect()
}

/// A share of the rows, in order.
fn some(rng: &mut Rng, rows: &[u32], share: f64) -> Vec<u32> {
    if share >= 1.0 {
        return rows.to_vec();
    }
    rows.iter()
        .copied()
        .filter(|_| rng.unit() < share)
        .collect()
}

/// A share of the columns, at least one.
fn some_columns(rng: &mut Rng, columns: usize, share: f64) -> Vec<u32> {
    let wanted = ((columns as f64 * share).ceil() as usize).clamp(1, columns);
    rng.distinct(wanted, columns)
}

/// To six decimals: a number that JSON gives back to the bit.
fn short(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// First and second derivative of the loss by one output, for the rows of a sample, as fixed-point numbers.
pub(super) fn gradients(
    logits: &[f64],
    classes: &[u32],
    sample: &[u32],
    output: usize,
    outputs: usize,
) -> Vec<[i32; 2]> {
    sample
        .iter()
        .map(|&row| {
            let row = row as usize;
            let logits = &logits[row * outputs..][..outputs];
            let (share, own) = if outputs == 1 {
                (temper::logistic(logits[0]), classes[row] == 1)
            } else {
                let most = logits.iter().copied().fold(f64::MIN, f64::max);
                let all: f64 = logits.iter().map(|logit| exp(logit - most)).sum();
                (
                    exp(logits[output] - most) / all,
                    classes[row] as usize == output,
                )
            };
            let first = share - f64::from(u8::from(own));
            // A class gained is one lost elsewhere: the diagonal alone understates the curvature (Friedman 2001).
            let together = if outputs == 1 {
                1.0
            } else {
                outputs as f64 / (outputs as f64 - 1.0)
            };
            let second = share * (1.0 - share) * together;
            [(first * ONE) as i32, (second * ONE) as i32]
        })
        .collect()
}
