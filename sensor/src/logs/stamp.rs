//! Times as logs write them.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use sensor_ebpf::flow::TimeNs;

/// Reads a time: RFC 3339 with any offset, ISO 8601 without one (taken as UTC), or the American form of an Event Viewer export
/// (`5/21/2021 2:35:52 PM`, taken as UTC). `None` for anything else, and for times before 1970: 1601 is how Windows
/// writes that there is none.
pub(super) fn parse(text: &str) -> Option<TimeNs> {
    let text = text.trim().trim_end_matches(" UTC");
    let stamp = text.parse::<Timestamp>().ok().or_else(|| {
        text.parse::<DateTime>()
            .ok()
            .or_else(|| DateTime::strptime("%m/%d/%Y %I:%M:%S %p", text).ok())
            .or_else(|| DateTime::strptime("%m/%d/%Y %H:%M:%S", text).ok())
            .and_then(|local| TimeZone::UTC.to_timestamp(local).ok())
    })?;
    of(stamp)
}

/// As nanoseconds since 1970; `None` before.
pub(super) fn of(stamp: Timestamp) -> Option<TimeNs> {
    TimeNs::try_from(stamp.as_nanosecond())
        .ok()
        .filter(|time| *time > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_logs_use() {
        const SECOND: u64 = 1_000_000_000;
        for (text, seconds) in [
            ("2020-09-20T16:16:09Z", 1_600_618_569),
            ("2020-09-20T12:16:09-04:00", 1_600_618_569),
            ("2020-09-20 16:16:09", 1_600_618_569),
            ("9/20/2020 4:16:09 PM", 1_600_618_569),
        ] {
            assert_eq!(parse(text), Some(seconds * SECOND), "{text}");
        }
        assert_eq!(
            parse("2020-09-20T16:16:09.365Z"),
            Some(1_600_618_569_365_000_000)
        );
        for none in [
            "",
            "-",
            "yesterday",
            "1601-01-01T00:00:00Z",
            "99/99/2020 1:00:00 AM",
        ] {
            assert_eq!(parse(none), None, "{none}");
        }
    }
}
