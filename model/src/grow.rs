//! Growing trees from subsamples: Liu, Ting, Zhou, Isolation Forest (ICDM 2008), algorithms 1 and 2.
//!
//! A forest is grown twice from the same random numbers. The first time every cut is free, and the thresholds
//! drawn show where cuts are wanted; at most 255 of them per column become the cuts of the codes. The second
//! time every cut drawn is moved to the nearest of those that still separates the node's rows.

use crate::axis::Axis;
use crate::baseline::Profile;
use crate::forest::{LEAVES, LEVELS, LevelTree, NEVER, Node, Trees};
use crate::quantise::{Coder, Cuts, thin};
use crate::rng::{Purpose, Rng};
use crate::sample::{Coded, Cutter, Free, Sample, places, with_ghosts};
use crate::{Rows, Schema, Settings, Shape, parallel};

/// A forest grown, and the cuts its thresholds refer to.
pub(crate) struct Grown {
    pub(crate) trees: Trees,
    pub(crate) cuts: Vec<Cuts>,
    pub(crate) rows_per_tree: u32,
}

/// Grows the forest of `settings` from the rows at `chosen`.
pub(crate) fn grow(
    rows: &Rows,
    chosen: &[u32],
    profiles: &[Profile],
    schema: &Schema,
    settings: &Settings,
) -> Grown {
    let threads = parallel::threads(settings.threads);
    let size = settings.subsample.min(chosen.len());
    let plan = Plan {
        range_share: settings.range_share,
        height: height(size),
        real: size as u32,
        scaled: profiles.iter().map(Profile::has_a_scale).collect(),
        shape: settings.shape,
    };

    let rank_share = f64::from(settings.rank_share);
    let kinds: [Vec<Axis<'_>>; 2] = [Axis::declared, Axis::ranked].map(|kind| {
        let columns = profiles.iter().zip(&schema.columns);
        columns
            .map(|(profile, column)| {
                let axis = if column.aside { Axis::flat } else { kind };
                axis(profile)
            })
            .collect()
    });
    // Evenly among the trees: any part of the forest has its share of both kinds.
    let is_ranked = |tree: usize| {
        let upto = |count: usize| (count as f64 * rank_share + 1e-6) as usize;
        usize::from(upto(tree + 1) > upto(tree))
    };
    let first = parallel::map(threads, settings.trees, |tree| {
        let axes: &[Axis<'_>] = &kinds[is_ranked(tree)];
        let mut rng = Rng::new(settings.seed, Purpose::Tree(tree as u32));
        let picked = rng.distinct(size, chosen.len());
        let rows_of = picked.iter().map(|&pick| chosen[pick as usize]);
        let table = with_ghosts(rows, rows_of, axes, settings.beyond, &mut rng);
        let sample = Sample::new(&table, axes);
        let mut drawn = Vec::new();
        let free = Free {
            sample: &sample,
            axes,
        };
        plan.tree(&free, &mut rng, &mut |column, cut| {
            drawn.push((column, cut));
        });
        (sample, drawn)
    });
    let mut cuts: Vec<Cuts> = vec![Vec::new(); profiles.len()];
    for &(column, cut) in first.iter().flat_map(|(_, drawn)| drawn) {
        cuts[column].push(cut);
    }
    let cuts: Vec<Cuts> = parallel::map(threads, cuts.len(), |column| thin(cuts[column].clone()));
    let coders: Vec<Coder> = profiles
        .iter()
        .zip(&cuts)
        .map(|(profile, cuts)| Coder::new(profile, cuts))
        .collect();
    let places_of = kinds.each_ref().map(|axes| {
        axes.iter()
            .zip(&cuts)
            .map(|(axis, cuts)| places(axis, cuts))
            .collect::<Vec<Vec<f32>>>()
    });

    let grown = parallel::map(threads, settings.trees, |tree| {
        let mut rng = Rng::new(settings.seed, Purpose::Tree(tree as u32));
        let picked = rng.distinct(size, chosen.len());
        let rows_of = picked.iter().map(|&pick| chosen[pick as usize]);
        let axes = &kinds[is_ranked(tree)];
        let table = with_ghosts(rows, rows_of, axes, settings.beyond, &mut rng);
        let sample = &first[tree].0;
        let coded = Coded {
            codes: sample.codes(&table, &coders),
            sample,
            places: &places_of[is_ranked(tree)],
        };
        plan.tree(&coded, &mut rng, &mut |_, _| {})
    });
    let trees = match settings.shape {
        Shape::LevelShared => Trees::LevelShared(
            grown
                .into_iter()
                .filter_map(|tree| {
                    if let Tree::Level(tree) = tree {
                        Some(tree)
                    } else {
                        None
                    }
                })
                .collect(),
        ),
        Shape::Ordinary => Trees::Ordinary(
            grown
                .into_iter()
                .filter_map(|tree| {
                    if let Tree::Nodes(tree) = tree {
                        Some(tree)
                    } else {
                        None
                    }
                })
                .collect(),
        ),
    };
    Grown {
        trees,
        cuts,
        rows_per_tree: size as u32,
    }
}

