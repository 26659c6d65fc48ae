//! Score by score against an independent implementation: scikit-learn's forest, its trees fixed.
//!
//! `sklearn_forest.json` is written by `bench/python/sklearn_forest.py fixture` from made-up data: trees, points, and
//! the scores scikit-learn gives them. Our evaluation of those very trees must give those scores.

use crate::baseline::Profile;
use crate::calibrate::{Calibration, CalibrationSource};
use crate::forest::{Forest, Node, Trees};
use crate::{Column, Info, Model, Path, Rows, Schema, Scratch, Settings, Shape, Transform};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    rows_per_tree: u32,
    trees: Vec<Vec<PeerNode>>,
    points: Vec<Vec<f32>>,
    scores: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PeerNode {
    Split {
        column: usize,
        threshold: f64,
        left: usize,
        right: usize,
    },
    Leaf {
        rows: u32,
    },
}

/// A float is at or below a double exactly if it is at or below the greatest float that is.
fn nearest(threshold: f64) -> f32 {
    let nearest = threshold as f32;
    if f64::from(nearest) > threshold {
        nearest.next_down()
    } else {
        nearest
    }
}

/// Their subtree at `at` in our order.
fn pre_order(theirs: &[PeerNode], at: usize, cuts: &[Vec<f32>], ours: &mut Vec<Node>) {
    match theirs[at] {
        PeerNode::Leaf { rows } => ours.push(Node::Leaf { count: rows }),
        PeerNode::Split {
            column,
            threshold,
            left,
            right,
        } => {
            let threshold = cuts[column]
                .iter()
                .position(|&cut| cut == nearest(threshold))
                .unwrap();
            ours.push(Node::Split {
                column: column as u16,
                threshold: threshold as u8,
            });
            pre_order(theirs, left, cuts, ours);
            pre_order(theirs, right, cuts, ours);
        }
    }
}

fn model(fixture: &Fixture) -> Model {
    let columns = fixture.points[0].len();
    let mut cuts: Vec<Vec<f32>> = vec![Vec::new(); columns];
    for node in fixture.trees.iter().flatten() {
        if let PeerNode::Split {
            column, threshold, ..
        } = *node
        {
            cuts[column].push(nearest(threshold));
        }
    }
    for cuts in &mut cuts {
        cuts.sort_by(f32::total_cmp);
        cuts.dedup();
        assert!(
            cuts.len() <= 255,
            "the fixture has few enough cuts to be exact"
        );
    }
    let trees = fixture.trees.iter().map(|theirs| {
        let mut ours = Vec::new();
        pre_order(theirs, 0, &cuts, &mut ours);
        ours
    });
    let forest = Forest::new(
        Trees::Ordinary(trees.collect()),
        columns,
        fixture.rows_per_tree,
    )
    .unwrap();
    let rows = Rows {
        values: fixture.points.concat(),
        columns,
    };
    let profiles =
        (0..columns).map(|column| Profile::learn(&rows, &[0, 1, 2], column, Transform::Linear));
    let info = Info {
        created_by: String::new(),
        settings: Settings {
            trees: fixture.trees.len(),
            shape: Shape::Ordinary,
            ..Settings::default()
        },
        rows: 0,
        held_out: 0,
        data_digest: String::new(),
        rows_per_tree: fixture.rows_per_tree,
        columns_used: columns,
        calibration: CalibrationSource::Training,
        calibration_rows: 1,
        autoencoder: None,
        peer_groups: 0,
    };
    let schema = Schema::new(
        (0..columns)
            .map(|i| Column::new(format!("x{i}"), "1", Transform::Linear))
            .collect(),
    );
    Model::assemble(
        schema,
        info,
        profiles.collect(),
        cuts,
        forest,
        Calibration::fit(vec![0.5]),
        Rows::with_columns(columns),
    )
}

#[test]
fn scikit_learns_trees_give_scikit_learns_scores() {
    let fixture: Fixture = serde_json::from_str(include_str!("sklearn_forest.json")).unwrap();
    let model = model(&fixture);
    // A score is 2^(-E[h] / c(64)): the fixed-point path lengths may be off by half a step each.
    let allowed = model.path_resolution() / 2.0 / crate::maths::average_path(64) + 1e-6;
    let mut farthest = 0f64;
    for path in Path::available() {
        let mut ours = vec![0.0; fixture.points.len()];
        model.score_with(
            &mut Scratch::with_path(path).unwrap(),
            &fixture.points.concat(),
            &mut ours,
        );
        for (at, (ours, theirs)) in ours.iter().zip(&fixture.scores).enumerate() {
            let off = (f64::from(*ours).log2() - theirs.log2()).abs();
            farthest = farthest.max(off);
            assert!(off <= allowed, "point {at}, {path:?}: {ours} and {theirs}");
        }
    }
    println!("log2 of a score off by at most {farthest:.5}, {allowed:.5} allowed");
    assert!(farthest > 0.0, "nothing was compared");
}
