//! From scores to p-values: how often would baseline traffic score at least this high?
//!
//! The body of the distribution is the conformal rank among calibration scores, `(1 + #above) / (n + 1)`, which on
//! exchangeable data is a valid p-value without any assumption (Vovk, Gammerman, Shafer 2005). It cannot go below
//! `1 / (n + 1)`; beyond a high quantile a generalised-Pareto tail (Pickands 1975) takes over, fitted by
//! probability-weighted moments (Hosking and Wallis 1987). No p-value is ever 0.

use crate::maths::{exp, ln};
use serde::{Deserialize, Serialize};

/// Which rows the calibration scores come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CalibrationSource {
    /// Rows that no tree and no quantile has seen.
    HeldOut,
    /// The training rows themselves, for want of enough others: p-values of rows of the baseline are honest only
    /// as ranks.
    Training,
    /// Those of the models that it was merged from: a guess, until it is calibrated on rows.
    Merged,
}

/// Fewest held-out rows worth calibrating on.
pub(crate) const FEWEST: usize = 100;
/// Most rows scored for calibration.
pub(crate) const MOST: usize = 100_000;
/// Share of the calibration scores above the start of the tail.
const TAIL_SHARE: f64 = 0.02;
/// Fewest scores a tail is fitted to.
const TAIL_FEWEST: usize = 30;
/// Smallest p-value: doubles get there long before they get to 0.
const SMALLEST: f64 = 1e-300;

/// Calibration scores, thinned, with their tail.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Calibration {
    /// Number of calibration rows.
    rows: u32,
    /// Descending scores with the number of calibration rows that scored at least as high. Ranks below 256 are
    /// all there; above, each is at most 1 % greater than the one before.
    steps: Vec<(f32, u32)>,
    tail: Option<Tail>,
}

/// Generalised-Pareto tail beyond `start`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tail {
    start: f32,
    /// p-value at `start`.
    mass: f64,
    scale: f64,
    /// 0 is the exponential tail. Never negative: a tail with an end would call what lies beyond impossible.
    shape: f64,
}

impl Tail {
    fn p_value(&self, score: f32) -> f64 {
        let excess = (f64::from(score) - f64::from(self.start)).max(0.0) / self.scale;
        let log = if self.shape < 1e-6 {
            -excess
        } else {
            -ln(1.0 + self.shape * excess) / self.shape
        };
        (self.mass * exp(log)).max(SMALLEST)
    }
}

impl Calibration {
    /// Calibrates on these scores (finite; at least one).
    pub(crate) fn fit(mut scores: Vec<f32>) -> Self {
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        let rows = scores.len() as u32;
        let mut steps: Vec<(f32, u32)> = Vec::new();
        for (index, &score) in scores.iter().enumerate() {
            let last_of_its_kind = scores.get(index + 1) != Some(&score);
            if last_of_its_kind {
                steps.push((score, index as u32 + 1));
            }
        }
        let mut kept = 0u32;
        let last = steps.len().saturating_sub(1);
        let mut index = 0;
        let all = steps.clone();
        steps.retain(|&(_, rank)| {
            // A step may go if the one after it is still within 1 % of the last kept.
            let next = all.get(index + 1).map_or(u32::MAX, |&(_, rank)| rank);
            let keep =
                index == last || rank <= 256 || u64::from(next) * 100 > u64::from(kept) * 101;
            index += 1;
            if keep {
                kept = rank;
            }
            keep
        });
        Self {
            rows,
            tail: fit_tail(&scores),
            steps,
        }
    }

    /// Puts a calibration together from its stored parts; `None` if they break what look-ups rely on.
    pub(crate) fn assemble(rows: u32, steps: Vec<(f32, u32)>, tail: Option<Tail>) -> Option<Self> {
        let ranked = steps
            .windows(2)
            .all(|pair| pair[0].0 > pair[1].0 && pair[0].1 < pair[1].1);
        let sound = ranked
            && steps
                .first()
                .is_some_and(|&(score, rank)| score.is_finite() && rank > 0)
            && steps
                .last()
                .is_some_and(|&(score, rank)| score.is_finite() && rank == rows)
            && tail.is_none_or(|tail| {
                tail.start.is_finite()
                    && tail.mass > 0.0
                    && tail.mass <= 1.0
                    && tail.scale > 0.0
                    && tail.scale.is_finite()
                    && (0.0..=1.0).contains(&tail.shape)
            });
        sound.then_some(Self { rows, steps, tail })
    }

    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    pub(crate) fn steps(&self) -> &[(f32, u32)] {
        &self.steps
    }

    pub(crate) fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// Share of baseline rows expected to score at least this high; above 0, at most 1.
    pub(crate) fn p_value(&self, score: f32) -> f64 {
        if score.is_nan() {
            return 1.0;
        }
        match self.tail {
            Some(tail) if score > tail.start => tail.p_value(score),
            _ => self.conformal(score),
        }
    }

    /// `(1 + #{scores at least this high}) / (n + 1)`, rounded up to a kept step.
    fn conformal(&self, score: f32) -> f64 {
        let at_least = self.steps.partition_point(|&(step, _)| step >= score);
        let rank = match at_least {
            0 => 0,
            // Between two kept steps the true rank lies between theirs; the lower step's bound is safe, unless the
            // score is that of a kept step.
            n if self.steps[n - 1].0 == score => self.steps[n - 1].1,
            n if n == self.steps.len() => self.rows,
            n => self.between(n),
        };
        (f64::from(rank) + 1.0) / (f64::from(self.rows) + 1.0)
    }

