//! Training by mini-batches, with early stopping.

use super::Autoencoder;
use super::dense::{LANES, Layer, Room, SLOPE, run};
use crate::axis::Axis;
use crate::baseline::{INTERVALS, Profile};
use crate::quantise::{Coder, Cuts};
use crate::rng::{Purpose, Rng};
use crate::score::Path;
use crate::{Rows, Transform};

/// Rows trained on, at most: evenly from those there are.
const MOST_ROWS: usize = 20_000;
/// Share of them, and most, that training is stopped by.
const WATCHED: (usize, usize) = (10, 2000);
/// Rows between two steps.
const BATCH: usize = 64;
/// Steps at most, between two looks at the watched rows, and without progress before it ends.
const STEPS: usize = 4000;
const LOOK: usize = 200;
const PATIENCE: usize = 1000;
/// Adam: Kingma, Ba, ICLR 2015, with their constants; the rate falls to a tenth.
const RATE: f32 = 0.002;
const DECAY: [f32; 2] = [0.9, 0.999];
/// Nats of surprisal that span as much as the whole range of another column.
const NATS: f32 = 10.0;
/// What lies outside the baseline's range is this much of it away, at most.
const OUTSIDE: f32 = 1.0;
/// How far beyond the outermost cut a code stands that no row of the baseline has.
const BEYOND: f32 = 0.5;
/// Sizes of the hidden layers, as shares of the input: the middle one is what a row is written down in.
const SHARES: [f64; 3] = [0.6, 0.3, 0.6];

impl Autoencoder {
    /// Trains on the rows at `chosen`; `None` if no column has a cut.
    pub(crate) fn train(
        rows: &Rows,
        chosen: &[u32],
        profiles: &[Profile],
        cuts: &[Cuts],
        seed: u64,
    ) -> Option<Self> {
        let columns: Vec<u16> = (0..cuts.len() as u16)
            .filter(|&column| !cuts[usize::from(column)].is_empty())
            .collect();
        let width = columns.len();
        let mut rng = Rng::new(seed, Purpose::Autoencoder);
        let step = chosen.len().div_ceil(MOST_ROWS).max(1);
        let mut order: Vec<u32> = chosen.iter().copied().step_by(step).collect();
        shuffle(&mut order, &mut rng);
        let mut inputs = vec![0.0; order.len() * width];
        let mut places = Vec::with_capacity(width);
        for (at, &column) in columns.iter().enumerate() {
            let column = usize::from(column);
            let values = order.iter().map(|&row| rows.at(row as usize, column));
            let coder = Coder::new(&profiles[column], &cuts[column]);
            let codes: Vec<u8> = values.clone().map(|value| coder.code(value)).collect();
            let table = table(&profiles[column], &cuts[column], values.zip(&codes));
            for (row, &code) in codes.iter().enumerate() {
                inputs[row * width + at] = table[usize::from(code)];
            }
            places.push(table);
        }
        let sizes: Vec<usize> = std::iter::once(width)
            .chain(SHARES.map(|share| ((width as f64 * share).ceil() as usize).max(1)))
            .chain([width])
            .collect();
        let watched = (order.len() / WATCHED.0).clamp(1, WATCHED.1) * width;
        let layers = (width > 0 && order.len() > 1)
            .then(|| descend(&inputs[watched..], &inputs[..watched], &sizes, &mut rng))
            .flatten()?;
        let spread = spread(&inputs[..watched], &layers);
        Self::assemble(columns, places, spread, layers, cuts)
    }
}

