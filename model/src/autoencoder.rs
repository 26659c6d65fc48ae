//! A small dense network that learns to write a row of the baseline down in few numbers and to read it back: what it
//! cannot read back is odd. It sees what columns have to do with each other, where trees see where values lie.
//!
//! Rumelhart, Hinton, Williams: Learning representations by back-propagating errors, Nature 1986; as a detector Hawkins
//! et al., Outlier detection using replicator neural networks, DaWaK 2002.
//!
//! It reads the codes that the trees compare, each turned into the mean place of the baseline's values of that code, so a
//! row is quantised once for both. Sums run over the inputs in their order on every path, without fused
//! operations: the same bits on every machine, for one row or many.

mod dense;
mod train;

pub(crate) use dense::{LANES, Layer, Room};

use crate::quantise::Cuts;
use crate::score::Path;
use crate::walk::BLOCK;

/// Most an input may count, in squares of its usual error: one wild column is not to drown what others say.
const MOST_SQUARES: f32 = 100.0;
/// Part of an input's range that no error falls below being usual.
const LEAST_SPREAD: f32 = 0.01;
/// Most layers read from an artifact.
pub(crate) const MAX_LAYERS: usize = 8;

/// A trained network, over the columns that have cuts.
#[derive(Clone, Debug)]
pub(crate) struct Autoencoder {
    /// The columns it reads and writes, ascending.
    columns: Vec<u16>,
    /// For each of them the input that stands for each code.
    places: Vec<Vec<f32>>,
    /// For each of them the usual error: root mean square over rows that were not trained on.
    spread: Vec<f32>,
    layers: Vec<Layer>,
}

impl Autoencoder {
    /// Puts a network together; `None` if its parts do not fit each other and these cuts.
    pub(crate) fn assemble(
        columns: Vec<u16>,
        places: Vec<Vec<f32>>,
        spread: Vec<f32>,
        layers: Vec<Layer>,
        cuts: &[Cuts],
    ) -> Option<Self> {
        let width = columns.len();
        let fits = |(&column, places): (&u16, &Vec<f32>)| {
            cuts.get(usize::from(column))
                .is_some_and(|cuts| !cuts.is_empty() && places.len() == cuts.len() + 1)
                && places.iter().all(|place| place.is_finite())
        };
        let sound = width > 0
            && places.len() == width
            && spread.len() == width
            && columns.windows(2).all(|pair| pair[0] < pair[1])
            && columns.iter().zip(&places).all(fits)
            && spread
                .iter()
                .all(|&spread| spread >= 0.0 && spread.is_finite())
            && (1..=MAX_LAYERS).contains(&layers.len())
            && layers.first().is_some_and(|layer| layer.inputs() == width)
            && layers.last().is_some_and(|layer| layer.outputs() == width)
            && layers
                .windows(2)
                .all(|pair| pair[0].outputs() == pair[1].inputs());
        sound.then_some(Self {
            columns,
            places,
            spread,
            layers,
        })
    }

    pub(crate) fn columns(&self) -> &[u16] {
        &self.columns
    }

    pub(crate) fn places(&self) -> &[Vec<f32>] {
        &self.places
    }

    pub(crate) fn spread(&self) -> &[f32] {
        &self.spread
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Sizes of its layers, the input first.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        let first = self.layers.first().map(Layer::inputs);
        first
            .into_iter()
            .chain(self.layers.iter().map(Layer::outputs))
            .collect()
    }

    /// Scores the first rows of a block of codes (`codes[column * BLOCK + row]`): the mean square of the errors, each
    /// in units of what is usual, as a number from 0 to below 1.
    pub(crate) fn score(&self, path: Path, codes: &[u8], room: &mut Room, out: &mut [f32]) {
        room.fit(&self.layers);
        for (group, out) in out.chunks_mut(LANES).enumerate() {
            let start = group * LANES;
            self.errors(path, codes, start, out.len(), room);
            let mut sums = [0.0f32; LANES];
            for errors in &room.errors[..self.columns.len()] {
                for (sum, error) in sums.iter_mut().zip(errors) {
                    *sum += error;
                }
            }
            let count = self.columns.len() as f32;
            for (out, sum) in out.iter_mut().zip(sums) {
                let mean = sum / count;
                *out = mean / (1.0 + mean);
            }
        }
    }

    /// Share of each column (of all `width` of the model) in the error of the first row of a block of codes.
    pub(crate) fn shares(&self, codes: &[u8], width: usize) -> Vec<f32> {
        let mut room = Room::default();
        room.fit(&self.layers);
        self.errors(Path::Portable, codes, 0, 1, &mut room);
        let mut shares = vec![0.0; width];
        let errors = room.errors[..self.columns.len()]
            .iter()
            .map(|errors| errors[0]);
        let total: f32 = errors.clone().sum();
        if total > 0.0 {
            for (&column, error) in self.columns.iter().zip(errors) {
                shares[usize::from(column)] = error / total;
            }
        }
        shares
    }

    /// Squares of the errors of up to [`LANES`] rows, in units of what is usual, into `room.errors`.
    fn errors(&self, path: Path, codes: &[u8], start: usize, count: usize, room: &mut Room) {
        for ((&column, places), input) in self.columns.iter().zip(&self.places).zip(&mut room.input)
        {
            let codes = &codes[usize::from(column) * BLOCK + start..][..count];
            for (input, &code) in input.iter_mut().zip(codes) {
                *input = places[usize::from(code)];
            }
        }
        let output = dense::run(path, &self.layers, count, room);
        let (input, errors, output) = room.views(output);
        for (((errors, output), input), spread) in
            errors.iter_mut().zip(output).zip(input).zip(&self.spread)
        {
            let usual = spread + LEAST_SPREAD;
            for ((error, output), input) in errors.iter_mut().zip(output).zip(input) {
                let z = (output - input) / usual;
                // `min` answers the other if one is no number, as hostile weights can make it.
                *error = (z * z).min(MOST_SQUARES);
            }
        }
    }
}
