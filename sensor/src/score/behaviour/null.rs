//! Null models: how likely a measure is where nothing goes on. Each function answers with an upper bound of a
//! p-value, above 0 and at most 1.

use std::{f64::consts::PI, sync::LazyLock};

/// Nothing is promised to be rarer: beyond, the null model itself is what would be wrong.
pub(super) const RAREST: f64 = 1e-9;

fn bound(p: f64) -> f64 {
    if p.is_nan() {
        1.0
    } else {
        p.clamp(RAREST, 1.0)
    }
}

/// One p-value of two independent ones (Fisher 1925): `P (1 - ln P)` for their product `P`.
pub(super) fn fisher(a: f64, b: f64) -> f64 {
    let product = a * b;
    bound(product * (1.0 - product.ln()))
}

/// At least `count` events where `mean` are expected: the Poisson tail by Chernoff's bound,
/// `exp(count - mean) (mean / count)^count`.
pub(super) fn poisson(count: f64, mean: f64) -> f64 {
    if count <= mean {
        return 1.0;
    }
    bound((count - mean + count * (mean / count).ln()).exp())
}

/// At least `failed` failures in `tried` independent attempts of which half fail by chance: the binomial tail by
/// Hoeffding's bound.
pub(super) fn half_fails(tried: f64, failed: f64) -> f64 {
    let excess = failed / tried - 0.5;
    if excess <= 0.0 || excess.is_nan() {
        return 1.0;
    }
    bound((-2.0 * tried * excess * excess).exp())
}

/// `times` events in a row, the first with probability `first`, each further one (of the same host, so no longer
/// independent) with probability `again`: a Pólya-like chain.
pub(super) fn chain(times: f64, first: f64, again: f64) -> f64 {
    bound(first * again.powf((times - 1.0).max(0.0)))
}

/// A value this many standard deviations above the mean of logarithms: exponential tails on the logarithm's axis
/// (Laplace distribution), the heaviest that volumes of one service usually have.
pub(super) fn laplace(deviations: f64) -> f64 {
    if deviations <= 0.0 {
        return 1.0;
    }
    bound(0.5 * (-(2.0_f64.sqrt()) * deviations).exp())
}

/// Logarithm of the gamma function of `n / 2` for a natural `n`.
fn ln_gamma_half(n: usize) -> f64 {
    /// As many as a rhythm of the longest series remembered asks for.
    static KNOWN: LazyLock<[f64; 64]> = LazyLock::new(|| std::array::from_fn(recurrence));
    KNOWN.get(n).copied().unwrap_or_else(|| recurrence(n))
}

/// The same by its recurrence.
fn recurrence(n: usize) -> f64 {
    let (mut at, mut sum) = if n.is_multiple_of(2) {
        (2, 0.0)
    } else {
        (1, PI.sqrt().ln())
    };
    while at < n {
        sum += (at as f64 / 2.0).ln();
        at += 2;
    }
    sum
}

/// Gaps as even as these or more even, where visits come at random (a Poisson process).
///
/// Given their sum, the shares of `n` gaps are then uniform on the simplex, and the sum of their squares (Greenwood
/// 1946) says how even they are. All gaps within `variation` (standard deviation over mean) lie in a ball of radius
/// `variation / sqrt(n)` around the simplex's centre; the ball's volume over the simplex's is an upper bound of the
/// p-value, exact while the ball lies inside.
pub(super) fn even_gaps(gaps: usize, variation: f64) -> f64 {
    if gaps < 3 {
        return 1.0;
    }
    let n = gaps as f64;
    let dimensions = gaps - 1;
    let d = dimensions as f64;
    let radius = variation.max(0.01) / n.sqrt();
    let ball = d / 2.0 * PI.ln() - ln_gamma_half(dimensions + 2) + d * radius.ln();
    let simplex = 0.5 * n.ln() - ln_gamma_half(2 * gaps);
    bound((ball - simplex).exp())
}

