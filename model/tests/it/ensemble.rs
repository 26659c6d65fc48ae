//! What an autoencoder and peer groups beside the forest add, and that they keep the forest's promises.

use crate::support::Dice;
use model::{Column, Model, Rows, Schema, Settings, Transform};

const COLUMNS: usize = 8;

fn schema() -> Schema {
    Schema::new(
        (0..COLUMNS)
            .map(|at| Column::new(format!("size_{at}"), "byte", Transform::SignedLog))
            .collect(),
    )
}

/// Rows in which every column follows from two numbers: a relation that no single column shows.
fn related(rows: usize, seed: u64) -> Rows {
    let mut dice = Dice(seed);
    let mut table = Rows::with_columns(COLUMNS);
    for _ in 0..rows {
        let (a, b) = (6.0 * dice.unit(), 6.0 * dice.unit());
        let row: Vec<f32> = (0..COLUMNS)
            .map(|at| {
                let place = if at % 2 == 0 { a } else { b };
                (2.0 + place + 0.05 * dice.normal()).exp() as f32
            })
            .collect();
        table.push(&row);
    }
    table
}

/// Such rows, in each of which one column has the value that it has in another row: usual by itself, not beside the
/// others. With the columns.
fn broken(rows: usize, seed: u64) -> (Rows, Vec<usize>) {
    let mut dice = Dice(seed + 1);
    let (mut table, others) = (related(rows, seed), related(rows, seed + 2));
    let columns: Vec<usize> = (0..rows)
        .map(|row| {
            let column = (dice.unit() * COLUMNS as f64) as usize;
            table.values[row * COLUMNS + column] = others.row(row)[column];
            column
        })
        .collect();
    (table, columns)
}

fn train(rows: usize, autoencoder: f32) -> Model {
    let settings = Settings {
        autoencoder,
        trim: 0.0,
        ..Settings::default()
    };
    Model::train(&related(rows, 1), &schema(), &settings).unwrap()
}

fn scores(model: &Model, rows: &Rows) -> Vec<f32> {
    let mut out = vec![0.0; rows.len()];
    model.scorer().score(rows, &mut out);
    out
}

/// Share of these rows rarer than one in a hundred.
fn found(model: &Model, rows: &Rows) -> f64 {
    let scores = scores(model, rows);
    let rare = scores.iter().filter(|score| model.p_value(**score) <= 0.01);
    rare.count() as f64 / rows.len() as f64
}

#[test]
fn a_relation_that_breaks_is_seen_and_its_column_named() {
    let (rows, columns) = broken(400, 7);
    let (alone, beside) = (train(6000, 0.0), train(6000, 0.8));
    let (without, with) = (found(&alone, &rows), found(&beside, &rows));
    assert!(
        with > 0.6 && with > 2.0 * without,
        "{with}, alone {without}"
    );
    // A column that broke drags those it follows from along; of those seen it is mostly first.
    let (mut named, mut seen) = (0, 0);
    for ((row, column), score) in rows.iter().zip(columns).zip(scores(&beside, &rows)) {
        if beside.p_value(score) <= 0.01 {
            seen += 1;
            named += u32::from(beside.explain(row, 1)[0].column == column);
        }
    }
    assert!(
        f64::from(named) > 0.7 * f64::from(seen),
        "{named} of {seen}"
    );
}

#[test]
fn p_values_of_the_two_together_are_calibrated() {
    // 4000 held-out rows calibrate the members and the whole, 12,000 one half each.
    for (rows, target) in [(20_000, 0.1), (20_000, 0.01), (60_000, 0.01)] {
        let model = train(rows, 0.8);
        let fresh = scores(&model, &related(40_000, 99));
        let rare = fresh
            .iter()
            .filter(|score| model.p_value(**score) <= target);
        let rate = rare.count() as f64 / fresh.len() as f64;
        assert!((0.7..1.4).contains(&(rate / target)), "{rate} for {target}");
    }
}

