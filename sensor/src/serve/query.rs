//! What a request asks for: its parameters, and the span of time.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};
use serde_json::{Value, json};

use super::pool::Fault;
use crate::sink::rollup::SLOT_SECONDS;

/// Points of a line on the page, at most.
const POINTS: i64 = 240;
/// Lengths a step may have, seconds: those that clocks and calendars have.
const STEPS: [i64; 10] = [10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 86_400];
/// A parameter is no longer than this; addresses, kinds and ids are far shorter.
const LONGEST: usize = 200;

/// Parameters of a request, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Of what stands behind the question mark.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Fault> {
        let mut all = BTreeMap::new();
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name), decode(value));
            if name.len() > LONGEST || value.len() > LONGEST || all.len() >= 32 {
                return Err(Fault::Wrong("too many or too long parameters".to_owned()));
            }
            if !value.is_empty() {
                all.insert(name, value);
            }
        }
        Ok(Self(all))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Fault> {
        let parsed = self.text(name).map(|text| {
            text.parse()
                .map_err(|_| Fault::Wrong(format!("{name}: not a number that fits")))
        });
        parsed.transpose()
    }

    /// The same for the same parameters in whatever order they came.
    pub(super) fn key(&self, path: &str) -> String {
        format!("{path} {:?}", self.0)
    }
}

/// Undoes percent-encoding; what is not well encoded stays as it is, what is not UTF-8 is replaced.
pub(super) fn decode(text: &str) -> String {
    let digit = |byte: Option<&u8>| (*byte? as char).to_digit(16).map(|digit| digit as u8);
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match (
            bytes[at],
            digit(bytes.get(at + 1)),
            digit(bytes.get(at + 2)),
        ) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            (byte, ..) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A span of traffic time and the step in which it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_s: i64,
    pub(super) to_s: i64,
    pub(super) step_s: i64,
    /// First and last traffic there is.
    pub(super) all: (i64, i64),
}

impl Window {
    /// Of the parameters `window` (seconds before the newest traffic; 0 or none for everything) or `from` and `to`.
    pub(super) fn of(parameters: &Parameters, connection: &Connection) -> Result<Self, Fault> {
        let bounds: Option<(Option<i64>, Option<i64>)> = connection
            .prepare_cached("SELECT (SELECT min(start_s) FROM rollup_slots), (SELECT max(start_s) FROM rollup_slots)")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (oldest, newest) = match bounds {
            Some((Some(oldest), Some(newest))) => (oldest, newest + SLOT_SECONDS as i64),
            _ => (0, 0),
        };
        let length = parameters.number::<i64>("window")?.unwrap_or(0).max(0);
        let to = parameters.number::<i64>("to")?.unwrap_or(newest);
        let from = match parameters.number::<i64>("from")? {
            Some(from) => from,
            None if length == 0 => oldest,
            // A sensor that is young has less: what is drawn begins with it.
            None => to.saturating_sub(length).max(oldest.min(to)),
        };
        let (from, to) = (
            from.clamp(0, i64::MAX / 2_000_000_000),
            to.clamp(0, i64::MAX / 2_000_000_000),
        );
        let to = to.max(from);
        let span = to - from;
        let step_s = STEPS
            .into_iter()
            .find(|step| span / step <= POINTS)
            .unwrap_or(span / POINTS);
        Ok(Self {
            from_s: from,
            to_s: to,
            step_s,
            all: (oldest, newest),
        })
    }

    /// The same where any of them is given; otherwise there is no window.
    pub(super) fn asked(
        parameters: &Parameters,
        connection: &Connection,
    ) -> Result<Option<Self>, Fault> {
        let is_asked = |name: &&str| parameters.text(name).is_some();
        match ["window", "from", "to"].iter().any(is_asked) {
            true => Self::of(parameters, connection).map(Some),
            false => Ok(None),
        }
    }

    /// Beginning of the first hour that is in it.
    pub(super) const fn begin_hour(&self) -> i64 {
        self.from_s - self.from_s % 3600
    }

    pub(super) const fn begin_ns(&self) -> u64 {
        self.from_s as u64 * 1_000_000_000
    }

    pub(super) const fn end_ns(&self) -> u64 {
        self.to_s as u64 * 1_000_000_000
    }

    pub(super) fn value(&self) -> Value {
        json!({
            "from_s": self.from_s, "to_s": self.to_s, "step_s": self.step_s,
            "oldest_s": self.all.0, "newest_s": self.all.1,
        })
    }
}

/// Rows as lists of numbers, texts and nulls, in the order of the columns.
pub(super) fn rows(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Value>, Fault> {
    let mut query = connection.prepare_cached(sql)?;
    let columns = query.column_count();
    let mut found = query.query(parameters)?;
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        let cells = (0..columns).map(|at| {
            Ok(match row.get_ref(at)? {
                rusqlite::types::ValueRef::Null | rusqlite::types::ValueRef::Blob(_) => Value::Null,
                rusqlite::types::ValueRef::Integer(number) => json!(number),
                rusqlite::types::ValueRef::Real(number) => json!(number),
                rusqlite::types::ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
            })
        });
        all.push(Value::Array(cells.collect::<rusqlite::Result<_>>()?));
    }
    Ok(all)
}

/// A fact that a run or a live sensor noted.
pub(super) fn fact(connection: &Connection, name: &str) -> Result<Value, Fault> {
    let text: Option<String> = connection
        .prepare_cached("SELECT value FROM facts WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_what_was_encoded() {
        let parsed = Parameters::parse(Some(
            "host=10.0.0.0%2F8&kind=port+scan%20%28vertical%29&x=%zz&empty=&a=%E2%82%AC",
        ))
        .unwrap();
        assert_eq!(parsed.text("host"), Some("10.0.0.0/8"));
        assert_eq!(parsed.text("kind"), Some("port scan (vertical)"));
        assert_eq!(parsed.text("x"), Some("%zz"));
        assert_eq!(parsed.text("empty"), None);
        assert_eq!(parsed.text("a"), Some("€"));
        assert!(Parameters::parse(Some(&format!("x={}", "y".repeat(300)))).is_err());
        assert!(parsed.number::<u16>("host").is_err());
    }

    #[test]
    fn a_window_has_few_steps_whatever_its_length() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(crate::sink::rollup::SCHEMA)
            .unwrap();
        for text in [
            "",
            "window=1",
            "window=3600",
            "from=0&to=9999999999",
            "from=-5&to=-9",
            "window=99999999999999999",
        ] {
            let window = Window::of(&Parameters::parse(Some(text)).unwrap(), &connection).unwrap();
            assert!(
                (window.to_s - window.from_s) / window.step_s <= POINTS + 1,
                "{text}: {window:?}"
            );
            assert!(window.from_s <= window.to_s);
        }
    }
}
