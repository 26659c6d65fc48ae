//! The rows of one tree, and the two ways to cut them: anywhere, or at the cuts of the codes.

use crate::Rows;
use crate::axis::Axis;
use crate::quantise::Coder;

/// Where the cuts of a column lie on its axis.
pub(crate) fn places(axis: &Axis<'_>, cuts: &[f32]) -> Vec<f32> {
    match axis.profile.transform {
        crate::Transform::Categorical => cuts.to_vec(),
        _ => cuts.iter().map(|&cut| axis.place(cut)).collect(),
    }
}

/// The rows of one tree, column by column, as positions on the axes.
pub(crate) struct Sample {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    axis: Vec<f32>,
}

impl Sample {
    pub(crate) fn new(rows: &Rows, chosen: &[u32], picked: &[u32], axes: &[Axis<'_>]) -> Self {
        let (count, columns) = (picked.len(), axes.len());
        let missing: Vec<f32> = axes.iter().map(Axis::missing).collect();
        let mut axis = vec![0.0; count * columns];
        for (i, &pick) in picked.iter().enumerate() {
            for (column, &value) in rows.row(chosen[pick as usize] as usize).iter().enumerate() {
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

    pub(crate) fn codes(
        &self,
        rows: &Rows,
        chosen: &[u32],
        picked: &[u32],
        coders: &[Coder],
    ) -> Vec<u8> {
        let mut codes = vec![0; self.axis.len()];
        for (i, &pick) in picked.iter().enumerate() {
            for (column, &value) in rows.row(chosen[pick as usize] as usize).iter().enumerate() {
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
