//! The classifier as a whole, on made-up traffic whose truth is known.

use super::histogram::Sums;
use super::train::gradients;
use super::tree::{NAMED, Node};
use super::*;
use crate::artifact::LoadError;
use crate::rng::{Purpose, Rng};
use crate::{Column, Transform};
use proptest::prelude::*;

/// Rows of four columns with a probability of attack that is known, and labels drawn by it: a step in the first
/// column that turns around with the second, a set of names in the third, and noise that is often missing.
struct Made {
    rows: Rows,
    classes: Vec<u32>,
    truth: Vec<f64>,
}

fn made(count: usize, seed: u64) -> Made {
    let mut rng = Rng::new(seed, Purpose::Tree(77));
    let mut made = Made {
        rows: Rows::with_columns(4),
        classes: Vec::new(),
        truth: Vec::new(),
    };
    for _ in 0..count {
        let (size, side) = (rng.unit() * 10.0, rng.unit());
        let name = rng.below(40);
        let missing = rng.unit() < 0.3;
        let noise = if missing { f64::NAN } else { rng.unit() };
        let mut truth: f64 = if (size > 5.0) == (side > 0.5) {
            0.2
        } else {
            0.02
        };
        if name % 7 == 3 {
            truth += 0.7;
        }
        if missing && size > 9.0 {
            truth = 0.95;
        }
        made.rows
            .push(&[size as f32, side as f32, name as f32, noise as f32]);
        made.classes.push(u32::from(rng.unit() < truth));
        made.truth.push(truth);
    }
    made
}

fn schema() -> Schema {
    Schema::new(vec![
        Column::new("size", "byte", Transform::SignedLog),
        Column::new("side", "1", Transform::Linear),
        Column::new("name", "1", Transform::Categorical),
        Column::new("noise", "1", Transform::Linear),
    ])
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class {class}")).collect()
}

fn trained(made: &Made, classes: usize, settings: &BoostSettings) -> Classifier {
    let data = Labelled {
        rows: &made.rows,
        classes: &made.classes,
        names: &names(classes),
        words: &[],
    };
    Classifier::train(data, &schema(), settings).unwrap()
}

/// Area under the ROC curve.
fn area(scores: &[f32], classes: &[u32]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut below, mut area, mut hits) = (0.0, 0.0, 0.0);
    for row in order {
        if classes[row] == 0 {
            below += 1.0;
        } else {
            area += below;
            hits += 1.0;
        }
    }
    area / (below * hits)
}

#[test]
fn it_ranks_nearly_as_well_as_the_truth_and_its_probabilities_are_what_they_say() {
    let model = trained(&made(20_000, 1), 2, &BoostSettings::default());
    let fresh = made(20_000, 2);
    let mut scores = vec![0.0; fresh.rows.len()];
    model.score(&fresh.rows.values, &mut scores);
    let truth: Vec<f32> = fresh.truth.iter().map(|truth| *truth as f32).collect();
    let (ours, best) = (area(&scores, &fresh.classes), area(&truth, &fresh.classes));
    assert!(ours > best - 0.01, "{ours} of {best}");
    // Expected calibration error: how far promises and what came are apart in each tenth of the probabilities.
    let mut tenths = [0.0_f64; 10];
    for (score, class) in scores.iter().zip(&fresh.classes) {
        tenths[(score * 10.0).min(9.0) as usize] += f64::from(*score) - f64::from(*class);
    }
    let error = tenths.iter().map(|gap| gap.abs()).sum::<f64>() / scores.len() as f64;
    let bias = tenths.iter().sum::<f64>().abs() / scores.len() as f64;
    assert!(error < 0.04 && bias < 0.01, "{error}, {bias}");
    // The threshold keeps what contamination promises, on ordinary rows that were not there.
    let ordinary: Vec<f32> = scores
        .iter()
        .zip(&fresh.classes)
        .filter(|(_, class)| **class == 0)
        .map(|(score, _)| *score)
        .collect();
    let above = ordinary
        .iter()
        .filter(|score| **score >= model.threshold())
        .count() as f64
        / ordinary.len() as f64;
    assert!((0.004..0.02).contains(&above), "{above}");
    assert!(model.p_value(model.threshold()) <= 0.01);
    assert_eq!(model.info().calibration, CalibrationSource::HeldOut);
    assert!(model.info().importance[2] > model.info().importance[3]);
}

