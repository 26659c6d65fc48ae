//! Hours of the week that come again.

use std::fmt;

use sensor_ebpf::flow::TimeNs;

const MINUTE_NS: u64 = 60_000_000_000;
const DAY_MINUTES: u64 = 1440;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const WINDOW_FORM: &str =
    "write for example `sun 02:00-04:00`, `mon-fri 22:00-23:30` or `daily 03:00-03:15` (UTC)";

/// A maintenance window that comes again every week, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weekly {
    /// Days on which it begins, Monday first.
    days: [bool; 7],
    /// Minute of the day at which it begins.
    from: u64,
    /// Its length, minutes: at most a day.
    minutes: u64,
}

impl Weekly {
    /// Reads `sun 02:00-04:00`; an end before the beginning is on the next day.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = || format!("`{text}` is no maintenance window; {WINDOW_FORM}");
        let lower = text.trim().to_lowercase();
        let (days, times) = lower.split_once(char::is_whitespace).ok_or_else(fault)?;
        let (from, to) = times.trim().split_once('-').ok_or_else(fault)?;
        let minute = |text: &str| -> Option<u64> {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
            let whole = hour * 60 + minute;
            (minute < 60 && whole <= DAY_MINUTES).then_some(whole)
        };
        let (from, to) = (
            minute(from)
                .filter(|at| *at < DAY_MINUTES)
                .ok_or_else(fault)?,
            minute(to).ok_or_else(fault)?,
        );
        let minutes = if to > from {
            to - from
        } else {
            to + DAY_MINUTES - from
        };
        let day = |name: &str| {
            DAYS.iter()
                .position(|known| *known == name)
                .ok_or_else(fault)
        };
        let mut on = [false; 7];
        match days.split_once('-') {
            _ if days == "daily" => on = [true; 7],
            None => on[day(days)?] = true,
            Some((first, last)) => {
                let (first, last) = (day(first)?, day(last)?);
                let length = (last + 7 - first) % 7;
                for step in 0..=length {
                    on[(first + step) % 7] = true;
                }
            }
        }
        Ok(Self {
            days: on,
            from,
            minutes,
        })
    }

    /// Whether this moment is inside of it.
    pub fn covers(&self, at: TimeNs) -> bool {
        let minute = at / MINUTE_NS;
        // The first of January 1970 was a Thursday.
        let of_week = (minute / DAY_MINUTES + 3) % 7 * DAY_MINUTES + minute % DAY_MINUTES;
        let week = 7 * DAY_MINUTES;
        self.days.iter().enumerate().any(|(day, on)| {
            let began = day as u64 * DAY_MINUTES + self.from;
            *on && (of_week + week - began) % week < self.minutes
        })
    }
}

impl fmt::Display for Weekly {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on: Vec<usize> = (0..7).filter(|day| self.days[*day]).collect();
        match on.as_slice() {
            [] => f.write_str("never")?,
            [day] => f.write_str(DAYS[*day])?,
            all if all.len() == 7 => f.write_str("daily")?,
            _ => {
                // They are neighbours, perhaps across Sunday.
                let first = (0..7).find(|day| self.days[*day] && !self.days[(day + 6) % 7]);
                let last = (0..7).find(|day| self.days[*day] && !self.days[(day + 1) % 7]);
                let name = |day: Option<usize>| DAYS[day.unwrap_or(0)];
                write!(f, "{}-{}", name(first), name(last))?;
            }
        }
        let to = (self.from + self.minutes - 1) % DAY_MINUTES + 1;
        let [from, to] = [self.from, to].map(|at| format!("{:02}:{:02}", at / 60, at % 60));
        write!(f, " {from}-{to}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_read_as_they_are_written() {
        for text in [
            "sun 02:00-04:00",
            "daily 03:00-03:15",
            "mon-fri 22:00-23:30",
            "sat-mon 00:00-24:00",
            "fri 23:00-01:00",
        ] {
            assert_eq!(Weekly::parse(text).expect(text).to_string(), text);
        }
        for wrong in [
            "",
            "sun",
            "sun 2-4",
            "day 01:00-02:00",
            "sun 25:00-26:00",
            "sun 01:60-02:00",
        ] {
            let said = Weekly::parse(wrong).expect_err(wrong);
            assert!(said.contains("sun 02:00-04:00"), "{said}");
        }
    }

    /// 2026-11-22 is a Sunday.
    const SUNDAY: u64 = 1_795_305_600 * 1_000_000_000;
    const HOUR: u64 = 60 * MINUTE_NS;

    #[test]
    fn windows_open_and_close() {
        let window = Weekly::parse("sun 02:00-04:00").expect("a window");
        for (at, covered) in [
            (SUNDAY + 2 * HOUR - 1, false),
            (SUNDAY + 2 * HOUR, true),
            (SUNDAY + 4 * HOUR - 1, true),
            (SUNDAY + 4 * HOUR, false),
            (SUNDAY + 26 * HOUR, false),
            (SUNDAY + 7 * 24 * HOUR + 3 * HOUR, true),
        ] {
            assert_eq!(window.covers(at), covered, "{at}");
        }
        // Over midnight, and over the end of the week.
        let night = Weekly::parse("sun 23:00-01:00").expect("a window");
        assert!(night.covers(SUNDAY + 23 * HOUR) && night.covers(SUNDAY + 24 * HOUR + 1));
        assert!(!night.covers(SUNDAY + 25 * HOUR) && !night.covers(SUNDAY + 1));
    }

    proptest! {
        /// A window covers each week the minutes that it lasts, on each of its days.
        #[test]
        fn windows_cover_their_length(from in 0_u64..1440, minutes in 1_u64..=1440, day in 0_usize..7) {
            let mut days = [false; 7];
            days[day] = true;
            let window = Weekly { days, from, minutes };
            let covered = (0..7 * 1440).filter(|minute| window.covers(SUNDAY + minute * MINUTE_NS)).count();
            prop_assert_eq!(covered as u64, minutes);
            prop_assert_eq!(Weekly::parse(&window.to_string()), Ok(window));
        }
    }
}