/// The input that stands for each code: the mean place of the values that have it.
fn table<'a>(
    profile: &Profile,
    cuts: &[f32],
    values: impl Iterator<Item = (f32, &'a u8)>,
) -> Vec<f32> {
    let axis = Axis::ranked(profile);
    let (low, unit) = match profile.transform {
        Transform::Categorical => (0.0, NATS),
        _ if profile.median().is_nan() => (0.0, 1.0),
        _ => {
            let low = axis.place(profile.knots[0]);
            (low, (axis.place(profile.knots[INTERVALS]) - low).max(1e-6))
        }
    };
    let scaled = |place: f32| ((place - low) / unit).clamp(-OUTSIDE, 1.0 + OUTSIDE);
    let mut sums = vec![(0.0f64, 0u32); cuts.len() + 1];
    for (value, &code) in values {
        let place = if value.is_nan() {
            axis.missing()
        } else {
            axis.place(value)
        };
        let (sum, count) = &mut sums[usize::from(code)];
        *sum += f64::from(scaled(place));
        *count += 1;
    }
    let cut = |at: usize| match profile.transform {
        Transform::Categorical => scaled(cuts[at]),
        _ => scaled(axis.place_of_cut(cuts[at])),
    };
    let last = cuts.len();
    (sums.into_iter().enumerate())
        .map(|(code, (sum, count))| match code {
            _ if count > 0 => (sum / f64::from(count)) as f32,
            0 => cut(0) - BEYOND,
            _ if code == last => cut(last - 1) + BEYOND,
            _ => (cut(code - 1) + cut(code)) / 2.0,
        })
        .collect()
}

fn shuffle(order: &mut [u32], rng: &mut Rng) {
    for at in (1..order.len()).rev() {
        order.swap(at, rng.below(at as u64 + 1) as usize);
    }
}

/// One layer while it learns.
#[derive(Clone)]
struct Learner {
    outputs: usize,
    /// Weights input by input, then the biases.
    numbers: Vec<f32>,
    slope: Vec<f32>,
    moments: [Vec<f32>; 2],
}

impl Learner {
    /// Weights as Glorot and Bengio draw them (AISTATS 2010), no biases.
    fn new(inputs: usize, outputs: usize, rng: &mut Rng) -> Self {
        let reach = (6.0 / (inputs + outputs) as f64).sqrt();
        let mut numbers: Vec<f32> = (0..inputs * outputs)
            .map(|_| ((2.0 * rng.unit() - 1.0) * reach) as f32)
            .collect();
        numbers.resize((inputs + 1) * outputs, 0.0);
        let zeros = vec![0.0; numbers.len()];
        Self {
            outputs,
            slope: zeros.clone(),
            moments: [zeros.clone(), zeros],
            numbers,
        }
    }

    fn forward(&self, from: &[f32], to: &mut [f32], rectify: bool) {
        let (weights, bias) = self.numbers.split_at(from.len() * self.outputs);
        to.copy_from_slice(bias);
        for (&input, weights) in from.iter().zip(weights.chunks_exact(self.outputs)) {
            for (sum, &weight) in to.iter_mut().zip(weights) {
                *sum += input * weight;
            }
        }
        for value in to {
            if rectify && *value < 0.0 {
                *value *= SLOPE;
            }
        }
    }

    /// Adds what this row wants changed; `fault` is the slope at the outputs. The slope at the inputs goes to `back`.
    fn backward(&mut self, from: &[f32], fault: &[f32], back: Option<&mut [f32]>) {
        let outputs = self.outputs;
        let (weights, bias) = self.slope.split_at_mut(from.len() * outputs);
        for (sum, &fault) in bias.iter_mut().zip(fault) {
            *sum += fault;
        }
        for (&input, sums) in from.iter().zip(weights.chunks_exact_mut(outputs)) {
            for (sum, &fault) in sums.iter_mut().zip(fault) {
                *sum += input * fault;
            }
        }
        let Some(back) = back else { return };
        for ((back, &input), weights) in back
            .iter_mut()
            .zip(from)
            .zip(self.numbers.chunks_exact(outputs))
        {
            let sum = dot(weights, fault);
            *back = if input < 0.0 { sum * SLOPE } else { sum };
        }
    }

    /// One step of Adam against the slope; `powers` are those of the decays.
    fn step(&mut self, rate: f32, powers: [f32; 2]) {
        let [means, squares] = &mut self.moments;
        for (((number, slope), mean), square) in self
            .numbers
            .iter_mut()
            .zip(&mut self.slope)
            .zip(means)
            .zip(squares)
        {
            *mean = DECAY[0] * *mean + (1.0 - DECAY[0]) * *slope;
            *square = DECAY[1] * *square + (1.0 - DECAY[1]) * *slope * *slope;
            let size = (*square / (1.0 - powers[1])).sqrt() + 1e-8;
            *number -= rate * (*mean / (1.0 - powers[0])) / size;
            *slope = 0.0;
        }
    }

    fn layer(&self, inputs: usize) -> Option<Layer> {
        let (weights, bias) = self.numbers.split_at(inputs * self.outputs);
        Layer::new(inputs, self.outputs, weights, bias)
    }
}

