//! The rows of one tree, and the two ways to cut them: anywhere, or at the cuts of the codes.

use crate::axis::Axis;
use crate::quantise::Coder;
use crate::rng::Rng;
use crate::{Rows, Transform};

/// Where the cuts of a column lie on its axis.
pub(crate) fn places(axis: &Axis<'_>, cuts: &[f32]) -> Vec<f32> {
    match axis.profile.transform {
        Transform::Categorical => cuts.to_vec(),
        _ => cuts.iter().map(|&cut| axis.place_of_cut(cut)).collect(),
    }
}

/// The rows of one tree, column by column, as positions on the axes.
pub(crate) struct Sample {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    axis: Vec<f32>,
}

impl Sample {
    pub(crate) fn new(table: &Rows, axes: &[Axis<'_>]) -> Self {
        let (count, columns) = (table.len(), axes.len());
        let missing: Vec<f32> = axes.iter().map(Axis::missing).collect();
        let mut axis = vec![0.0; count * columns];
        for (i, row) in table.iter().enumerate() {
            for (column, &value) in row.iter().enumerate() {
                axis[column * count + i] = if value.is_nan() {
                    missing[column]
                } else {
                    axes[column].place(value)
                };
            }
        }
        Self {
            rows: count,
            columns,
            axis,
        }
    }

    pub(crate) fn codes(&self, table: &Rows, coders: &[Coder]) -> Vec<u8> {
        let mut codes = vec![0; self.axis.len()];
        for (i, row) in table.iter().enumerate() {
            for (column, &value) in row.iter().enumerate() {
                codes[column * self.rows + i] = coders[column].code(value);
            }
        }
        codes
    }

    /// Least and greatest position of some rows in a column.
    pub(crate) fn span(&self, column: usize, members: &[u32]) -> (f32, f32) {
        let axis = &self.axis[column * self.rows..][..self.rows];
        members
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &row| {
                let place = axis[row as usize];
                (
                    if place < low { place } else { low },
                    if place > high { place } else { high },
                )
            })
    }
}

/// How far beyond a tree's rows a ghost lies, in units of what they span.
const BEYOND: f32 = 0.1;

/// The rows of a tree as they are, and behind them its ghosts.
///
/// A ghost is a real row with one value replaced by one beyond all of the tree's: a category never seen, or a size a
/// tenth of the range above the greatest (or below the least). Ghosts widen the ranges that cuts are drawn from and
/// count in no leaf. Without them no cut ever lies beyond the greatest value seen, and a flow ten times as large, or
/// the first of a new protocol, is no odder than the oddest of the baseline. `share` is the chance of a column to
/// have one in this tree. Linear columns that vary have none: they are bounded shares, or of a scale nobody declared.
pub(crate) fn with_ghosts(
    rows: &Rows,
    picked: impl Iterator<Item = u32>,
    axes: &[Axis<'_>],
    share: f32,
    rng: &mut Rng,
) -> Rows {
    let mut table = Rows::with_columns(rows.columns);
    picked.for_each(|row| table.push(rows.row(row as usize)));
    if share == 0.0 {
        return table;
    }
    let real = table.len();
    for (column, axis) in axes.iter().enumerate() {
        if axis.is_flat {
            continue;
        }
        // Drawn for every column alike, so that one column's kind does not change another's numbers.
        let (wanted, above) = (rng.unit() < f64::from(share), rng.unit() < 0.5);
        let base = rng.below(real as u64) as usize;
        if !wanted || (axis.profile.transform == Transform::Linear && axis.profile.varies()) {
            continue;
        }
        let value = if axis.profile.transform == Transform::Categorical {
            axis.profile.unseen()
        } else {
            let (low, high) = (0..real)
                .map(|row| table.at(row, column))
                .filter(|value| !value.is_nan())
                .map(|value| axis.place(value))
                .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), place| {
                    (place.min(low), place.max(high))
                });
            if low > high {
                continue;
            }
            let unit = if low < high { high - low } else { 1.0 };
            let place = if above {
                high + BEYOND * unit
            } else {
                low - BEYOND * unit
            };
            axis.beyond(f64::from(place), above)
        };
        let from = base * table.columns;
        table.values.extend_from_within(from..from + rows.columns);
        let at = table.values.len() - rows.columns + column;
        table.values[at] = value;
    }
    table
}

/// A way to cut a node: freely, or at the cuts of the codes.
pub(crate) trait Cutter {
    fn sample(&self) -> &Sample;
    /// Whether a cut can separate these rows; asked only where their positions differ.
    fn separable(&self, column: usize, members: &[u32]) -> bool;
    /// The threshold nearest to `place` that separates these rows, and what it stands for.
    fn threshold(&self, column: usize, members: &[u32], place: f64, span: (f32, f32)) -> (u8, f32);
    /// Whether a row lies above the threshold.
    fn above(&self, column: usize, row: u32, threshold: (u8, f32)) -> bool;
    /// The threshold as a raw value; asked only of free cuts.
    fn raw(&self, column: usize, threshold: (u8, f32)) -> f32;
}

/// Cuts anywhere.
pub(crate) struct Free<'a> {
    pub(crate) sample: &'a Sample,
    pub(crate) axes: &'a [Axis<'a>],
}

impl Cutter for Free<'_> {
    fn sample(&self) -> &Sample {
        self.sample
    }

    fn separable(&self, _: usize, _: &[u32]) -> bool {
        true
    }

    fn threshold(&self, _: usize, _: &[u32], place: f64, (low, high): (f32, f32)) -> (u8, f32) {
        let place = (place as f32).max(low);
        (0, if place < high { place } else { low })
    }

    fn above(&self, column: usize, row: u32, (_, place): (u8, f32)) -> bool {
        self.sample.axis[column * self.sample.rows + row as usize] > place
    }

    fn raw(&self, column: usize, (_, place): (u8, f32)) -> f32 {
        self.axes[column].cut(f64::from(place))
    }
}

/// Cuts where the codes have theirs.
pub(crate) struct Coded<'a> {
    pub(crate) sample: &'a Sample,
    pub(crate) codes: Vec<u8>,
    pub(crate) places: &'a [Vec<f32>],
}

impl Coded<'_> {
    fn code_span(&self, column: usize, members: &[u32]) -> (u8, u8) {
        let codes = &self.codes[column * self.sample.rows..][..self.sample.rows];
        members.iter().fold((255, 0), |(low, high), &row| {
            let code = codes[row as usize];
            (code.min(low), code.max(high))
        })
    }
}

impl Cutter for Coded<'_> {
    fn sample(&self) -> &Sample {
        self.sample
    }

    fn separable(&self, column: usize, members: &[u32]) -> bool {
        let (low, high) = self.code_span(column, members);
        low < high
    }

    fn threshold(&self, column: usize, members: &[u32], place: f64, _: (f32, f32)) -> (u8, f32) {
        let (low, high) = self.code_span(column, members);
        let places = &self.places[column];
        let place = place as f32;
        let after = places.partition_point(|&cut| cut < place);
        let nearest = match after {
            0 => 0,
            n if n == places.len() => n - 1,
            n if place - places[n - 1] <= places[n] - place => n - 1,
            n => n,
        };
        ((nearest as u8).clamp(low, high - 1), 0.0)
    }

    fn above(&self, column: usize, row: u32, (threshold, _): (u8, f32)) -> bool {
        self.codes[column * self.sample.rows + row as usize] > threshold
    }

    fn raw(&self, column: usize, (threshold, _): (u8, f32)) -> f32 {
        self.places[column][usize::from(threshold)]
    }
}