    /// Rank of a score strictly between the kept steps `n - 1` and `n`.
    fn between(&self, n: usize) -> u32 {
        let (above, below) = (self.steps[n - 1].1, self.steps[n].1);
        if below <= 256 { above } else { below - 1 }.max(above)
    }

    /// The least score whose p-value is at most `p`; infinite if no score is that rare.
    pub(crate) fn threshold(&self, p: f64) -> f32 {
        // p_value falls as the score rises, so bisect on the order of the bits. Scores lie in (0, 1].
        let rare = |bits: u32| self.p_value(f32::from_bits(bits)) <= p;
        let (mut low, mut high) = (0u32, 1.0f32.to_bits());
        if !rare(high) {
            return f32::INFINITY;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if rare(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        f32::from_bits(low)
    }
}

/// Fits the tail to the highest scores, if there are enough different ones.
fn fit_tail(descending: &[f32]) -> Option<Tail> {
    let n = descending.len();
    let above = (n as f64 * TAIL_SHARE) as usize;
    if above < TAIL_FEWEST {
        return None;
    }
    let start = descending[above];
    // Ties with the start belong to the body.
    let above = descending.partition_point(|&score| score > start);
    if above < TAIL_FEWEST {
        return None;
    }
    let excess = |i: usize| f64::from(descending[above - 1 - i]) - f64::from(start);
    // Probability-weighted moments of the excesses in ascending order: b0 the mean, b1 weighted by the share above.
    let count = above as f64;
    let b0 = (0..above).map(excess).sum::<f64>() / count;
    let b1 = (0..above)
        .map(|i| excess(i) * (count - 1.0 - i as f64) / (count - 1.0))
        .sum::<f64>()
        / count;
    if b0 <= 0.0 || b0 - 2.0 * b1 <= 0.0 {
        return None;
    }
    let shape = 2.0 - b0 / (b0 - 2.0 * b1);
    let (scale, shape) = if shape > 0.0 {
        (2.0 * b0 * b1 / (b0 - 2.0 * b1), shape.min(0.9))
    } else {
        (b0, 0.0)
    };
    // The body's p-value at the start, so that the two meet.
    let at_start = descending.partition_point(|&score| score >= start);
    let mass = (at_start as f64 + 1.0) / (n as f64 + 1.0);
    (scale > 0.0).then_some(Tail {
        start,
        mass,
        scale,
        shape,
    })
}

impl Tail {
    pub(crate) fn parts(&self) -> (f32, [f64; 3]) {
        (self.start, [self.mass, self.scale, self.shape])
    }

    pub(crate) fn from_parts(start: f32, [mass, scale, shape]: [f64; 3]) -> Self {
        Self {
            start,
            mass,
            scale,
            shape,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Rng};

    /// Scores with an exponential tail: `0.4 + Exp(1) / 40`.
    fn scores(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = Rng::new(seed, Purpose::Holdout);
        (0..n)
            .map(|_| (0.4 - ln(1.0 - rng.unit()) / 40.0).min(1.0) as f32)
            .collect()
    }

    #[test]
    fn p_values_fall_as_scores_rise_and_are_never_0() {
        let calibration = Calibration::fit(scores(5000, 1));
        let ps: Vec<f64> = (0..=2000)
            .map(|i| calibration.p_value(i as f32 / 2000.0))
            .collect();
        assert!(ps.windows(2).all(|pair| pair[0] >= pair[1]));
        assert!(ps.iter().all(|&p| p > 0.0 && p <= 1.0));
        assert_eq!(ps[0], 1.0);
    }

    #[test]
    fn realised_rates_are_the_promised() {
        for seed in 0..5 {
            let calibration = Calibration::fit(scores(20_000, seed));
            let fresh = scores(400_000, seed + 100);
            for (target, tolerance) in [(0.1, 0.1), (0.01, 0.2), (1e-3, 0.35)] {
                let threshold = calibration.threshold(target);
                let rate =
                    fresh.iter().filter(|&&s| s >= threshold).count() as f64 / fresh.len() as f64;
                assert!(
                    (rate / target - 1.0).abs() < tolerance,
                    "seed {seed}: {rate} for {target}"
                );
            }
        }
    }

    #[test]
    fn a_threshold_is_the_least_score_that_rare() {
        let calibration = Calibration::fit(scores(3000, 9));
        for p in [0.5, 0.05, 0.01, 1e-4, 1e-6] {
            let threshold = calibration.threshold(p);
            assert!(calibration.p_value(threshold) <= p);
            assert!(calibration.p_value(threshold.next_down()) > p);
        }
        assert_eq!(calibration.threshold(1e-200), f32::INFINITY);
    }

    #[test]
    fn a_handful_of_rows_ranks_by_rank() {
        let calibration = Calibration::fit(vec![0.5, 0.4, 0.4, 0.6]);
        assert_eq!(calibration.p_value(0.7), 0.2);
        assert_eq!(calibration.p_value(0.55), 0.4);
        assert_eq!(calibration.p_value(0.5), 0.6);
        assert_eq!(calibration.p_value(0.4), 1.0);
        assert_eq!(calibration.p_value(0.1), 1.0);
    }
}