/// Sum of products in eight lanes, a fixed order that vectors can follow.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// Layers that read the rows of `train` back with the least square error over `watched`, as far as the steps go.
fn descend(train: &[f32], watched: &[f32], sizes: &[usize], rng: &mut Rng) -> Option<Vec<Layer>> {
    let width = sizes[0];
    let mut layers: Vec<Learner> = sizes
        .windows(2)
        .map(|pair| Learner::new(pair[0], pair[1], rng))
        .collect();
    let whole = |layers: &[Learner]| -> Option<Vec<Layer>> {
        layers
            .iter()
            .zip(sizes)
            .map(|(one, &inputs)| one.layer(inputs))
            .collect()
    };
    let mut outputs: Vec<Vec<f32>> = sizes[1..].iter().map(|&size| vec![0.0; size]).collect();
    let mut faults = outputs.clone();
    let mut order: Vec<u32> = (0..(train.len() / width) as u32).collect();
    let mut next = order.len();
    let mut powers = [1.0f32; 2];
    let mut best: Option<(f64, usize, Vec<Layer>)> = None;
    for step in 1..=STEPS {
        let batch = BATCH.min(order.len());
        for _ in 0..batch {
            if next == order.len() {
                shuffle(&mut order, rng);
                next = 0;
            }
            let input = &train[order[next] as usize * width..][..width];
            next += 1;
            row(&mut layers, input, &mut outputs, &mut faults, batch);
        }
        powers = [powers[0] * DECAY[0], powers[1] * DECAY[1]];
        let rate = RATE * (1.0 - 0.9 * step as f32 / STEPS as f32);
        layers.iter_mut().for_each(|layer| layer.step(rate, powers));
        if step % LOOK == 0 {
            let now = whole(&layers)?;
            let error = squares(watched, &now).iter().sum::<f64>();
            match &best {
                Some((least, at, _)) if *least <= error => {
                    if step - at >= PATIENCE {
                        break;
                    }
                }
                _ => best = Some((error, step, now)),
            }
        }
    }
    best.map(|(_, _, layers)| layers)
}

/// Sends a row there and its fault back.
fn row(
    layers: &mut [Learner],
    input: &[f32],
    outputs: &mut [Vec<f32>],
    faults: &mut [Vec<f32>],
    batch: usize,
) {
    let last = layers.len() - 1;
    for (at, layer) in layers.iter().enumerate() {
        let (before, after) = outputs.split_at_mut(at);
        let from = before.last().map_or(input, Vec::as_slice);
        layer.forward(from, &mut after[0], at < last);
    }
    for ((fault, output), input) in faults[last].iter_mut().zip(&outputs[last]).zip(input) {
        *fault = (output - input) / batch as f32;
    }
    for (at, layer) in layers.iter_mut().enumerate().rev() {
        let (before, after) = faults.split_at_mut(at);
        let from = if at == 0 { input } else { &outputs[at - 1] };
        layer.backward(from, &after[0], before.last_mut().map(Vec::as_mut_slice));
    }
}

/// Sums of the squared errors of each column over these rows.
fn squares(inputs: &[f32], layers: &[Layer]) -> Vec<f64> {
    let width = layers[0].inputs();
    let mut room = Room::default();
    room.fit(layers);
    let mut sums = vec![0.0; width];
    for rows in inputs.chunks(width * LANES) {
        let count = rows.len() / width;
        for (row, values) in rows.chunks_exact(width).enumerate() {
            for (input, &value) in room.input.iter_mut().zip(values) {
                input[row] = value;
            }
        }
        let output = run(Path::best(), layers, count, &mut room);
        let (input, _, output) = room.views(output);
        for ((sum, output), input) in sums.iter_mut().zip(output).zip(input) {
            for row in 0..count {
                let error = f64::from(output[row] - input[row]);
                *sum += error * error;
            }
        }
    }
    sums
}

/// The usual error of each column.
fn spread(watched: &[f32], layers: &[Layer]) -> Vec<f32> {
    let rows = (watched.len() / layers[0].inputs()) as f64;
    let squares = squares(watched, layers);
    squares
        .into_iter()
        .map(|sum| (sum / rows).sqrt() as f32)
        .collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