#[test]
fn several_kinds_of_attack_are_told_apart() {
    let mut data = made(12_000, 3);
    for (row, class) in data.rows.iter().zip(&mut data.classes) {
        *class = match row[2] as u32 % 7 {
            3 => 2,
            5 if row[0] > 5.0 => 1,
            _ => 0,
        };
    }
    let model = trained(&data, 3, &BoostSettings::default());
    let shares = model.probabilities(&data.rows.values);
    let right = shares
        .chunks_exact(3)
        .zip(&data.classes)
        .filter(|(shares, class)| (0..3).all(|other| shares[other] <= shares[**class as usize]))
        .count();
    assert!(right as f64 > 0.995 * data.classes.len() as f64, "{right}");
    for shares in shares.chunks_exact(3) {
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let mut scores = vec![0.0; data.rows.len()];
    model.score(&data.rows.values, &mut scores);
    for (score, shares) in scores.iter().zip(shares.chunks_exact(3)) {
        assert!((score - (shares[1] + shares[2])).abs() < 1e-5);
    }
}

#[test]
fn threads_change_no_bit() {
    let data = made(6_000, 4);
    let settings = |threads| BoostSettings {
        threads,
        row_share: 0.7,
        column_share: 0.8,
        rounds: 30,
        ..BoostSettings::default()
    };
    let one = trained(&data, 2, &settings(1));
    assert_eq!(one.digest(), trained(&data, 2, &settings(3)).digest());
    let other = trained(
        &data,
        2,
        &BoostSettings {
            seed: 1,
            ..settings(1)
        },
    );
    assert_ne!(one.digest(), other.digest());
}

#[test]
fn noise_stops_early_and_few_rows_say_so() {
    let mut data = made(4_000, 5);
    let mut rng = Rng::new(9, Purpose::Tree(1));
    data.classes
        .iter_mut()
        .for_each(|class| *class = rng.below(2) as u32);
    assert!(trained(&data, 2, &BoostSettings::default()).info().rounds < 20);
    let few = trained(
        &made(120, 6),
        2,
        &BoostSettings {
            rounds: 5,
            ..BoostSettings::default()
        },
    );
    assert_eq!(
        (few.info().held_out, few.info().calibration),
        (0, CalibrationSource::Training)
    );
    let blank = Labelled {
        rows: &data.rows,
        classes: &vec![0; 4_000],
        names: &names(2),
        words: &[],
    };
    assert!(matches!(
        Classifier::train(blank, &schema(), &BoostSettings::default()),
        Err(BoostError::Classes(_))
    ));
}

#[test]
fn steps_of_an_explanation_add_up_to_the_logit() {
    let data = made(6_000, 7);
    let model = trained(&data, 2, &BoostSettings::default());
    let mut named = 0;
    let mut asked = 0;
    for row in data.rows.iter().take(500) {
        let moved: f32 = model.contributions(row).iter().sum();
        let roots: f64 = model
            .trees
            .iter()
            .map(|tree| f64::from(tree.means.first().copied().unwrap_or(tree.leaves[0])))
            .sum();
        let logit = model.logits(row)[0];
        assert!((f64::from(moved) + roots + model.base[0] - logit).abs() < 1e-3);
        if row[2] as u32 % 7 == 3 && !row[3].is_nan() {
            asked += 1;
            let moved = model.contributions(row);
            named += usize::from((0..4).all(|column| moved[column] <= moved[2]));
        }
    }
    assert!(named * 20 >= asked * 19, "{named} of {asked}");
}

#[test]
fn stored_and_read_it_is_the_same_and_damage_is_refused() {
    let data = made(3_000, 8);
    let model = trained(
        &data,
        2,
        &BoostSettings {
            rounds: 12,
            ..BoostSettings::default()
        },
    );
    let bytes = model.to_bytes();
    let read = Classifier::from_bytes(&bytes).unwrap();
    assert!(read.to_bytes() == bytes);
    assert_eq!(
        read.logits(&data.rows.values),
        model.logits(&data.rows.values)
    );
    assert!(matches!(
        crate::Model::from_bytes(&bytes),
        Err(LoadError::Classifier)
    ));
    for at in (0..bytes.len()).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(Classifier::from_bytes(&damaged).is_err(), "byte {at}");
        assert!(Classifier::from_bytes(&bytes[..at]).is_err(), "first {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Checksums keep out accidents, not intent: whatever the body says, reading and scoring end.
    #[test]
    fn forged_bodies_end_in_an_error_or_a_model_that_works(places in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..6)) {
        static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
        let bytes = BYTES.get_or_init(|| trained(&made(1_000, 10), 2, &BoostSettings { rounds: 4, ..BoostSettings::default() }).to_bytes());
        let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
        let (_, header) = (lines.next(), lines.next().unwrap());
        let mut body = lines.next().unwrap().to_vec();
        body.truncate(body.len() - 36);
        for (place, value) in places {
            let at = (place * body.len() as f64) as usize;
            body[at] = value;
        }
        if let Ok(model) = Classifier::from_parts(header, &body) {
            let data = made(50, 11);
            let mut scores = vec![0.0; 50];
            model.score(&data.rows.values, &mut scores);
            model.contributions(data.rows.row(0));
            prop_assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
        }
    }

    /// The best cut found in sums is the best there is among rows, tried one by one.
    #[test]
    fn no_cut_of_numbers_is_better_than_the_one_found(
        rows in prop::collection::vec((0_u8..9, -100_i32..100, 1_i32..100), 4..60),
        least in 1_u32..4,
    ) {
        let settings = BoostSettings { leaf_rows: least, leaf_weight: 1e-9, ..BoostSettings::default() };
        let one = (ONE / 100.0) as i64;
        let mut sums: Vec<Sums> = vec![[0; 3]; 9];
        for (code, first, second) in &rows {
            let sum = &mut sums[usize::from(*code)];
            *sum = [sum[0] + i64::from(*first) * one, sum[1] + i64::from(*second) * one, sum[2] + 1];
        }
        let total = sums.iter().fold([0; 3], |all, sum| [all[0] + sum[0], all[1] + sum[1], all[2] + sum[2]]);
        let gain = |left: &dyn Fn(u8) -> bool| {
            let side = |wanted: bool| rows.iter().filter(move |row| left(row.0) == wanted).fold((0.0, 0.0, 0), |sum, row| {
                (sum.0 + f64::from(row.1) / 100.0, sum.1 + f64::from(row.2) / 100.0, sum.2 + 1)
            });
            let (a, b) = (side(true), side(false));
            let score = |g: f64, h: f64| g * g / (h + settings.l2);
            (a.2.min(b.2) >= least).then(|| score(a.0, a.1) + score(b.0, b.1) - score(a.0 + b.0, a.1 + b.1))
        };
        let best = (0..9_u8)
            .flat_map(|cut| [false, true].map(|missing| (cut, missing)))
            .filter_map(|(cut, missing)| gain(&|code| if code == 0 { missing } else { code <= cut }))
            .fold(0.0, f64::max);
        let bins = Bins::Ordered(vec![0.0; 7]);
        let found = split::best(&bins, 0, &sums, total, &settings);
        let claimed = found.as_ref().map_or(0.0, |split| split.gain);
        prop_assert!((claimed - best).abs() < 1e-5 * best.max(1.0), "{} of {}", claimed, best);
        if let Some(split) = found {
            prop_assert!(split.kind != NAMED);
            let node = Node { column: 0, kind: split.kind, threshold: split.threshold, children: [0; 2], set: 0 };
            let done = gain(&|code| !node.goes_right(&[], code)).unwrap();
            prop_assert!((done - claimed).abs() < 1e-5 * best.max(1.0), "does {}, claims {}", done, claimed);
        }
    }

    /// First derivatives are those of the loss.
    #[test]
    fn gradients_are_those_of_the_loss(logits in prop::collection::vec(-4.0..4.0_f64, 3), class in 0_u32..3) {
        for outputs in [1, 3] {
            let class = class.min(outputs as u32);
            let loss = |logits: &[f64]| temper::loss(logits, &[class], &[0], outputs);
            for output in 0..outputs {
                let (mut above, mut below) = (logits.clone(), logits.clone());
                above[output] += 1e-4;
                below[output] -= 1e-4;
                let slope = (loss(&above[..outputs]) - loss(&below[..outputs])) / 2e-4;
                let [first, second] = gradients(&logits, &[class], &[0], output, outputs)[0];
                prop_assert!((f64::from(first) / ONE - slope).abs() < 1e-6);
                prop_assert!(second >= 0);
            }
        }
    }
}
