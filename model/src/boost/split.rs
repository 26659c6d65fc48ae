//! The best way to cut one column in two.

use super::bins::{Bins, MISSING};
use super::histogram::Sums;
use super::tree::{MISSING_LEFT, MISSING_RIGHT, NAMED};
use super::{BoostSettings, ONE};

/// Names with fewer rows than this stay together on the right: their gradients are chance.
const NAME_ROWS: i64 = 10;
/// Names that a set may have; more would learn the training rows by heart.
const SET: usize = 32;
/// Added to the curvature where names are ordered and where sets of them are judged (as LightGBM's `cat_smooth` and
/// `cat_l2`): an order made from gradients flatters itself.
const SMOOTH: f64 = 10.0;

/// A cut of one column.
#[derive(Clone, Debug)]
pub(super) struct Split {
    pub(super) gain: f64,
    pub(super) column: u16,
    /// One of the kinds of node.
    pub(super) kind: u8,
    pub(super) threshold: u8,
    /// Codes that go left, if it is of names.
    pub(super) set: [u64; 4],
    /// Sums of what goes left.
    pub(super) left: Sums,
}

/// How well rows with these sums are served by one output.
fn score(sums: Sums, l2: f64) -> f64 {
    let first = sums[0] as f64 / ONE;
    first * first / (sums[1] as f64 / ONE + l2)
}

fn plus(a: Sums, b: Sums) -> Sums {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn minus(a: Sums, b: Sums) -> Sums {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// The best cut of a column whose codes have these sums; of equal ones the first.
pub(super) fn best(
    bins: &Bins,
    column: u16,
    sums: &[Sums],
    total: Sums,
    settings: &BoostSettings,
) -> Option<Split> {
    let mut search = Search {
        best: None,
        column,
        total,
        l2: settings.l2,
        rows: i64::from(settings.leaf_rows),
        weight: (settings.leaf_weight * ONE) as i64,
    };
    match bins {
        Bins::Ordered(_) => search.ordered(sums),
        Bins::Named(_) => search.named(sums),
    }
    search.best
}

struct Search {
    best: Option<Split>,
    column: u16,
    total: Sums,
    l2: f64,
    rows: i64,
    weight: i64,
}

impl Search {
    /// Takes the cut if it is allowed and better.
    fn offer(&mut self, left: Sums, cut: impl FnOnce() -> (u8, u8, [u64; 4])) {
        let right = minus(self.total, left);
        if left[2].min(right[2]) < self.rows || left[1].min(right[1]) < self.weight {
            return;
        }
        let gain = score(left, self.l2) + score(right, self.l2) - score(self.total, self.l2);
        if gain > self.best.as_ref().map_or(1e-9, |best| best.gain) {
            let (kind, threshold, set) = cut();
            self.best = Some(Split {
                gain,
                column: self.column,
                kind,
                threshold,
                set,
                left,
            });
        }
    }

    fn ordered(&mut self, sums: &[Sums]) {
        let missing = sums[usize::from(MISSING)];
        let mut below = [0; 3];
        for (code, sum) in sums.iter().enumerate().skip(1) {
            if sum[2] == 0 {
                continue;
            }
            below = plus(below, *sum);
            let code = code as u8;
            if missing[2] > 0 {
                self.offer(below, || (MISSING_RIGHT, code - 1, [0; 4]));
                self.offer(plus(below, missing), || (MISSING_LEFT, code, [0; 4]));
                continue;
            }
            // Nothing is known of missing values here: they go with the many.
            let many = below[2] * 2 >= self.total[2];
            self.offer(below, || {
                if many {
                    (MISSING_LEFT, code, [0; 4])
                } else {
                    (MISSING_RIGHT, code - 1, [0; 4])
                }
            });
        }
    }

    /// Names in the order of their gradients, from either end (Walter Fisher: On grouping for maximum homogeneity, 1958).
    fn named(&mut self, sums: &[Sums]) {
        let mut order: Vec<(f64, usize)> = sums
            .iter()
            .enumerate()
            .filter(|(_, sum)| sum[2] >= NAME_ROWS)
            .map(|(code, sum)| (sum[0] as f64 / (sum[1] as f64 + SMOOTH * ONE), code))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        self.l2 += SMOOTH;
        for backwards in [false, true] {
            if backwards {
                order.reverse();
            }
            let (mut left, mut set) = ([0; 3], [0_u64; 4]);
            for &(_, code) in order.iter().take(SET) {
                left = plus(left, sums[code]);
                set[code / 64] |= 1 << (code % 64);
                self.offer(left, || (NAMED, 0, set));
            }
        }
    }
}
