//! The trees, in the form in which they are stored, and what a scorer may rely on about them.

use crate::Shape;
use crate::maths::average_path;

/// Levels of a level-shared tree.
pub(crate) const LEVELS: usize = 8;
/// Leaf patterns of a level-shared tree.
pub(crate) const LEAVES: usize = 1 << LEVELS;
/// A threshold that no code exceeds: the node does not split.
pub(crate) const NEVER: u8 = 255;
/// Deepest ordinary tree: the height limit for the largest subsample.
pub(crate) const MAX_DEPTH: usize = 16;

/// One node of an ordinary tree; nodes are stored in pre-order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Codes of `column` above `threshold` go right.
    Split { column: u16, threshold: u8 },
    /// Where `count` of the tree's rows ended.
    Leaf { count: u32 },
}

/// A tree whose levels each test one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LevelTree {
    pub(crate) columns: [u16; LEVELS],
    /// In heap order: node `p` of level `l` is at `2^l - 1 + p`; [`NEVER`] where a node does not split.
    pub(crate) thresholds: Vec<u8>,
    /// Rows that ended in each leaf.
    pub(crate) counts: Vec<u32>,
}

/// The trees of one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trees {
    LevelShared(Vec<LevelTree>),
    Ordinary(Vec<Vec<Node>>),
}

/// Trees that have been checked, and the rows each was grown from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forest {
    trees: Trees,
    rows_per_tree: u32,
}

impl Forest {
    /// Checks what traversal relies on: columns exist, trees are whole and no deeper than [`MAX_DEPTH`], leaves
    /// hold `rows_per_tree` rows together. `None` if not.
    pub(crate) fn new(trees: Trees, columns: usize, rows_per_tree: u32) -> Option<Self> {
        let holds = |counts: u64| counts == u64::from(rows_per_tree);
        let sound = match &trees {
            Trees::LevelShared(trees) => trees.iter().all(|tree| {
                tree.columns
                    .iter()
                    .all(|&column| usize::from(column) < columns)
                    && tree.thresholds.len() == LEAVES - 1
                    && tree.counts.len() == LEAVES
                    && holds(tree.counts.iter().map(|&count| u64::from(count)).sum())
            }),
            Trees::Ordinary(trees) => trees.iter().all(|nodes| {
                let mut rows = 0;
                // Free places below the nodes read so far, with their depths.
                let mut open = vec![0];
                for node in nodes {
                    let Some(depth) = open.pop() else {
                        return false;
                    };
                    match *node {
                        Node::Split { column, .. } => {
                            if usize::from(column) >= columns || depth >= MAX_DEPTH {
                                return false;
                            }
                            open.extend([depth + 1; 2]);
                        }
                        Node::Leaf { count } => rows += u64::from(count),
                    }
                }
                open.is_empty() && holds(rows)
            }),
        };
        let forest = Self {
            trees,
            rows_per_tree,
        };
        (sound && rows_per_tree > 0 && forest.len() > 0).then_some(forest)
    }

    pub(crate) fn trees(&self) -> &Trees {
        &self.trees
    }

    pub(crate) fn len(&self) -> usize {
        match &self.trees {
            Trees::LevelShared(trees) => trees.len(),
            Trees::Ordinary(trees) => trees.len(),
        }
    }

    pub(crate) fn rows_per_tree(&self) -> u32 {
        self.rows_per_tree
    }

    pub(crate) fn shape(&self) -> Shape {
        match &self.trees {
            Trees::LevelShared(_) => Shape::LevelShared,
            Trees::Ordinary(_) => Shape::Ordinary,
        }
    }

    /// Path length of every leaf of a tree, in the order of the leaves.
    pub(crate) fn paths(&self, tree: usize) -> Vec<f64> {
        match &self.trees {
            Trees::LevelShared(trees) => {
                let tree = &trees[tree];
                (0..LEAVES)
                    .map(|leaf| {
                        tree.depth(leaf) as f64 + average_path(u64::from(tree.counts[leaf]))
                    })
                    .collect()
            }
            Trees::Ordinary(trees) => {
                let mut open = vec![0u32];
                let mut paths = Vec::new();
                for node in &trees[tree] {
                    let depth = open.pop().unwrap_or(0);
                    match *node {
                        Node::Split { .. } => open.extend([depth + 1; 2]),
                        Node::Leaf { count } => {
                            paths.push(f64::from(depth) + average_path(u64::from(count)));
                        }
                    }
                }
                paths
            }
        }
    }
}

impl LevelTree {
    /// Splits on the way to a leaf.
    fn depth(&self, leaf: usize) -> usize {
        (0..LEVELS)
            .filter(|&level| {
                self.thresholds[(1 << level) - 1 + (leaf >> (LEVELS - level))] != NEVER
            })
            .count()
    }
}

/// A tree in a readable form, for comparison with other implementations.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeView {
    /// Nodes; the root is the first.
    pub nodes: Vec<NodeView>,
}

