//! Every path gives the same bits, and they are those of the trees as a reader of the paper would walk them.

use crate::support::{schema, traffic};
use model::{Model, NodeView, Path, Rows, Scratch, Settings, Shape, TreeView};
use proptest::prelude::*;

fn scores(model: &Model, path: Path, values: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; values.len() / model.schema().len()];
    model.score_with(&mut Scratch::with_path(path).unwrap(), values, &mut out);
    out
}

/// Traffic with odd values strewn in.
fn odd(rows: usize, columns: usize, seed: u64) -> Rows {
    let odd = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        -0.0,
        0.0,
        1e-45,
        f32::MAX,
        65_535.0,
        -3.5,
    ];
    let mut table = traffic(rows, columns, seed);
    for (at, value) in table
        .values
        .iter_mut()
        .enumerate()
        .skip(seed as usize % 7)
        .step_by(11)
    {
        *value = odd[at % odd.len()];
    }
    table
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn all_paths_give_the_same_bits(
        columns in 1usize..30,
        training in 2usize..700,
        trees in prop_oneof![1usize..20, Just(300)],
        subsample in prop_oneof![Just(256usize), 2usize..600],
        level_shared in any::<bool>(),
        range_share in 0f32..=1.0,
        autoencoder in prop_oneof![5 => Just(0f32), 1 => Just(0.4)],
        seed in 0u64..1000,
        rows in 1usize..400,
    ) {
        let settings = Settings {
            trees,
            subsample,
            seed,
            range_share,
            autoencoder,
            shape: if level_shared { Shape::LevelShared } else { Shape::Ordinary },
            ..Settings::default()
        };
        let model = Model::train(&odd(training, columns, seed), &schema(columns), &settings).unwrap();
        let asked = odd(rows, columns, seed + 1);
        let right = scores(&model, Path::Portable, &asked.values);
        let one_by_one: Vec<f32> =
            asked.iter().flat_map(|row| scores(&model, Path::Portable, row)).collect();
        prop_assert_eq!(&right, &one_by_one);
        for path in Path::available() {
            prop_assert_eq!(&right, &scores(&model, path, &asked.values), "{:?}", path);
        }
    }
}

/// Position of a raw value on the axis that thresholds are given on: itself, or the surprisal of a category.
struct Axes {
    medians: Vec<f32>,
    surprisals: Vec<Option<Vec<(f32, f64)>>>,
}

impl Axes {
    /// From the training rows, anew and by the simplest means.
    fn of(rows: &Rows) -> Self {
        let mut axes = Axes {
            medians: Vec::new(),
            surprisals: Vec::new(),
        };
        for column in 0..rows.columns {
            let mut values: Vec<f32> = rows
                .iter()
                .map(|row| row[column])
                .filter(|value| !value.is_nan())
                .collect();
            let total = values.len() as f64;
            let mut surprisals = None;
            values.sort_by(f32::total_cmp);
            if column % 4 == 3 {
                let groups: Vec<(f32, f64)> = values
                    .chunk_by(|a, b| a == b)
                    .map(|same| (same[0], -(same.len() as f64 / total).ln()))
                    .collect();
                let place = |value: f32| {
                    groups
                        .iter()
                        .find(|group| group.0 == value)
                        .map(|group| group.1)
                };
                values.sort_by(|a, b| place(*a).partial_cmp(&place(*b)).unwrap());
                surprisals = Some(groups);
            }
            axes.medians.push(values[values.len() / 2]);
            axes.surprisals.push(surprisals);
        }
        axes
    }

    fn place(&self, column: usize, value: f32) -> f32 {
        let value = if value.is_nan() {
            self.medians[column]
        } else {
            value
        };
        match &self.surprisals[column] {
            None => value,
            Some(groups) => {
                let rarest = groups.iter().map(|group| group.1).fold(0.0, f64::max);
                groups
                    .iter()
                    .find(|group| group.0 == value)
                    .map_or(rarest + 1.0, |group| group.1) as f32
            }
        }
    }
}

/// Path length of a row in a tree: algorithm 3 of the paper.
fn path_length(tree: &TreeView, axes: &Axes, row: &[f32]) -> f64 {
    let mut at = 0;
    loop {
        match tree.nodes[at] {
            NodeView::Split {
                column,
                threshold,
                left,
                right,
            } => {
                at = if axes.place(column, row[column]) > threshold {
                    right
                } else {
                    left
                };
            }
            NodeView::Leaf { depth, rows } => return depth as f64 + c(f64::from(rows)),
        }
    }
}

/// Equation 1 of the paper.
fn c(n: f64) -> f64 {
    match n {
        n if n > 2.0 => 2.0 * ((n - 1.0).ln() + 0.577_215_664_9) - 2.0 * (n - 1.0) / n,
        2.0 => 1.0,
        _ => 0.0,
    }
}

#[test]
fn scores_are_those_of_the_trees_walked_node_by_node() {
    for (shape, seed) in [(Shape::LevelShared, 3), (Shape::Ordinary, 4)] {
        let rows = traffic(3000, 12, seed);
        let settings = Settings {
            shape,
            seed,
            holdout: 0.0,
            ..Settings::default()
        };
        let model = Model::train(&rows, &schema(12), &settings).unwrap();
        let (trees, axes) = (model.trees(), Axes::of(&rows));
        let asked = odd(500, 12, seed + 10);
        let scores = scores(&model, Path::best(), &asked.values);
        let mut farthest = 0f64;
        for (row, score) in asked.iter().zip(scores) {
            let mean = trees
                .iter()
                .map(|tree| path_length(tree, &axes, row))
                .sum::<f64>()
                / trees.len() as f64;
            let ours = -f64::from(score).log2() * c(256.0);
            farthest = farthest.max((ours - mean).abs());
        }
        // Half a step for the fixed-point path lengths, and a little for the score's own 24 bits.
        let allowed = model.path_resolution() / 2.0 + 1e-5;
        assert!(farthest <= allowed, "{shape:?}: {farthest} > {allowed}");
        println!("{shape:?}: expected path length off by at most {farthest:.5}");
    }
}
