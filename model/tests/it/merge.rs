//! Models of several boxes as one.

use crate::support::{schema, traffic};
use model::{
    CalibrationSource, Column, MergeError, Model, Rows, Schema, Settings, Shape, Transform,
};

fn settings(shape: Shape, seed: u64) -> Settings {
    Settings {
        shape,
        seed,
        trees: 30,
        threads: 1,
        ..Settings::default()
    }
}

fn scores(model: &Model, rows: &Rows) -> Vec<f32> {
    let mut scores = vec![0.0; rows.len()];
    model.scorer().score(&rows.values, &mut scores);
    scores
}

/// Numbers only, few distinct: the cuts of both fit in one code, so that merging is exact.
fn steps(count: usize, offset: usize) -> Rows {
    let mut rows = Rows::with_columns(2);
    for at in 0..count {
        let mixed = (at + offset) * 7919 % 10_007;
        rows.push(&[(mixed % 61) as f32, (mixed / 61 % 53) as f32]);
    }
    rows
}

#[test]
fn path_lengths_of_the_merged_forest_are_the_mean() {
    let columns = ["a", "b"].map(|name| Column::new(name, "1", Transform::SignedLog));
    let schema = Schema::new(columns.to_vec());
    for shape in [Shape::LevelShared, Shape::Ordinary] {
        let how = |seed| Settings {
            trees: 3,
            subsample: 32,
            ..settings(shape, seed)
        };
        let a = Model::train(&steps(3000, 0), &schema, &how(1)).unwrap();
        let b = Model::train(&steps(3000, 500), &schema, &how(2)).unwrap();
        let merged = Model::merge(&[&a, &b]).unwrap();
        assert_eq!(merged.info().settings.trees, 6);
        // score = 2 ^ (-mean path / c), and as many trees in each.
        let rows = steps(500, 9000);
        let (a, b, both) = (scores(&a, &rows), scores(&b, &rows), scores(&merged, &rows));
        for ((a, b), both) in a.iter().zip(&b).zip(both) {
            let expected = (a * b).sqrt();
            assert!(
                (both - expected).abs() < 2e-3,
                "{shape:?}: {both} for {expected}"
            );
        }
    }
}

#[test]
fn merged_models_know_what_each_knew_alone_and_order_is_no_matter() {
    let rows = traffic(4000, 12, 3);
    let half = |skip: usize| {
        let mut part = Rows::with_columns(12);
        for at in (skip..4000).step_by(2) {
            part.push(rows.row(at));
        }
        part
    };
    for shape in [Shape::LevelShared, Shape::Ordinary] {
        let a = Model::train(&half(0), &schema(12), &settings(shape, 1)).unwrap();
        let b = Model::train(&half(1), &schema(12), &settings(shape, 2)).unwrap();
        let merged = Model::merge(&[&a, &b]).unwrap();
        assert_eq!(
            merged.to_bytes(),
            Model::merge(&[&b, &a]).unwrap().to_bytes()
        );
        assert_eq!(merged.info().rows, 4000);
        assert_eq!(merged.info().calibration, CalibrationSource::Merged);
        // It is stored and read like any other.
        let stored = Model::from_bytes(&merged.to_bytes()).unwrap();
        assert_eq!(scores(&stored, &rows), scores(&merged, &rows));
        // What both find odd stays odd, though cuts had to be thinned.
        let (a, b, both) = (scores(&a, &rows), scores(&b, &rows), scores(&merged, &rows));
        let far = (a.iter().zip(&b).zip(&both))
            .map(|((a, b), both)| (both - (a * b).sqrt()).abs())
            .fold(0.0, f32::max);
        assert!(far < 0.05, "{far}");
    }
}

#[test]
fn recalibrated_the_promised_rate_holds() {
    let all = traffic(9000, 10, 5);
    let part = |from: usize, to: usize| {
        let mut part = Rows::with_columns(10);
        (from..to).for_each(|at| part.push(all.row(at)));
        part
    };
    let a = Model::train(&part(0, 2000), &schema(10), &settings(Shape::Ordinary, 1)).unwrap();
    let b = Model::train(
        &part(2000, 4000),
        &schema(10),
        &settings(Shape::Ordinary, 2),
    )
    .unwrap();
    let merged = Model::merge(&[&a, &b]).unwrap();
    let calibrated = merged.recalibrate(&part(4000, 6500)).unwrap();
    assert_eq!(calibrated.info().calibration, CalibrationSource::HeldOut);
    let unseen = part(6500, 9000);
    let rate = |model: &Model| {
        let threshold = model.threshold_for_p(0.05);
        let above = scores(model, &unseen)
            .iter()
            .filter(|score| **score >= threshold)
            .count();
        above as f64 / unseen.len() as f64
    };
    assert!(
        (0.035..0.068).contains(&rate(&calibrated)),
        "{}",
        rate(&calibrated)
    );
    // The stand-in is a guess, and not a wild one.
    assert!((0.01..0.15).contains(&rate(&merged)), "{}", rate(&merged));
    assert!(merged.recalibrate(&part(0, 50)).is_err());
}

#[test]
fn what_does_not_fit_is_refused_in_a_line() {
    let train = |columns, shape, seed, trees| {
        let how = Settings {
            trees,
            ..settings(shape, seed)
        };
        Model::train(&traffic(600, columns, seed), &schema(columns), &how).unwrap()
    };
    let a = train(6, Shape::Ordinary, 1, 20);
    let refuse = |other: &Model| Model::merge(&[&a, other]).unwrap_err();
    assert_eq!(Model::merge(&[&a]).unwrap_err(), MergeError::Alone);
    assert_eq!(refuse(&a), MergeError::Twice(2));
    let other = refuse(&train(7, Shape::Ordinary, 2, 20));
    assert!(
        matches!(other, MergeError::Schema { place: 2, .. }),
        "{other}"
    );
    assert!(!other.to_string().contains('\n'));
    assert_eq!(
        refuse(&train(6, Shape::LevelShared, 2, 20)),
        MergeError::Shape(2)
    );
    assert_eq!(
        refuse(&train(6, Shape::Ordinary, 2, 4090)),
        MergeError::Trees(4110)
    );
    let small = Settings {
        subsample: 64,
        ..settings(Shape::Ordinary, 2)
    };
    let small = Model::train(&traffic(600, 6, 2), &schema(6), &small).unwrap();
    assert!(matches!(
        refuse(&small),
        MergeError::RowsPerTree { rows: 64, .. }
    ));
}
