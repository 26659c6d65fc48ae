//! The forest laid out for walking, and the portable walk that says what every other walk must give.

use crate::forest::{Forest, LEAVES, LEVELS, NEVER, Node, Trees};
use crate::maths::{average_path, exp2};
#[cfg(target_arch = "x86_64")]
use crate::mux::Program;

/// Rows that are quantised and walked together: their codes stay in the caches next to the core.
pub(crate) const BLOCK: usize = 256;

/// A forest laid out for walking.
#[derive(Clone, Debug)]
pub(crate) struct Walker {
    pub(crate) trees: Compiled,
    /// Fixed-point steps in one unit of path length.
    steps: f64,
    /// `-1 / (steps * trees * c(psi))`: turns a sum into the exponent of the score.
    exponent: f64,
}

#[derive(Clone, Debug)]
pub(crate) enum Compiled {
    LevelShared(Vec<LevelWalk>),
    Ordinary {
        nodes: Vec<Step>,
        trees: Vec<(u32, u32)>,
        /// The same trees, for many rows at once.
        #[cfg(target_arch = "x86_64")]
        program: Program,
    },
}

/// A level-shared tree: node `p` of level `l` has heap index `2^l + p`, so that a walk is `h = 2h + above`.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct LevelWalk {
    /// By heap index; 0 is not used.
    pub(crate) thresholds: [u8; LEAVES],
    /// Path length by leaf, fixed-point.
    pub(crate) path: [u8; LEAVES],
    pub(crate) columns: [u16; LEVELS],
}

/// A node of an ordinary tree. The children lie side by side; a leaf is its own left child and never left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    first: u32,
    column: u16,
    threshold: u8,
    path: u8,
}

const _: () = assert!(size_of::<Step>() == 8 && align_of::<LevelWalk>() == 64);

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
                        thresholds: std::array::from_fn(|i| {
                            if i == 0 {
                                NEVER
                            } else {
                                tree.thresholds[i - 1]
                            }
                        }),
                        path: std::array::from_fn(|i| fixed(paths[i])),
                        columns: tree.columns,
                    })
                    .collect(),
            ),
            Trees::Ordinary(trees) => {
                let mut nodes = Vec::new();
                let mut roots = Vec::new();
                #[cfg(target_arch = "x86_64")]
                let program = Program::new(trees.iter().zip(&paths).map(|(tree, paths)| {
                    let paths = paths.iter().map(|&path| fixed(path));
                    (&tree[..], paths.collect())
                }));
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
                    #[cfg(target_arch = "x86_64")]
                    program,
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

    /// Adds the path lengths of the rows from `start` on to `sums`, node by node; `codes[column * BLOCK + row]`.
    pub(crate) fn portable(&self, codes: &[u8], start: usize, sums: &mut [u32]) {
        match &self.trees {
            Compiled::LevelShared(trees) => {
                for tree in trees {
                    for (row, sum) in sums.iter_mut().enumerate() {
                        // All codes first: they do not wait for the comparisons above them.
                        let codes = tree
                            .columns
                            .map(|column| codes[usize::from(column) * BLOCK + start + row]);
                        let mut heap = 1usize;
                        for code in codes {
                            heap =
                                2 * heap + usize::from(code > tree.thresholds[heap & (LEAVES - 1)]);
                        }
                        *sum += u32::from(tree.path[heap & (LEAVES - 1)]);
                    }
                }
            }
            Compiled::Ordinary { nodes, trees, .. } => {
                for &(root, height) in trees {
                    for (row, sum) in sums.iter_mut().enumerate() {
                        let mut step = nodes[root as usize];
                        for _ in 0..height {
                            let code = codes[usize::from(step.column) * BLOCK + start + row];
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
