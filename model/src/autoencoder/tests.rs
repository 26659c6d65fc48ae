//! The network by itself.

use super::*;

/// One forward pass as the formula has it.
fn by_hand(layer: &Layer, from: &[f32], rectify: bool) -> Vec<f32> {
    let (weights, bias) = layer.numbers();
    let weights: Vec<f32> = weights.collect();
    (0..layer.outputs())
        .map(|output| {
            let mut sum = bias[output];
            for (input, value) in from.iter().enumerate() {
                sum += value * weights[input * layer.outputs() + output];
            }
            if rectify && sum < 0.0 {
                sum * SLOPE
            } else {
                sum
            }
        })
        .collect()
}

fn numbers(count: usize, rng: &mut Rng) -> Vec<f32> {
    (0..count)
        .map(|_| (rng.unit() * 2.0 - 1.0) as f32)
        .collect()
}

#[test]
fn every_path_gives_the_bits_of_the_formula() {
    let mut rng = Rng::new(1, Purpose::Autoencoder);
    for sizes in [[1, 1, 1], [5, 17, 5], [33, 4, 33], [16, 16, 16]] {
        let layers: Vec<Layer> = sizes
            .windows(2)
            .map(|pair| {
                let weights = numbers(pair[0] * pair[1], &mut rng);
                Layer::new(pair[0], pair[1], &weights, &numbers(pair[1], &mut rng)).unwrap()
            })
            .collect();
        let rows: Vec<Vec<f32>> = (0..LANES).map(|_| numbers(sizes[0], &mut rng)).collect();
        for path in Path::available() {
            for count in [1, 2, LANES] {
                let mut room = Room::default();
                room.fit(&layers);
                for (lane, row) in rows.iter().enumerate() {
                    for (input, value) in room.input.iter_mut().zip(row) {
                        input[lane] = *value;
                    }
                }
                let output = run(path, &layers, count, &mut room);
                let (_, _, output) = room.views(output);
                for (lane, row) in rows.iter().enumerate().take(count) {
                    let hidden = by_hand(&layers[0], row, true);
                    let right = by_hand(&layers[1], &hidden, false);
                    let ours: Vec<f32> = (0..sizes[2]).map(|at| output[at][lane]).collect();
                    assert_eq!(ours, right, "{path:?}, {count} rows");
                }
            }
        }
    }
}

#[test]
fn slopes_are_those_of_the_error() {
    // Back-propagation against differences, in a network small enough for both.
    let sizes = [3, 4, 3];
    let mut rng = Rng::new(2, Purpose::Autoencoder);
    let mut layers: Vec<Learner> = sizes
        .windows(2)
        .map(|pair| Learner::new(pair[0], pair[1], &mut rng))
        .collect();
    let input = [0.3, -0.7, 0.9];
    let mut outputs = vec![vec![0.0; 4], vec![0.0; 3]];
    let mut faults = outputs.clone();
    let error = |layers: &[Learner]| -> f64 {
        let (mut hidden, mut output) = (vec![0.0; 4], vec![0.0; 3]);
        layers[0].forward(&input, &mut hidden, true);
        layers[1].forward(&hidden, &mut output, false);
        let squares = output.iter().zip(&input).map(|(a, b)| f64::from(a - b));
        squares.map(|error| error * error / 2.0).sum()
    };
    row(&mut layers, &input, &mut outputs, &mut faults, 1);
    for layer in 0..2 {
        for at in 0..layers[layer].numbers.len() {
            let mut moved = [layers.clone(), layers.clone()];
            moved[0][layer].numbers[at] += 1e-3;
            moved[1][layer].numbers[at] -= 1e-3;
            let slope = (error(&moved[0]) - error(&moved[1])) / 2e-3;
            let ours = f64::from(layers[layer].slope[at]);
            assert!(
                (slope - ours).abs() < 1e-3,
                "layer {layer}, {at}: {ours}, {slope}"
            );
        }
    }
}
