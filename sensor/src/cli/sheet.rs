//! What is answered from the store, as a table, CSV or JSON.

use std::{fmt::Write as _, io::Write as _, path::Path};

use serde_json::Value;

use super::{
    args::Common,
    fault::{Fault, code},
    setup::{Flags, Setup, output, style},
};
use crate::{
    config::Format,
    score::{HostMatch, Kind},
    sink::{
        csv::push_text,
        store::Reader,
        table::{Style, Table},
    },
    time::{self, Stamp},
};

/// What programs are told of a row: a member of its object, and a column of the CSV.
pub(super) type Column<T> = (&'static str, fn(&T) -> Value);

/// Rows in three forms.
pub(super) struct Sheet<'a, T> {
    /// For people.
    pub(super) table: Table,
    /// For programs.
    pub(super) rows: &'a [T],
    /// What they are told of each.
    pub(super) columns: &'a [Column<T>],
    /// What only JSON has of each besides.
    pub(super) beside: &'a [Column<T>],
    /// What is said where there are no rows.
    pub(super) empty: &'a str,
}

impl<T> Sheet<'_, T> {
    /// Writes it. `paint` may colour cells of the table.
    pub(super) fn write(
        self,
        path: &Path,
        format: Format,
        paint: &dyn Fn(Style, usize, usize, &str) -> String,
    ) -> Result<(), Fault> {
        let mut out = output(path)?;
        match format {
            Format::Json => {
                let object = |row| object(row, self.columns.iter().chain(self.beside));
                let objects: Value = self.rows.iter().map(object).collect();
                writeln!(out, "{objects:#}")?;
            }
            Format::Csv => {
                writeln!(out, "{}", csv_header(self.columns))?;
                for row in self.rows {
                    writeln!(out, "{}", csv_line(row, self.columns))?;
                }
            }
            Format::Table if self.rows.is_empty() => writeln!(out, "{}", self.empty)?,
            Format::Table => {
                let style = style(path);
                self.table
                    .write_painted(&mut out, "", style, &|row, column, text| {
                        paint(style, row, column, text)
                    })?;
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// A row as an object.
pub(super) fn object<'a, T: 'a>(row: &T, columns: impl Iterator<Item = &'a Column<T>>) -> Value {
    columns
        .map(|(name, of)| ((*name).to_owned(), of(row)))
        .collect()
}

/// Names of the columns as the first line of CSV.
pub(super) fn csv_header<T>(columns: &[Column<T>]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    names.join(",")
}

/// A row as a line of CSV.
pub(super) fn csv_line<T>(row: &T, columns: &[Column<T>]) -> String {
    let mut line = String::new();
    for (at, (_, of)) in columns.iter().enumerate() {
        if at > 0 {
            line.push(',');
        }
        match of(row) {
            Value::Null => {}
            Value::String(text) => push_text(&mut line, &text),
            Value::Array(list) => {
                let texts: Vec<String> = list.iter().map(plain).collect();
                push_text(&mut line, &texts.join(" "));
            }
            other => {
                let _ = write!(line, "{other}");
            }
        }
    }
    line
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(object) => object.get("id").map_or_else(String::new, plain),
        other => other.to_string(),
    }
}

/// The configuration, and the store that it names.
pub(super) fn open(common: &Common, format: Option<Format>) -> Result<(Setup, Reader), Fault> {
    let setup = Setup::of_sensor(common, &Flags::default().format(format))?;
    let path = setup.store_path();
    let reader = match Reader::open(&path) {
        // Made by an earlier version: brought up to this one, where that is allowed.
        Err(crate::sink::store::StoreError::Older { .. }) => {
            drop(crate::sink::store::Actions::open(&path)?);
            Reader::open(&path)
        }
        other => other,
    };
    Ok((setup, reader?))
}

/// A moment: so long ago (`2h`, `7d`), a date, or a date and time in UTC.
pub(super) fn moment(text: &str) -> Result<u64, String> {
    let day = format!("{text}T00:00:00Z");
    let minute = format!("{text}:00Z");
    for text in [text, &day, &minute] {
        if let Some(stamp) = Stamp::parse(text) {
            return Ok(stamp.0);
        }
    }
    let ago = time::parse_duration(text).map_err(|_| {
        format!("`{text}` is no moment; write for example 2h or 7d (ago), 2026-11-21, or 2026-11-21T05:30:00Z")
    })?;
    let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
    Ok(time::now().saturating_sub(ago))
}

/// A host, a prefix or a name.
pub(super) fn host(text: &str) -> Result<HostMatch, String> {
    HostMatch::parse(text)
}

fn slug(text: &str) -> String {
    let letters = text.to_lowercase();
    let letters = letters.chars().map(|letter| {
        if letter.is_alphanumeric() {
            letter
        } else {
            ' '
        }
    });
    letters
        .collect::<String>()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join("-")
}

/// The name of a kind of incident: `port-scan-vertical` means `port scan (vertical)`. Kinds in the store are known, too.
pub(super) fn kind(reader: &Reader, text: &str) -> Result<String, Fault> {
    let flows = Kind::ALL.iter().map(|kind| kind.name().to_owned());
    let logs = crate::logs::Kind::ALL
        .iter()
        .map(|kind| kind.name().to_owned());
    let stored = reader.tally(0)?.into_iter().map(|entry| entry.kind);
    let mut known: Vec<String> = flows.chain(logs).chain(stored).collect();
    known.sort();
    known.dedup();
    let wanted = slug(text);
    if let Some(found) = known.iter().find(|kind| slug(kind) == wanted) {
        return Ok(found.clone());
    }
    let nearest = known.iter().min_by_key(|kind| {
        let kind = slug(kind);
        // What is meant is often the beginning of it.
        (
            !kind.starts_with(&wanted),
            strsim::damerau_levenshtein(&kind, &wanted),
        )
    });
    let nearest = nearest.map_or_else(String::new, |kind| slug(kind));
    Err(Fault::new(
        code::USAGE,
        format!("--kind {text}: no such kind of incident; did you mean {nearest}?"),
    ))
}

/// Date and time to the second, or a dash for none.
pub(super) fn when(at: u64) -> String {
    if at == 0 {
        "-".to_owned()
    } else {
        Stamp(at).short()
    }
}
