//! Times and durations as people and files write them. A leaf: no stage is named here, and the clock is read only
//! in [`now`], for the edges of the program (names of files, age of a run), never between capture and sink.

mod weekly;

use std::{fmt, time::Duration};

use sensor_ebpf::flow::TimeNs;

pub use self::weekly::Weekly;

const SECOND: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 86_400;

/// A moment in RFC 3339, UTC, with nanoseconds: `2026-11-21T05:38:14.000000123Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub TimeNs);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanoseconds) = (self.0 / SECOND, self.0 % SECOND);
        let (year, month, day) = civil(seconds / DAY_SECONDS);
        let clock = seconds % DAY_SECONDS;
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z"
        )
    }
}

impl Stamp {
    /// Date and time to the second, for tables: `2026-11-21 05:38:14`.
    pub fn short(self) -> String {
        let text = self.to_string();
        format!("{} {}", &text[..10], &text[11..19])
    }

    /// Time of day to the second: `05:38:14`.
    pub fn clock(self) -> String {
        self.to_string()[11..19].to_owned()
    }

    /// Reads RFC 3339 in UTC (`Z`), with up to nine digits behind the second; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        let shaped = bytes.len() >= 20
            && bytes.is_ascii()
            && separators.iter().all(|&(at, byte)| bytes[at] == byte)
            && bytes.ends_with(b"Z");
        if !shaped {
            return None;
        }
        let field = |from: usize, to: usize| {
            let digits = &text[from..to];
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u64>().ok()).flatten()
        };
        let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
        let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
        let fraction = match &text[19..text.len() - 1] {
            "" => 0,
            digits if digits.starts_with('.') && (2..=10).contains(&digits.len()) => {
                field(20, text.len() - 1)? * 10_u64.pow(10 - digits.len() as u32)
            }
            _ => return None,
        };
        let days = days(year, month, day)?;
        if civil(days) != (year, month, day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = days * DAY_SECONDS + hour * 3600 + minute * 60 + second;
        seconds.checked_mul(SECOND)?.checked_add(fraction).map(Self)
    }
}

/// Year, month, day of a number of days since 1970-01-01 (Howard Hinnant, chrono-compatible low-level date
/// algorithms, `civil_from_days`, for days not before 1970).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (year + era * 400 + carry, month, day)
}

/// Days since 1970-01-01; `None` before it or for a month that is none.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

/// A length of time in at most two units: `3 min 43 s`, `12.4 s`, `2 h 5 min`, `350 ms`.
pub fn words(seconds: f64) -> String {
    if seconds.is_nan() {
        return "unknown".to_owned();
    }
    if seconds < 0.000_95 {
        return format!("{:.0} µs", seconds * 1e6);
    }
    if seconds < 0.995 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s").replace(".0 s", " s");
    }
    let whole = seconds.round() as u64;
    let two = |big: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {small_unit}"),
    };
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => two(whole / 60, "min", whole % 60, "s"),
        3600..DAY_SECONDS => two(whole / 3600, "h", whole % 3600 / 60, "min"),
        _ => two(whole / DAY_SECONDS, "d", whole % DAY_SECONDS / 3600, "h"),
    }
}

/// The time between two moments, in seconds.
pub fn between(from: TimeNs, to: TimeNs) -> f64 {
    to.saturating_sub(from) as f64 / SECOND as f64
}

/// Reads a length of time: `120s`, `2m`, `500ms`, `1h30m`, `0`; a number alone is seconds.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", SECOND),
        ("m", 60 * SECOND),
        ("min", 60 * SECOND),
        ("h", 3600 * SECOND),
        ("d", DAY_SECONDS * SECOND),
    ];
    let fault =
        || format!("`{text}` is no length of time; write for example 120s, 30m, 1h30m, 500ms or 0");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(fault());
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest
            .find(|character: char| !(character.is_ascii_digit() || character == '.'))
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| fault())?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|character: char| !character.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "" => SECOND,
            name => {
                UNITS
                    .iter()
                    .find(|(unit, _)| *unit == name)
                    .ok_or_else(fault)?
                    .1
            }
        };
        total += number * unit as f64;
        rest = rest[letters..].trim_start();
    }
    // 100 years: beyond, a typing error is likelier than a wish, and nanoseconds still fit 64 bits.
    if total > 3.2e18 {
        return Err(format!("`{text}` is longer than a hundred years"));
    }
    Ok(Duration::from_nanos(total as u64))
}

/// A length of time in the form that [`parse_duration`] reads: the greatest unit that divides it.
pub fn duration_text(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let units: [(u128, &str); 6] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    units
        .iter()
        .find(|(unit, _)| nanoseconds.is_multiple_of(*unit))
        .map_or_else(String::new, |(unit, name)| {
            format!("{}{name}", nanoseconds / unit)
        })
}

/// The time of the wall clock, for the edges only.
pub fn now() -> TimeNs {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the program asks for the time of day"
    )]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_go_there_and_back() {
        for (time, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400 * SECOND + 7, "2000-02-29T00:00:00.000000007Z"),
            (
                4_102_444_799 * SECOND + 999_999_999,
                "2099-12-31T23:59:59.999999999Z",
            ),
        ] {
            assert_eq!(Stamp(time).to_string(), text);
            assert_eq!(Stamp::parse(text), Some(Stamp(time)));
        }
        for day in 0..60_000 {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), Some(day));
        }
        assert_eq!(
            Stamp::parse("2000-01-01T00:00:00.5Z"),
            Some(Stamp(946_684_800 * SECOND + SECOND / 2))
        );
        for wrong in [
            "",
            "2000-02-30T00:00:00Z",
            "2000-01-01 00:00:00Z",
            "2000-01-01T00:00:00+01:00",
            "2000-01-01T00:00:00.Z",
            "2000-01-01T00:00:00.1234567890Z",
            "+200-01-01T00:00:00Z",
        ] {
            assert_eq!(Stamp::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_go_there_and_back() {
        for (text, seconds) in [
            ("120s", 120.0),
            ("2m", 120.0),
            ("1h30m", 5400.0),
            ("500ms", 0.5),
            ("0", 0.0),
            ("90", 90.0),
            ("1.5 min", 90.0),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_secs_f64(seconds), "{text}");
            assert_eq!(parse_duration(&duration_text(duration)), Ok(duration));
        }
        for wrong in ["", "s", "12 parsecs", "-5s", "1h 3x", "200000000h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lengths_of_time_read_well() {
        for (seconds, text) in [
            (0.000_004, "4 µs"),
            (0.35, "350 ms"),
            (3.0, "3 s"),
            (3.25, "3.2 s"),
            (223.0, "3 min 43 s"),
            (7500.0, "2 h 5 min"),
            (86_400.0, "1 d"),
        ] {
            assert_eq!(words(seconds), text);
        }
    }
}
