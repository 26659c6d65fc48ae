//! Times of a packet by two observers.

use crate::support::{Dice, schema, traffic};
use model::{Model, Rows, Schema, Settings, Shape, Transform};

/// A recording gives packets the times of another clock's reader: rows that differ by that much are the same to the forest and its autoencoder.
#[test]
fn times_that_differ_by_microseconds_have_the_same_score() {
    let mut columns = schema(8).columns;
    for column in &mut columns {
        if column.unit == "s" {
            column.transform = Transform::Time;
        }
    }
    let schema = Schema::new(columns);
    // Half of the times short: what ranks would stretch.
    let mut rows = traffic(4000, 8, 5);
    let mut dice = Dice(6);
    let (mut early, mut late) = (rows.clone(), rows.clone());
    for row in 0..rows.len() {
        for column in [1, 5] {
            let at = row * 8 + column;
            let whole = if dice.unit() < 0.5 {
                (dice.unit() * 4.0).floor()
            } else {
                (f64::from(rows.values[at]) * Transform::STEPS).round()
            };
            let apart = (dice.unit() - 0.5) * 0.9;
            rows.values[at] = ((whole + apart) / Transform::STEPS) as f32;
            early.values[at] = ((whole - 0.4) / Transform::STEPS) as f32;
            late.values[at] = ((whole + 0.4) / Transform::STEPS) as f32;
        }
    }
    for (shape, autoencoder) in [
        (Shape::LevelShared, 0.0),
        (Shape::Ordinary, 0.0),
        (Shape::Ordinary, 0.4),
    ] {
        let settings = Settings {
            shape,
            autoencoder,
            ..Settings::default()
        };
        let model = Model::train(&rows, &schema, &settings).unwrap();
        let score = |rows: &Rows| {
            let mut scores = vec![0.0; rows.len()];
            model.scorer().score(rows, &mut scores);
            scores
        };
        assert_eq!(score(&early), score(&late));
        // Times count all the same.
        let mut long = rows.clone();
        (0..rows.len()).for_each(|row| long.values[row * 8 + 1] = 1e4);
        let (usual, odd) = (score(&rows), score(&long));
        let higher = usual.iter().zip(&odd).filter(|(a, b)| b > a).count();
        assert!(higher * 10 > rows.len() * 9, "{higher}");
    }
}
