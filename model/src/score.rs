//! Scoring: the paper's `2^(-E[h] / c(psi))`, without allocation, the same bits whatever the path taken.
//!
//! Path lengths are 8-bit fixed-point numbers and a row's sum over the trees is an integer, so the order in which
//! trees and rows are visited cannot matter; only the finished sum becomes a float.

use crate::Model;
use crate::forest::{Forest, LEAVES, LEVELS, NEVER, Node, Trees};
use crate::maths::{average_path, exp2};
use crate::quantise::Coder;

/// Rows that are quantised and walked together: their codes stay in the first-level cache.
const BLOCK: usize = 64;

/// A forest laid out for walking.
#[derive(Clone, Debug)]
pub(crate) struct Walker {
    trees: Compiled,
    /// Fixed-point steps in one unit of path length.
    steps: f64,
    /// `-1 / (steps * trees * c(psi))`: turns a sum into the exponent of the score.
    exponent: f64,
}

#[derive(Clone, Debug)]
enum Compiled {
    LevelShared(Vec<LevelWalk>),
    Ordinary {
        nodes: Vec<Step>,
        trees: Vec<(u32, u32)>,
    },
}

#[derive(Clone, Debug)]
struct LevelWalk {
    columns: [u16; LEVELS],
    thresholds: [u8; LEAVES],
    path: [u8; LEAVES],
}

/// A node of an ordinary tree. The children lie side by side; a leaf is its own left child and never left.
#[derive(Clone, Copy, Debug)]
struct Step {
    first: u32,
    column: u16,
    threshold: u8,
    path: u8,
}

impl Walker {
    pub(crate) fn new(forest: &Forest) -> Self {
        let paths: Vec<Vec<f64>> = (0..forest.len()).map(|tree| forest.paths(tree)).collect();
        let longest = paths
            .iter()
            .flatten()
            .fold(1.0, |most: f64, &path| most.max(path));
        let steps = 255.0 / longest;
        let fixed = |path: f64| (path * steps + 0.5) as u8;
        let trees = match forest.trees() {
            Trees::LevelShared(trees) => Compiled::LevelShared(
                trees
                    .iter()
                    .zip(&paths)
                    .map(|(tree, paths)| LevelWalk {
                        columns: tree.columns,
                        thresholds: std::array::from_fn(|i| {
                            tree.thresholds.get(i).copied().unwrap_or(NEVER)
                        }),
                        path: std::array::from_fn(|i| fixed(paths[i])),
                    })
                    .collect(),
            ),
            Trees::Ordinary(trees) => {
                let mut nodes = Vec::new();
                let mut roots = Vec::new();
                for (tree, paths) in trees.iter().zip(&paths) {
                    let root = nodes.len();
                    nodes.push(Step {
                        first: 0,
                        column: 0,
                        threshold: NEVER,
                        path: 0,
                    });
                    let mut paths = paths.iter().map(|&path| fixed(path));
                    let height = lay(&mut tree.iter(), &mut paths, &mut nodes, root);
                    roots.push((root as u32, height));
                }
                Compiled::Ordinary {
                    nodes,
                    trees: roots,
                }
            }
        };
        let normal = average_path(u64::from(forest.rows_per_tree()));
        let exponent = if normal > 0.0 {
            -1.0 / (steps * forest.len() as f64 * normal)
        } else {
            0.0
        };
        Self {
            trees,
            steps,
            exponent,
        }
    }

    /// Fixed-point steps in one unit of path length.
    pub(crate) fn steps(&self) -> f64 {
        self.steps
    }

    /// The score of a row whose path lengths sum up to this.
    pub(crate) fn score(&self, sum: u32) -> f32 {
        exp2(f64::from(sum) * self.exponent) as f32
    }

