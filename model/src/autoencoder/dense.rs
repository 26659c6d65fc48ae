//! Dense layers over sixteen rows at once, or one. A lane's sum takes its inputs in their order whatever the path, so
//! neighbours and instruction sets change no bit.

use crate::score::Path;

/// Rows that go through the network together.
pub(crate) const LANES: usize = 16;
/// One number of each of these rows.
pub(crate) type Lanes = [f32; LANES];
/// Outputs summed at once; a layer's weights are padded to a multiple.
const GROUP: usize = 4;
/// The same for a single row, whose outputs fill the vectors that rows would.
const GROUP_OF_ONE: usize = 16;
/// What of a negative sum goes on (leaky rectifier; Maas, Hannun, Ng 2013).
pub(crate) const SLOPE: f32 = 0.01;
/// Most inputs or outputs of a layer: a model has no more columns.
const WIDEST: usize = crate::train::MAX_COLUMNS;

/// `out = bias + in * weights`, rectified in all layers but the last.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layer {
    inputs: usize,
    outputs: usize,
    /// Input by input, `padded` outputs each.
    weights: Vec<f32>,
    bias: Vec<f32>,
    padded: usize,
}

impl Layer {
    /// From weights that lie input by input; `None` if they are not as many as they should be, or not numbers.
    pub(crate) fn new(
        inputs: usize,
        outputs: usize,
        weights: &[f32],
        bias: &[f32],
    ) -> Option<Self> {
        let sound = (1..=WIDEST).contains(&inputs)
            && (1..=WIDEST).contains(&outputs)
            && weights.len() == inputs * outputs
            && bias.len() == outputs
            && weights.iter().chain(bias).all(|value| value.is_finite());
        if !sound {
            return None;
        }
        let padded = outputs.next_multiple_of(GROUP_OF_ONE);
        let mut wide = vec![0.0; inputs * padded];
        for (to, from) in wide
            .chunks_exact_mut(padded)
            .zip(weights.chunks_exact(outputs))
        {
            to[..outputs].copy_from_slice(from);
        }
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        Some(Self {
            inputs,
            outputs,
            weights: wide,
            bias,
            padded,
        })
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Weights without the padding, input by input, and biases.
    pub(crate) fn numbers(&self) -> (impl Iterator<Item = f32> + '_, &[f32]) {
        let weights = self
            .weights
            .chunks_exact(self.padded)
            .flat_map(|weights| &weights[..self.outputs])
            .copied();
        (weights, &self.bias[..self.outputs])
    }

    #[inline(always)]
    fn forward<const ROWS: usize, const OUTPUTS: usize>(
        &self,
        from: &[Lanes],
        to: &mut [Lanes],
        rectify: bool,
    ) {
        for start in (0..self.padded).step_by(OUTPUTS) {
            let mut sums = [[0.0f32; ROWS]; OUTPUTS];
            for (sum, bias) in sums.iter_mut().zip(&self.bias[start..start + OUTPUTS]) {
                *sum = [*bias; ROWS];
            }
            for (input, weights) in from[..self.inputs]
                .iter()
                .zip(self.weights.chunks_exact(self.padded))
            {
                let weights = &weights[start..start + OUTPUTS];
                for (sum, &weight) in sums.iter_mut().zip(weights) {
                    for row in 0..ROWS {
                        sum[row] += input[row] * weight;
                    }
                }
            }
            for (to, sum) in to[start..start + OUTPUTS].iter_mut().zip(sums) {
                for row in 0..ROWS {
                    let value = sum[row];
                    to[row] = if rectify && value < 0.0 {
                        value * SLOPE
                    } else {
                        value
                    };
                }
            }
        }
    }
}

/// Memory that rows go through a network in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room {
    pub(crate) input: Vec<Lanes>,
    pub(crate) errors: Vec<Lanes>,
    hidden: [Vec<Lanes>; 2],
}

impl Room {
    /// Makes room for these layers, if there is less.
    pub(crate) fn fit(&mut self, layers: &[Layer]) {
        let wide = layers
            .iter()
            .map(|layer| layer.padded.max(layer.inputs))
            .max();
        let wide = wide.unwrap_or(0);
        if self.input.len() < wide {
            let [a, b] = &mut self.hidden;
            for memory in [&mut self.input, &mut self.errors, a, b] {
                memory.resize(wide, [0.0; LANES]);
            }
        }
    }

    /// Inputs, errors to be written, and the outputs that [`run`] left.
    pub(crate) fn views(&mut self, output: usize) -> (&[Lanes], &mut [Lanes], &[Lanes]) {
        (&self.input, &mut self.errors, &self.hidden[output])
    }
}

/// Sends the first `count` lanes of the input through the layers; which of the two memories has the output.
pub(crate) fn run(path: Path, layers: &[Layer], count: usize, room: &mut Room) -> usize {
    if count == 1 {
        return through::<1, GROUP_OF_ONE>(layers, room);
    }
    #[cfg(target_arch = "x86_64")]
    match path {
        // SAFETY: whoever names a path has found (`Path::runs_here`) the instructions it stands for.
        Path::Avx512 => return unsafe { with_avx512(layers, room) },
        // SAFETY: likewise.
        Path::Avx2 => return unsafe { with_avx2(layers, room) },
        Path::Portable => {}
    }
    let _ = path;
    through::<LANES, GROUP>(layers, room)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(layers: &[Layer], room: &mut Room) -> usize {
    through::<LANES, GROUP>(layers, room)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn with_avx512(layers: &[Layer], room: &mut Room) -> usize {
    through::<LANES, GROUP>(layers, room)
}

#[inline(always)]
fn through<const ROWS: usize, const OUTPUTS: usize>(layers: &[Layer], room: &mut Room) -> usize {
    let Room { input, hidden, .. } = room;
    for (at, layer) in layers.iter().enumerate() {
        let rectify = at + 1 < layers.len();
        let [even, odd] = hidden;
        match at {
            0 => layer.forward::<ROWS, OUTPUTS>(input, even, rectify),
            _ if at % 2 == 1 => layer.forward::<ROWS, OUTPUTS>(even, odd, rectify),
            _ => layer.forward::<ROWS, OUTPUTS>(odd, even, rectify),
        }
    }
    (layers.len() + 1) % 2
}
