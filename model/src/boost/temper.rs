//! From logits to probabilities that are what they say.
//!
//! Boosted trees are too sure of themselves, or not sure enough where they were stopped early. A straight line through
//! the odds, fitted on rows that no tree has seen, puts that right and changes no order (John Platt: Probabilistic
//! outputs for support vector machines, 1999; its targets too).

use crate::maths::{exp, ln};
use serde::{Deserialize, Serialize};

/// What the odds of an attack go through: `slope * odds + shift`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sureness {
    /// Above 0, so no order changes.
    pub slope: f64,
    /// Added, in units of the natural logarithm of the odds.
    pub shift: f64,
}

impl Default for Sureness {
    fn default() -> Self {
        Self {
            slope: 1.0,
            shift: 0.0,
        }
    }
}

impl Sureness {
    fn apply(self, odds: f64) -> f64 {
        self.slope * odds + self.shift
    }

    /// Whether it keeps the order and gives numbers.
    pub(super) fn is_sound(self) -> bool {
        self.slope > 0.0 && self.slope.is_finite() && self.shift.is_finite()
    }
}

/// `1 / (1 + e^-x)`.
pub(super) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

/// Natural logarithm of the odds that a row is of any class but the first. One logit is these odds themselves.
pub(super) fn odds(logits: &[f64]) -> f64 {
    match logits {
        [odds] => *odds,
        [ordinary, others @ ..] => {
            let most = others.iter().copied().fold(f64::MIN, f64::max);
            let all: f64 = others.iter().map(|logit| exp(logit - most)).sum();
            most + ln(all) - ordinary
        }
        [] => 0.0,
    }
}

/// Probability of an attack.
pub(super) fn attack(logits: &[f64], sure: Sureness) -> f64 {
    logistic(sure.apply(odds(logits)))
}

/// Probabilities of all classes.
pub(super) fn shares(logits: &[f64], sure: Sureness, shares: &mut [f64]) {
    let attack = attack(logits, sure);
    shares[0] = 1.0 - attack;
    let others = &mut shares[1..];
    if logits.len() == 1 {
        others.fill(attack);
        return;
    }
    let most = logits[1..].iter().copied().fold(f64::MIN, f64::max);
    for (share, logit) in others.iter_mut().zip(&logits[1..]) {
        *share = exp(logit - most);
    }
    let all: f64 = others.iter().sum();
    others.iter_mut().for_each(|share| *share *= attack / all);
}

/// Mean logarithmic loss of some rows.
pub(super) fn loss(logits: &[f64], classes: &[u32], rows: &[u32], outputs: usize) -> f64 {
    let one = |row: &u32| {
        let logits = &logits[*row as usize * outputs..][..outputs];
        let class = classes[*row as usize] as usize;
        if let [odds] = logits {
            let wrong = if class == 1 { -odds } else { *odds };
            return wrong.max(0.0) + ln(1.0 + exp(-wrong.abs()));
        }
        let most = logits.iter().copied().fold(f64::MIN, f64::max);
        let all: f64 = logits.iter().map(|logit| exp(logit - most)).sum();
        ln(all) - (logits[class] - most)
    };
    rows.iter().map(one).sum::<f64>() / rows.len().max(1) as f64
}

/// Slope and shift of the odds of an attack, least loss on these odds by Newton's method. Labels count as a little less
/// than certain (Platt's targets), so that rows which are told apart entirely still have a least.
pub(super) fn platt(odds: &[f64], attacks: &[bool]) -> Sureness {
    let hits = attacks.iter().filter(|attack| **attack).count() as f64;
    let misses = attacks.len() as f64 - hits;
    let target = |attack: bool| {
        if attack {
            (hits + 1.0) / (hits + 2.0)
        } else {
            1.0 / (misses + 2.0)
        }
    };
    let loss = |sure: Sureness| -> f64 {
        let rows = odds.iter().zip(attacks);
        rows.map(|(odds, attack)| {
            let odds = sure.apply(*odds);
            odds.max(0.0) - target(*attack) * odds + ln(1.0 + exp(-odds.abs()))
        })
        .sum()
    };
    let mut sure = Sureness::default();
    let mut now = loss(sure);
    for _ in 0..50 {
        // A little of the identity keeps the matrix invertible.
        let (mut gradient, mut matrix) = ([0.0; 2], [1e-6, 0.0, 1e-6]);
        for (odds, attack) in odds.iter().zip(attacks) {
            let share = logistic(sure.apply(*odds));
            let (first, second) = (share - target(*attack), share * (1.0 - share));
            gradient[0] += first * odds;
            gradient[1] += first;
            matrix[0] += second * odds * odds;
            matrix[1] += second * odds;
            matrix[2] += second;
        }
        let determinant = matrix[0] * matrix[2] - matrix[1] * matrix[1];
        let slope = (matrix[2] * gradient[0] - matrix[1] * gradient[1]) / determinant;
        let shift = (matrix[0] * gradient[1] - matrix[1] * gradient[0]) / determinant;
        let step = |size: f64| Sureness {
            slope: sure.slope - size * slope,
            shift: sure.shift - size * shift,
        };
        let sizes = (0..20).map(|halvings| 0.5_f64.powi(halvings));
        let better = sizes
            .map(|size| (step(size), loss(step(size))))
            .find(|(next, after)| next.slope > 0.0 && *after < now);
        let Some((next, after)) = better else { break };
        let gained = now - after;
        (sure, now) = (next, after);
        if gained < 1e-9 * now {
            break;
        }
    }
    sure
}