/// Height limit: `ceil(log2 n)`, the average height of a tree of `n` rows.
fn height(rows: usize) -> usize {
    rows.next_power_of_two().trailing_zeros() as usize
}

enum Tree {
    Level(LevelTree),
    Nodes(Vec<Node>),
}

/// What all trees of a forest have in common.
///
/// Ranges compete as they are on the axes, undivided by the column's own: on the network tables of
/// docs/models.md dividing costs a tenth of average precision, since a column that spans decades *is* the
/// more telling. That holds for logarithms, ranks, nats and shares, whose units are one; a linear column that
/// leaves 0 to 1 is in a unit of its own.
struct Plan {
    range_share: f32,
    height: usize,
    /// Members from here on are ghosts.
    real: u32,
    /// Columns whose range means something beside others'; the rest compete as if theirs were 1.
    scaled: Vec<bool>,
    shape: Shape,
}

/// Told of each cut made: column and raw value.
type Told<'a> = &'a mut dyn FnMut(usize, f32);

impl Plan {
    fn tree(&self, cutter: &impl Cutter, rng: &mut Rng, told: Told<'_>) -> Tree {
        let mut members: Vec<u32> = (0..cutter.sample().rows as u32).collect();
        match self.shape {
            Shape::Ordinary => {
                let mut nodes = Vec::new();
                self.node(cutter, &mut members, 0, rng, &mut nodes, told);
                Tree::Nodes(nodes)
            }
            Shape::LevelShared => Tree::Level(self.levels(cutter, &mut members, rng, told)),
        }
    }

    /// Members that are rows of the baseline.
    fn rows_among(&self, members: &[u32]) -> u32 {
        members.iter().filter(|&&member| member < self.real).count() as u32
    }

    /// Grows the subtree of `members` in pre-order.
    fn node(
        &self,
        cutter: &impl Cutter,
        members: &mut [u32],
        depth: usize,
        rng: &mut Rng,
        nodes: &mut Vec<Node>,
        told: Told<'_>,
    ) {
        let chosen = if members.len() > 1 && depth < self.height {
            self.choose(cutter, members, rng)
        } else {
            None
        };
        let Some((column, span)) = chosen else {
            nodes.push(Node::Leaf {
                count: self.rows_among(members),
            });
            return;
        };
        let place = f64::from(span.0) + rng.unit() * (f64::from(span.1) - f64::from(span.0));
        let threshold = cutter.threshold(column, members, place, span);
        told(column, cutter.raw(column, threshold));
        nodes.push(Node::Split {
            column: column as u16,
            threshold: threshold.0,
        });
        let middle = partition(members, |row| !cutter.above(column, row, threshold));
        let (left, right) = members.split_at_mut(middle);
        self.node(cutter, left, depth + 1, rng, nodes, told);
        self.node(cutter, right, depth + 1, rng, nodes, told);
    }

    /// Chooses the column to cut a node at, and the node's span in it.
    fn choose(
        &self,
        cutter: &impl Cutter,
        members: &[u32],
        rng: &mut Rng,
    ) -> Option<(usize, (f32, f32))> {
        let by_range = rng.unit() < f64::from(self.range_share);
        let sample = cutter.sample();
        let spans: Vec<(f32, f32)> = (0..sample.columns)
            .map(|column| sample.span(column, members))
            .collect();
        let mut weights: Vec<f64> = (0..sample.columns)
            .map(|column| match spans[column] {
                (low, high) if low >= high => 0.0,
                (low, high) if by_range && self.scaled[column] => f64::from(high) - f64::from(low),
                _ => 1.0,
            })
            .collect();
        while let Some(column) = draw(&weights, rng) {
            if cutter.separable(column, members) {
                return Some((column, spans[column]));
            }
            weights[column] = 0.0;
        }
        None
    }