/// A node of a [`TreeView`].
#[derive(Clone, Debug, PartialEq)]
pub enum NodeView {
    /// Values above `threshold` go to node `right`, others (the column's median if missing) to `left`.
    Split {
        /// Column that is tested.
        column: usize,
        /// Raw value; a surprisal if the column is categorical.
        threshold: f32,
        /// Index of the child for values at or below the threshold.
        left: usize,
        /// Index of the child for values above it.
        right: usize,
    },
    /// A leaf at `depth` splits below the root in which `rows` of the tree's rows ended.
    Leaf {
        /// Splits above.
        depth: usize,
        /// Rows of the subsample that ended here.
        rows: u32,
    },
}

impl Forest {
    /// A tree for people, with raw thresholds from `cuts`.
    pub(crate) fn view(&self, tree: usize, cuts: &[Vec<f32>]) -> TreeView {
        let mut nodes = Vec::new();
        match &self.trees {
            Trees::LevelShared(trees) => {
                view_level(&trees[tree], cuts, &mut nodes, 0, 0, 0);
            }
            Trees::Ordinary(trees) => {
                view_ordinary(&mut trees[tree].iter(), cuts, &mut nodes, 0);
            }
        }
        TreeView { nodes }
    }
}

fn view_level(
    tree: &LevelTree,
    cuts: &[Vec<f32>],
    nodes: &mut Vec<NodeView>,
    level: usize,
    place: usize,
    depth: usize,
) -> usize {
    let at = nodes.len();
    if level == LEVELS {
        nodes.push(NodeView::Leaf {
            depth,
            rows: tree.counts[place],
        });
        return at;
    }
    let threshold = tree.thresholds[(1 << level) - 1 + place];
    if threshold == NEVER {
        return view_level(tree, cuts, nodes, level + 1, 2 * place, depth);
    }
    let column = usize::from(tree.columns[level]);
    nodes.push(NodeView::Leaf { depth, rows: 0 });
    let left = view_level(tree, cuts, nodes, level + 1, 2 * place, depth + 1);
    let right = view_level(tree, cuts, nodes, level + 1, 2 * place + 1, depth + 1);
    nodes[at] = NodeView::Split {
        column,
        threshold: cut(cuts, column, threshold),
        left,
        right,
    };
    at
}

fn view_ordinary(
    rest: &mut std::slice::Iter<'_, Node>,
    cuts: &[Vec<f32>],
    nodes: &mut Vec<NodeView>,
    depth: usize,
) -> usize {
    let at = nodes.len();
    match rest.next() {
        Some(&Node::Split { column, threshold }) => {
            let column = usize::from(column);
            nodes.push(NodeView::Leaf { depth, rows: 0 });
            let left = view_ordinary(rest, cuts, nodes, depth + 1);
            let right = view_ordinary(rest, cuts, nodes, depth + 1);
            nodes[at] = NodeView::Split {
                column,
                threshold: cut(cuts, column, threshold),
                left,
                right,
            };
        }
        Some(&Node::Leaf { count }) => nodes.push(NodeView::Leaf { depth, rows: count }),
        None => {}
    }
    at
}

/// The raw value behind a threshold; a threshold beyond the cuts is never exceeded.
fn cut(cuts: &[Vec<f32>], column: usize, threshold: u8) -> f32 {
    cuts[column]
        .get(usize::from(threshold))
        .copied()
        .unwrap_or(f32::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_trees_are_refused() {
        let split = |column| Node::Split {
            column,
            threshold: 0,
        };
        let leaf = |count| Node::Leaf { count };
        let check = |nodes: Vec<Node>| Forest::new(Trees::Ordinary(vec![nodes]), 2, 3).is_some();
        assert!(check(vec![split(1), leaf(1), leaf(2)]));
        assert!(!check(vec![split(2), leaf(1), leaf(2)]), "no such column");
        assert!(!check(vec![split(0), leaf(3)]), "a child is missing");
        assert!(!check(vec![leaf(3), leaf(0)]), "a node too many");
        assert!(!check(vec![split(0), leaf(1), leaf(1)]), "a row is missing");
        assert!(!check(vec![]), "no root");
        let mut deep = vec![split(0); MAX_DEPTH + 1];
        deep.extend(vec![leaf(0); MAX_DEPTH + 1]);
        deep.push(leaf(3));
        assert!(!check(deep), "too deep");
    }

    #[test]
    fn depth_counts_the_splits_and_not_the_levels() {
        let mut tree = LevelTree {
            columns: [0; LEVELS],
            thresholds: vec![NEVER; LEAVES - 1],
            counts: vec![0; LEAVES],
        };
        tree.thresholds[0] = 3;
        tree.thresholds[3 + 2] = 1; // level 2, reached by right then left
        assert_eq!(tree.depth(0), 1);
        assert_eq!(tree.depth(0b1000_0000), 2);
        assert_eq!(tree.depth(0b1010_0000), 2);
    }
}
