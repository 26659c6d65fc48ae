//! Time of day and of the week as points on a circle.

use sensor_ebpf::flow::TimeNs;

const DAY: u64 = 86_400_000_000_000;
const WEEK: u64 = 7 * DAY;
/// 1970-01-01 was a Thursday: days since the Monday before.
const EPOCH_WEEKDAY: u64 = 3;

/// Sine and cosine of the time of day (UTC), 0 at midnight.
pub(crate) fn day(time: TimeNs) -> (f32, f32) {
    circle((time % DAY) as f64 / DAY as f64)
}

/// Sine and cosine of the time of the week (UTC), 0 at midnight before Monday.
pub(crate) fn week(time: TimeNs) -> (f32, f32) {
    circle(((time % WEEK + EPOCH_WEEKDAY * DAY) % WEEK) as f64 / WEEK as f64)
}

/// Sine and cosine of `turn` (0 to 1) full turns, by Taylor series on an eighth of a turn: additions and multiplications
/// only, so that every machine and libm gives the same bits.
fn circle(turn: f64) -> (f32, f32) {
    let eighth = (turn * 8.0) as u32 & 7;
    let quarter = eighth.div_ceil(2);
    let angle = (turn - f64::from(quarter) / 4.0) * core::f64::consts::TAU;
    let square = angle * angle;
    let series = |powers: [f64; 4]| {
        powers
            .into_iter()
            .rev()
            .fold(1.0, |sum, power| 1.0 - square * power * sum)
    };
    let sine = angle * series([1.0 / 6.0, 1.0 / 20.0, 1.0 / 42.0, 1.0 / 72.0]);
    let cosine = series([1.0 / 2.0, 1.0 / 12.0, 1.0 / 30.0, 1.0 / 56.0]);
    let (sine, cosine) = match quarter & 3 {
        0 => (sine, cosine),
        1 => (cosine, -sine),
        2 => (-sine, -cosine),
        _ => (-cosine, sine),
    };
    (sine as f32, cosine as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circle_is_round() {
        for step in 0..=1_000 {
            let turn = f64::from(step) / 1_001.0;
            let (sine, cosine) = circle(turn);
            let angle = turn * core::f64::consts::TAU;
            assert!(
                (f64::from(sine) - angle.sin()).abs() < 1e-6,
                "sine of {turn}"
            );
            assert!(
                (f64::from(cosine) - angle.cos()).abs() < 1e-6,
                "cosine of {turn}"
            );
        }
    }

    #[test]
    fn monday_midnight_is_zero() {
        // 1970-01-05 was a Monday.
        assert_eq!(week(4 * DAY), (0.0, 1.0));
        assert_eq!(day(4 * DAY + DAY / 2), (0.0, -1.0));
        assert_eq!(day(4 * DAY + DAY / 4).0, 1.0);
    }
}