    /// Grows a level-shared tree. A level's column is drawn in proportion to the mass of the nodes that it can cut.
    fn levels(
        &self,
        cutter: &impl Cutter,
        members: &mut [u32],
        rng: &mut Rng,
        told: Told<'_>,
    ) -> LevelTree {
        let mut tree = LevelTree {
            columns: [0; LEVELS],
            thresholds: vec![NEVER; LEAVES - 1],
            counts: vec![0; LEAVES],
        };
        let sample = cutter.sample();
        // Nodes of the level: place in the level, and the end of its members (which begin where the last ended).
        let mut level_nodes: Vec<(usize, usize)> = vec![(0, members.len())];
        for level in 0..LEVELS {
            let by_range = rng.unit() < f64::from(self.range_share);
            let mut spans = vec![(0.0, 0.0); level_nodes.len() * sample.columns];
            let mut weights = vec![0.0; sample.columns];
            if level < self.height {
                let mut start = 0;
                for (node, &(_, end)) in level_nodes.iter().enumerate() {
                    let inside = &members[start..end];
                    start = end;
                    if inside.len() < 2 {
                        continue;
                    }
                    for (column, weight) in weights.iter_mut().enumerate() {
                        let span = sample.span(column, inside);
                        spans[node * sample.columns + column] = span;
                        if span.0 < span.1 && cutter.separable(column, inside) {
                            let each = if by_range && self.scaled[column] {
                                f64::from(span.1) - f64::from(span.0)
                            } else {
                                1.0
                            };
                            *weight += each * inside.len() as f64;
                        }
                    }
                }
            }
            let chosen = draw(&weights, rng);
            tree.columns[level] = chosen.unwrap_or(0) as u16;
            let mut next = Vec::with_capacity(level_nodes.len() * 2);
            let mut start = 0;
            for (node, &(place, end)) in level_nodes.iter().enumerate() {
                let inside = &mut members[start..end];
                let mut middle = inside.len();
                if let Some(column) = chosen {
                    let span = spans[node * sample.columns + column];
                    if inside.len() > 1 && span.0 < span.1 && cutter.separable(column, inside) {
                        let at = f64::from(span.0)
                            + rng.unit() * (f64::from(span.1) - f64::from(span.0));
                        let threshold = cutter.threshold(column, inside, at, span);
                        told(column, cutter.raw(column, threshold));
                        tree.thresholds[(1 << level) - 1 + place] = threshold.0;
                        middle = partition(inside, |row| !cutter.above(column, row, threshold));
                    }
                }
                next.push((2 * place, start + middle));
                if start + middle < end {
                    next.push((2 * place + 1, end));
                }
                start = end;
            }
            level_nodes = next;
        }
        let mut start = 0;
        for (place, end) in level_nodes {
            tree.counts[place] = self.rows_among(&members[start..end]);
            start = end;
        }
        tree
    }
}

/// An index in proportion to its weight; `None` if all weights are 0.
fn draw(weights: &[f64], rng: &mut Rng) -> Option<usize> {
    let total: f64 = weights.iter().sum();
    let mut left = rng.unit() * total;
    let mut last = None;
    for (index, &weight) in weights
        .iter()
        .enumerate()
        .filter(|&(_, &weight)| weight > 0.0)
    {
        last = Some(index);
        if left < weight {
            break;
        }
        left -= weight;
    }
    last
}

/// Moves the rows that stay to the front, in order; the number of them.
fn partition(members: &mut [u32], stays: impl Fn(u32) -> bool) -> usize {
    let mut gone = Vec::with_capacity(members.len());
    let mut kept = 0;
    for i in 0..members.len() {
        let row = members[i];
        if stays(row) {
            members[kept] = row;
            kept += 1;
        } else {
            gone.push(row);
        }
    }
    members[kept..].copy_from_slice(&gone);
    kept
}