#[test]
fn attacks_in_the_baseline_are_trimmed_away() {
    // One row in twenty is broken in the same way: an autoencoder that learns from all learns that way too.
    let mut rows = related(6000, 3);
    let spoil = |row: &mut [f32]| {
        row[0] = 1e6;
        row[1] = 1.0;
    };
    rows.values
        .chunks_exact_mut(COLUMNS)
        .step_by(20)
        .for_each(spoil);
    let mut asked = related(500, 4);
    asked.values.chunks_exact_mut(COLUMNS).for_each(spoil);
    let model = |trim| {
        let settings = Settings {
            autoencoder: 0.9,
            trim,
            ..Settings::default()
        };
        Model::train(&rows, &schema(), &settings).unwrap()
    };
    let mean = |model: &Model| {
        let scores = scores(model, &asked);
        let ps = scores.iter().map(|score| model.p_value(*score));
        ps.sum::<f64>() / asked.len() as f64
    };
    let (all, trimmed) = (mean(&model(0.0)), mean(&model(0.1)));
    assert!(
        trimmed < 0.06 && trimmed < all,
        "{trimmed}, untrimmed {all}"
    );
}

#[test]
fn columns_without_a_cut_leave_the_forest_alone() {
    let mut rows = Rows::with_columns(COLUMNS);
    (0..500).for_each(|_| rows.push(&[1.0; COLUMNS]));
    let settings = Settings {
        autoencoder: 0.5,
        beyond: 0.0,
        ..Settings::default()
    };
    let model = Model::train(&rows, &schema(), &settings).unwrap();
    assert_eq!(model.info().autoencoder, None);
    assert!(Model::from_bytes(&model.to_bytes()).is_ok());
}

/// Two services: one of small transfers, one of large; and a third with few rows.
fn services(rows: usize, seed: u64) -> Rows {
    let mut dice = Dice(seed);
    let mut table = Rows::with_columns(2);
    for at in 0..rows {
        let (service, size) = match at % 100 {
            0..48 => (53.0, 4.0),
            48..96 => (443.0, 12.0),
            _ => (22.0, 8.0),
        };
        table.push(&[service, (size + dice.normal()).exp() as f32]);
    }
    table
}

#[test]
fn peers_judge_a_row_where_they_are_enough() {
    let schema = Schema::new(vec![
        Column::new("service", "1", Transform::Categorical),
        Column::new("size", "byte", Transform::SignedLog),
    ]);
    let train = |peers: f32| {
        let settings = Settings {
            groups: vec!["service".into()],
            peers,
            ..Settings::default()
        };
        Model::train(&services(10_000, 1), &schema, &settings).unwrap()
    };
    let (all, among) = (train(0.0), train(0.9));
    assert_eq!((all.info().peer_groups, among.info().peer_groups), (0, 2));
    let p = |model: &Model, row: [f32; 2]| {
        let mut score = [0.0];
        model.scorer().score(&row, &mut score);
        model.p_value(score[0])
    };
    // A size that only the other service has.
    let stranger = [53.0, 160_000.0];
    assert!(p(&among, stranger) < 0.02, "{}", p(&among, stranger));
    assert!(p(&among, stranger) < p(&all, stranger) / 2.0);
    // It is compared with what is usual for its service; one without a baseline of its own with what is usual for all.
    let usual = |row: [f32; 2]| {
        let why = among.explain(&row, 2);
        why.into_iter().find(|one| one.column == 1).unwrap().high
    };
    assert!(usual(stranger) < 1_000.0, "{}", usual(stranger));
    assert!(usual([22.0, 1e8]) > 100_000.0);
    let loaded = Model::from_bytes(&among.to_bytes()).unwrap();
    assert_eq!(p(&among, stranger), p(&loaded, stranger));
    assert_eq!(loaded.info(), among.info());
}

#[test]
fn columns_that_are_not_there_form_no_groups() {
    let settings = Settings {
        groups: vec!["no such column".into()],
        peers: 0.5,
        ..Settings::default()
    };
    let model = Model::train(&related(6000, 1), &schema(), &settings).unwrap();
    assert_eq!(model.info().peer_groups, 0);
}