/// Pauses inside one connection as even as these, where they come at random.
///
/// Only sums are known: the time-weighted mean pause `weighted` (sum of squares over sum) and the longest. Random
/// pauses of mean `weighted / 2` would number `2 total / weighted`, and the chance that none is longer than the longest
/// is `(1 - exp(-longest / mean))^number`.
pub(super) fn even_pauses(weighted: f64, longest: f64, total: f64) -> f64 {
    if !(weighted > 0.0 && total > weighted * 4.0) {
        return 1.0;
    }
    let mean = weighted / 2.0;
    bound(((total / mean) * (-(-longest / mean).exp()).ln_1p()).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64, as a number in 0..1.
    fn uniform(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Draws under the null: a p-value at most `level` must come at most about that often.
    fn keeps_its_promise(draws: u32, mut p_value: impl FnMut(&mut u64) -> f64) {
        let mut state = 7;
        let drawn: Vec<f64> = (0..draws).map(|_| p_value(&mut state)).collect();
        for level in [0.1, 0.01] {
            let hits = drawn.iter().filter(|p| **p <= level).count() as f64;
            let allowed = f64::from(draws) * level;
            assert!(
                hits <= allowed + 4.0 * allowed.sqrt(),
                "{hits} of {draws} at {level}"
            );
        }
        assert!(drawn.iter().all(|p| *p > 0.0 && *p <= 1.0));
    }

    fn exponential(state: &mut u64) -> f64 {
        -(1.0 - uniform(state)).ln()
    }

    #[test]
    fn random_visits_are_seldom_called_even() {
        for gaps in [3, 6, 12] {
            keeps_its_promise(20_000, |state| {
                let drawn: Vec<f64> = (0..gaps).map(|_| exponential(state)).collect();
                let mean = drawn.iter().sum::<f64>() / gaps as f64;
                let square = drawn.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
                even_gaps(gaps, (square / gaps as f64).sqrt() / mean)
            });
        }
        // Where the ball lies inside the simplex the bound is exact: three gaps, a disc in a triangle.
        let share = PI * (0.3_f64.powi(2) / 3.0) / (3.0_f64.sqrt() / 2.0);
        assert!((even_gaps(3, 0.3) - share).abs() < 1e-9);
        // A beacon of a minute with a third of jitter stands out after ten visits.
        assert!(even_gaps(9, 0.19) < 1e-4);
    }

    #[test]
    fn random_pauses_are_seldom_called_even() {
        keeps_its_promise(5_000, |state| {
            let drawn: Vec<f64> = (0..60).map(|_| exponential(state)).collect();
            let sum = drawn.iter().sum::<f64>();
            let squares = drawn.iter().map(|gap| gap * gap).sum::<f64>();
            even_pauses(
                squares / sum,
                drawn.iter().copied().fold(0.0, f64::max),
                sum,
            )
        });
        assert!(even_pauses(45.0, 46.0, 1_700.0) < 1e-3);
    }

    #[test]
    fn tails_bound_what_they_say() {
        keeps_its_promise(20_000, |state| {
            // Poisson with mean 3 by counting exponential gaps.
            let (mut time, mut count) = (exponential(state), 0.0);
            while time < 3.0 {
                count += 1.0;
                time += exponential(state);
            }
            poisson(count, 3.0)
        });
        keeps_its_promise(20_000, |state| fisher(uniform(state), uniform(state)));
        keeps_its_promise(20_000, |state| {
            let failed = (0..30).filter(|_| uniform(state) < 0.5).count();
            half_fails(30.0, failed as f64)
        });
        assert_eq!(poisson(2.0, 3.0), 1.0);
        assert!(laplace(0.0) == 1.0 && laplace(5.0) < 1e-3 && laplace(1e9) == RAREST);
        assert!((chain(3.0, 1e-3, 0.1) - 1e-5).abs() < 1e-12);
    }
}
