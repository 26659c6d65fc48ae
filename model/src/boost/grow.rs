//! Growing one tree: always the leaf whose best cut gains most.

use super::bins::Bins;
use super::histogram::{self, Histogram, Sums};
use super::split::{self, Split};
use super::tree::{NAMED, Node, Tree};
use super::{BoostSettings, ONE};

/// Grows trees on the same rows again and again.
pub(super) struct Grower<'a> {
    codes: &'a [Vec<u8>],
    bins: &'a [Bins],
    settings: &'a BoostSettings,
    threads: usize,
    offsets: Vec<usize>,
    /// Of each tree grown, the columns cut and what that gained.
    gains: Vec<Vec<(u16, f64)>>,
}

/// A leaf that may still be cut.
struct Open {
    /// Its rows: a range of the order.
    from: usize,
    to: usize,
    sums: Sums,
    histogram: Histogram,
    split: Option<Split>,
    /// Node and side it hangs from; none at the root.
    parent: Option<(usize, usize)>,
}

impl<'a> Grower<'a> {
    pub(super) fn new(
        codes: &'a [Vec<u8>],
        bins: &'a [Bins],
        settings: &'a BoostSettings,
        threads: usize,
    ) -> Self {
        Self {
            codes,
            bins,
            settings,
            threads,
            offsets: histogram::offsets(bins.iter().map(Bins::codes)),
            gains: Vec::new(),
        }
    }

    /// A tree that lessens the loss whose gradients these are, one pair for each row of the sample.
    pub(super) fn tree(&mut self, sample: &[u32], columns: &[u32], gradients: &[[i32; 2]]) -> Tree {
        let mut order: Vec<u32> = (0..sample.len() as u32).collect();
        let sums = gradients.iter().fold([0; 3], |sum, [first, second]| {
            [
                sum[0] + i64::from(*first),
                sum[1] + i64::from(*second),
                sum[2] + 1,
            ]
        });
        let context = Context {
            sample,
            columns,
            gradients,
        };
        let histogram = self.histogram(&context, &order);
        let split = self.split(&context, &histogram, sums);
        let mut open = vec![Open {
            from: 0,
            to: order.len(),
            sums,
            histogram,
            split,
            parent: None,
        }];
        let mut tree = Tree {
            nodes: Vec::new(),
            means: Vec::new(),
            sets: Vec::new(),
            leaves: Vec::new(),
        };
        let mut gains = Vec::new();
        while open.len() < self.settings.leaves {
            let gain = |leaf: &Open| leaf.split.as_ref().map_or(f64::MIN, |split| split.gain);
            // Of equal ones the first.
            let Some(at) = (0..open.len())
                .rev()
                .max_by(|&a, &b| gain(&open[a]).total_cmp(&gain(&open[b])))
            else {
                break;
            };
            let Some(split) = open[at].split.take() else {
                break;
            };
            let leaf = open.swap_remove(at);
            gains.push((split.column, split.gain));
            let node = tree.nodes.len();
            tree.nodes.push(Node {
                column: split.column,
                kind: split.kind,
                threshold: split.threshold,
                children: [0; 2],
                set: tree.sets.len() as u16,
            });
            tree.means.push(self.output(leaf.sums));
            if split.kind == NAMED {
                tree.sets.push(split.set);
            }
            if let Some((parent, side)) = leaf.parent {
                tree.nodes[parent].children[side] = node as i16;
            }
            let middle = leaf.from + self.part(&context, &mut order[leaf.from..leaf.to], &split);
            let right: Sums = std::array::from_fn(|i| leaf.sums[i] - split.left[i]);
            let halves = [(leaf.from, middle, split.left), (middle, leaf.to, right)];
            let smaller = usize::from(middle - leaf.from > leaf.to - middle);
            let (from, to, _) = halves[smaller];
            let small = self.histogram(&context, &order[from..to]);
            let mut large = leaf.histogram;
            histogram::subtract(&mut large, &small);
            let mut histograms = [small, large];
            if smaller == 1 {
                histograms.reverse();
            }
            for (side, ((from, to, sums), histogram)) in
                halves.into_iter().zip(histograms).enumerate()
            {
                let split = self.split(&context, &histogram, sums);
                open.push(Open {
                    from,
                    to,
                    sums,
                    histogram,
                    split,
                    parent: Some((node, side)),
                });
            }
        }
        for leaf in open {
            if let Some((parent, side)) = leaf.parent {
                tree.nodes[parent].children[side] = !(tree.leaves.len() as i16);
            }
            tree.leaves.push(self.output(leaf.sums));
        }
        self.gains.push(gains);
        tree
    }

    /// Share of the gain of these trees, the first that were grown, by column.
    pub(super) fn importance(&self, trees: &[Tree], columns: usize) -> Vec<f64> {
        let mut shares = vec![0.0; columns];
        for (column, gain) in self.gains.iter().take(trees.len()).flatten() {
            shares[usize::from(*column)] += gain;
        }
        let all: f64 = shares.iter().sum();
        if all > 0.0 {
            shares.iter_mut().for_each(|share| *share /= all);
        }
        shares
    }

    /// What a leaf with these sums answers.
    fn output(&self, sums: Sums) -> f32 {
        let step = -(sums[0] as f64 / ONE) / (sums[1] as f64 / ONE + self.settings.l2).max(1e-12);
        (step * self.settings.shrinkage) as f32
    }

    fn histogram(&self, context: &Context<'_>, places: &[u32]) -> Histogram {
        let rows: Vec<u32> = places
            .iter()
            .map(|&at| context.sample[at as usize])
            .collect();
        let gradients: Vec<[i32; 2]> = places
            .iter()
            .map(|&at| context.gradients[at as usize])
            .collect();
        histogram::build(
            self.codes,
            context.columns,
            &self.offsets,
            &rows,
            &gradients,
            self.threads,
        )
    }

    fn split(&self, context: &Context<'_>, histogram: &[Sums], total: Sums) -> Option<Split> {
        if total[2] < 2 * i64::from(self.settings.leaf_rows) {
            return None;
        }
        let mut best: Option<Split> = None;
        for &column in context.columns {
            let at = column as usize;
            let sums = &histogram[self.offsets[at]..self.offsets[at + 1]];
            let split = split::best(&self.bins[at], column as u16, sums, total, self.settings);
            if split
                .as_ref()
                .is_some_and(|split| best.as_ref().is_none_or(|best| split.gain > best.gain))
            {
                best = split;
            }
        }
        best
    }

    /// Puts the rows that go left first, order kept; how many they are.
    fn part(&self, context: &Context<'_>, places: &mut [u32], split: &Split) -> usize {
        let codes = &self.codes[usize::from(split.column)];
        let node = Node {
            column: 0,
            kind: split.kind,
            threshold: split.threshold,
            children: [0; 2],
            set: 0,
        };
        let goes_right =
            |at: &u32| node.goes_right(&[split.set], codes[context.sample[*at as usize] as usize]);
        let (right, left): (Vec<u32>, Vec<u32>) = places.iter().copied().partition(goes_right);
        places[..left.len()].copy_from_slice(&left);
        places[left.len()..].copy_from_slice(&right);
        left.len()
    }
}

/// What one tree is grown on.
struct Context<'a> {
    sample: &'a [u32],
    columns: &'a [u32],
    gradients: &'a [[i32; 2]],
}
