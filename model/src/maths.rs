//! The few transcendental functions needed, from IEEE basic operations only, so that a model trained or a row
//! scored on one platform has the same bits on every other. (The `f64` methods call the platform's library.)

use std::f64::consts::{LN_2, LOG2_E};

/// Natural logarithm of a positive normal number; relative error below 1e-15 or so.
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.1716
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let s2 = s * s;
    let mut sum = 0.0;
    for k in (0..11).rev() {
        sum = sum * s2 + 1.0 / f64::from(2 * k + 1);
    }
    exponent as f64 * LN_2 + 2.0 * s * sum
}

/// `2^x` for `|x| <= 1000`; relative error below 1e-15 or so.
pub(crate) fn exp2(x: f64) -> f64 {
    let x = x.clamp(-1000.0, 1000.0);
    // Adding and taking away 1.5 * 2^52 rounds to the nearest integer.
    let magic = 6_755_399_441_055_744.0;
    let whole = (x + magic) - magic;
    let y = (x - whole) * LN_2;
    // exp(y), |y| <= 0.3466: Taylor to y^13 / 13!
    const TERMS: [f64; 14] = [
        1.0,
        1.0,
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
        1.0 / 3_628_800.0,
        1.0 / 39_916_800.0,
        1.0 / 479_001_600.0,
        1.0 / 6_227_020_800.0,
    ];
    let mut sum = 0.0;
    for term in TERMS.iter().rev() {
        sum = sum * y + term;
    }
    sum * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// `e^x`.
pub(crate) fn exp(x: f64) -> f64 {
    exp2(x * LOG2_E)
}

/// `sign(x) * ln(1 + |x|)`.
pub(crate) fn signed_log(x: f64) -> f64 {
    let size = x.abs();
    // Below 1e-5 the sum would lose the digits of x; two terms of the series keep them.
    let log = if size < 1e-5 {
        size - 0.5 * size * size
    } else {
        ln(1.0 + size)
    };
    if x < 0.0 { -log } else { log }
}

/// Inverse of [`signed_log`].
pub(crate) fn signed_exp(t: f64) -> f64 {
    let size = t.abs();
    let x = if size < 1e-5 {
        size + 0.5 * size * size
    } else {
        exp(size) - 1.0
    };
    if t < 0.0 { -x } else { x }
}

/// Average path length of an unsuccessful search in a binary search tree of `n` keys: what a leaf that still
/// holds `n` rows stands for (Liu, Ting, Zhou 2008, equation 1).
pub(crate) fn average_path(n: u64) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let n = n as f64;
            2.0 * (ln(n - 1.0) + EULER) - 2.0 * (n - 1.0) / n
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_platform() {
        for i in -4000..4000 {
            let x = f64::from(i) * 0.0173;
            let near =
                |ours: f64, theirs: f64| (ours - theirs).abs() <= 4e-15 * theirs.abs().max(1e-300);
            assert!(near(exp2(x), x.exp2()), "2^{x}");
            let y = x.exp();
            assert!(
                (ln(y) - y.ln()).abs() <= 4e-15 * y.ln().abs().max(0.1),
                "ln {y}"
            );
            assert!(
                (signed_exp(signed_log(x)) - x).abs() <= 1e-9 * x.abs().max(1e-6),
                "{x}"
            );
        }
        assert_eq!(exp2(0.0), 1.0);
        assert_eq!(exp2(-1.0), 0.5);
    }

    #[test]
    fn average_path_is_the_papers() {
        assert_eq!(average_path(1), 0.0);
        assert_eq!(average_path(2), 1.0);
        assert!((average_path(256) - 10.244_770_920_116_851).abs() < 1e-9);
    }
}
