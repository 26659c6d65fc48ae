//! How far the clock of a host is from that of the capture.
//!
//! A connection that both name (same protocol, addresses and ports) was begun at one moment: the difference of the two
//! times is the offset, apart from ports that were used again. So the differences are counted, and the offset is the
//! median of the densest few seconds of them: what is matched wrongly is spread thin and has no say.

/// Differences within this much of each other speak for the same offset, nanoseconds.
const WIDTH_NS: i64 = 5_000_000_000;
/// Below this many differences that agree an offset is not believed.
const AGREE_MIN: usize = 3;
/// Differences kept for one host.
const KEPT_MAX: usize = 65_536;
const HOUR_NS: i64 = 3_600_000_000_000;

/// An offset, and what speaks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// To be added to a time of the log, nanoseconds.
    pub add_ns: i64,
    /// Connections that agree on it.
    pub agree: usize,
    /// Connections that both name.
    pub matches: usize,
}

impl Offset {
    /// Seconds to be added to a time of the log.
    pub fn seconds(&self) -> f64 {
        self.add_ns as f64 / 1e9
    }

    /// Whole hours, where the offset is that of a time zone and not of a clock that is wrong.
    pub const fn zone_hours(&self) -> i64 {
        (self.add_ns + self.add_ns.signum() * HOUR_NS / 2) / HOUR_NS
    }
}

/// Differences of one host.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock(Vec<i64>);

impl Clock {
    /// Takes note of a connection: when the capture saw it begin, and when the log did.
    pub(super) fn note(&mut self, capture_ns: u64, log_ns: u64) {
        if self.0.len() < KEPT_MAX {
            self.0.push(capture_ns as i64 - log_ns as i64);
        }
    }

    /// Takes the differences of another host too.
    pub(super) fn merge(&mut self, other: &Self) {
        let room = KEPT_MAX - self.0.len();
        self.0.extend(other.0.iter().take(room));
    }

    /// The offset; `None` where too few agree.
    pub(super) fn offset(&self) -> Option<Offset> {
        let mut all = self.0.clone();
        all.sort_unstable();
        let mut best = 0..0;
        let mut from = 0;
        for to in 0..all.len() {
            while all[to] - all[from] > WIDTH_NS {
                from += 1;
            }
            if to + 1 - from > best.len() {
                best = from..to + 1;
            }
        }
        (best.len() >= AGREE_MIN).then(|| Offset {
            add_ns: all[best.start + best.len() / 2],
            agree: best.len(),
            matches: all.len(),
        })
    }
}

/// Moves the time of an event.
pub(super) const fn moved(time: u64, add_ns: i64) -> u64 {
    time.saturating_add_signed(add_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn clock(differences: impl IntoIterator<Item = i64>) -> Clock {
        let mut clock = Clock::default();
        for difference in differences {
            let log = 1_600_000_000 * SECOND;
            clock.note((log + difference) as u64, log as u64);
        }
        clock
    }

    #[test]
    fn a_time_zone_is_found_among_ports_used_again() {
        let zone = (0..20).map(|n| 4 * 3600 * SECOND + n * SECOND / 10);
        let again = (0..15).map(|n| n * 977 * SECOND);
        let offset = clock(zone.chain(again)).offset().expect("twenty agree");
        assert_eq!((offset.agree, offset.matches), (20, 35));
        assert_eq!(offset.zone_hours(), 4);
        assert!((offset.seconds() - 14_401.0).abs() < 1.5, "{offset:?}");
    }

    #[test]
    fn what_does_not_agree_is_no_offset() {
        assert_eq!(clock([]).offset(), None);
        assert_eq!(clock((0..9).map(|n| n * 100 * SECOND)).offset(), None);
    }

    #[test]
    fn a_clock_may_be_behind() {
        let offset = clock([-2 * SECOND; 4]).offset().expect("four agree");
        assert_eq!((offset.add_ns, offset.zone_hours()), (-2 * SECOND, 0));
        assert_eq!(moved(10_000_000_000, offset.add_ns), 8_000_000_000);
    }
}