    /// Sums of path lengths of up to [`BLOCK`] rows; `codes[column * BLOCK + row]`.
    fn sums(&self, codes: &[u8], sums: &mut [u32; BLOCK]) {
        sums.fill(0);
        match &self.trees {
            Compiled::LevelShared(trees) => {
                for tree in trees {
                    let columns = tree
                        .columns
                        .map(|column| &codes[usize::from(column) * BLOCK..][..BLOCK]);
                    for (row, sum) in sums.iter_mut().enumerate() {
                        let mut place = 1usize;
                        for column in columns {
                            place =
                                2 * place + usize::from(column[row] > tree.thresholds[place - 1]);
                        }
                        *sum += u32::from(tree.path[place - LEAVES]);
                    }
                }
            }
            Compiled::Ordinary { nodes, trees } => {
                for &(root, height) in trees {
                    for (row, sum) in sums.iter_mut().enumerate() {
                        let mut step = nodes[root as usize];
                        for _ in 0..height {
                            let code = codes[usize::from(step.column) * BLOCK + row];
                            step = nodes[step.first as usize + usize::from(code > step.threshold)];
                        }
                        *sum += u32::from(step.path);
                    }
                }
            }
        }
    }
}

/// Lays out the subtree that comes next in pre-order at node `at`; its height.
fn lay(
    rest: &mut std::slice::Iter<'_, Node>,
    paths: &mut impl Iterator<Item = u8>,
    nodes: &mut Vec<Step>,
    at: usize,
) -> u32 {
    match rest.next() {
        Some(&Node::Split { column, threshold }) => {
            let first = nodes.len();
            nodes[at] = Step {
                first: first as u32,
                column,
                threshold,
                path: 0,
            };
            nodes.extend([nodes[at]; 2]);
            let left = lay(rest, paths, nodes, first);
            let right = lay(rest, paths, nodes, first + 1);
            1 + left.max(right)
        }
        Some(Node::Leaf { .. }) | None => {
            nodes[at] = Step {
                first: at as u32,
                column: 0,
                threshold: NEVER,
                path: paths.next().unwrap_or(0),
            };
            0
        }
    }
}

/// Memory that scoring works in; one per thread, made once.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    codes: Vec<u8>,
}

/// Scores rows with one model.
#[derive(Debug)]
pub struct Scorer<'a> {
    model: &'a Model,
    scratch: Scratch,
}

impl<'a> Scorer<'a> {
    pub(crate) fn new(model: &'a Model) -> Self {
        Self {
            model,
            scratch: Scratch {
                codes: vec![0; model.schema().len() * BLOCK],
            },
        }
    }

    /// Scores row-major raw values, one score per row: above 0, at most 1, higher is more anomalous.
    ///
    /// # Panics
    /// If `rows` does not hold `out.len()` rows of the model's width.
    pub fn score<R: AsRef<[f32]> + ?Sized>(&mut self, rows: &R, out: &mut [f32]) {
        self.model.score_with(&mut self.scratch, rows.as_ref(), out);
    }
}

impl Model {
    /// As [`Scorer::score`], in memory that outlives the model: for a reader that pins a model per batch.
    /// Allocates only when `scratch` was made for a model with fewer columns.
    ///
    /// # Panics
    /// If `rows` does not hold `out.len()` rows of the model's width.
    pub fn score_with(&self, scratch: &mut Scratch, rows: &[f32], out: &mut [f32]) {
        let walker = self.walker();
        self.sums(scratch, rows, out.len(), |row, sum| {
            out[row] = walker.score(sum);
        });
    }

    /// Hands the fixed-point sum of each row to `give`.
    pub(crate) fn sums(
        &self,
        scratch: &mut Scratch,
        rows: &[f32],
        count: usize,
        mut give: impl FnMut(usize, u32),
    ) {
        let width = self.schema().len();
        assert_eq!(
            rows.len(),
            count * width,
            "as many values as rows times columns"
        );
        scratch.codes.resize(width * BLOCK, 0);
        let mut sums = [0; BLOCK];
        for (block, rows) in rows.chunks(BLOCK * width).enumerate() {
            quantise(self.coders(), rows, &mut scratch.codes);
            self.walker().sums(&scratch.codes, &mut sums);
            for (row, &sum) in sums.iter().enumerate().take(rows.len() / width) {
                give(block * BLOCK + row, sum);
            }
        }
    }
}

/// Codes of a block of rows, column by column.
fn quantise(coders: &[Coder], rows: &[f32], codes: &mut [u8]) {
    for (at, row) in rows.chunks_exact(coders.len()).enumerate() {
        for ((coder, &value), codes) in coders.iter().zip(row).zip(codes.chunks_exact_mut(BLOCK)) {
            codes[at] = coder.code(value);
        }
    }
}
