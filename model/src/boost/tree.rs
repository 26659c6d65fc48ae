//! One tree: tests of codes, outputs in the leaves.

/// A node whose left side takes what is missing and the codes up to the threshold.
pub(super) const MISSING_LEFT: u8 = 0;
/// A node whose left side takes codes 1 to threshold + 1. Subtracting the kind from the code, with wrapping, makes
/// one comparison of both.
pub(super) const MISSING_RIGHT: u8 = 1;
/// A node whose left side takes a set of codes.
pub(super) const NAMED: u8 = 2;

/// A test. Children are nodes after this one, or leaves where negative (all bits inverted).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) column: u16,
    pub(super) kind: u8,
    pub(super) threshold: u8,
    pub(super) children: [i16; 2],
    /// Place in the tree's sets, if the node is of names.
    pub(super) set: u16,
}

/// A tree. Without a node it has one leaf.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// Mean output below each node; what explanations are made of.
    pub(super) means: Vec<f32>,
    pub(super) sets: Vec<[u64; 4]>,
    pub(super) leaves: Vec<f32>,
}

impl Node {
    /// Whether this code goes to the second child.
    #[inline]
    pub(super) fn goes_right(&self, sets: &[[u64; 4]], code: u8) -> bool {
        if self.kind == NAMED {
            let set = &sets[usize::from(self.set)];
            set[usize::from(code / 64)] >> (code % 64) & 1 == 0
        } else {
            code.wrapping_sub(self.kind) > self.threshold
        }
    }
}

impl Tree {
    /// Whether it says the same of every row.
    pub(super) fn is_leaf(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Its output for a row.
    #[inline]
    pub(super) fn value(&self, code: impl Fn(usize) -> u8) -> f32 {
        let mut at = if self.nodes.is_empty() { !0 } else { 0_i16 };
        while at >= 0 {
            let node = &self.nodes[at as usize];
            let right = node.goes_right(&self.sets, code(usize::from(node.column)));
            at = node.children[usize::from(right)];
        }
        self.leaves[usize::from(!at as u16)]
    }

    /// Each step of a row's path: the column tested, and the change of the mean output.
    pub(super) fn walk(&self, code: impl Fn(usize) -> u8, step: &mut impl FnMut(usize, f32)) {
        let mut at = if self.nodes.is_empty() { !0 } else { 0_i16 };
        while at >= 0 {
            let (node, mean) = (&self.nodes[at as usize], self.means[at as usize]);
            let column = usize::from(node.column);
            at = node.children[usize::from(node.goes_right(&self.sets, code(column)))];
            let next = if at >= 0 {
                self.means[at as usize]
            } else {
                self.leaves[usize::from(!at as u16)]
            };
            step(column, next - mean);
        }
    }

    /// Whether walking it ends, whatever the row: every child lies after its parent and is there.
    pub(super) fn is_sound(&self, columns: usize) -> bool {
        let (nodes, leaves) = (self.nodes.len(), self.leaves.len());
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        leaves == nodes + 1
            && leaves <= 256
            && self.means.len() == nodes
            && finite(&self.means)
            && finite(&self.leaves)
            && self.nodes.iter().enumerate().all(|(at, node)| {
                let sound = |child: i16| match usize::try_from(child) {
                    Ok(child) => child > at && child < nodes,
                    Err(_) => usize::from(!child as u16) < leaves,
                };
                usize::from(node.column) < columns
                    && node.kind <= NAMED
                    && (node.kind != NAMED || usize::from(node.set) < self.sets.len())
                    && node.children.into_iter().all(sound)
            })
    }
}
