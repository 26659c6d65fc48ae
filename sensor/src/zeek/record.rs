//! Records of any Zeek log, as TSV under its header or as JSON lines: the fields a reader wants, by name.

use std::{io, path::Path};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::{
    header::{Header, Layout},
    losses::{Loss, Losses},
};
use crate::lines::{Line, Lines};

/// Fields of a record, each by its position among the names that were wanted.
#[derive(Debug)]
pub(super) struct Fields {
    values: Vec<String>,
    present: Vec<bool>,
}

impl Fields {
    fn new(count: usize) -> Self {
        Self {
            values: vec![String::new(); count],
            present: vec![false; count],
        }
    }

    fn clear(&mut self) {
        self.present.fill(false);
    }

    fn set(&mut self, at: usize, text: &str) {
        self.values[at].clear();
        self.values[at].push_str(text);
        self.present[at] = true;
    }

    /// The text of a field; `None` where the log has no such field or leaves it unset.
    pub(super) fn get(&self, at: usize) -> Option<&str> {
        self.present[at].then(|| self.values[at].as_str())
    }
}

/// The records of one file.
#[derive(Debug)]
pub(super) struct Records {
    lines: Lines,
    wanted: &'static [&'static str],
    default_columns: &'static [&'static [&'static str]],
    fields: Fields,
    header: Header,
    layout: Option<Layout>,
    line: u64,
    lines_of_records: u64,
    ended: bool,
    losses: Losses,
}

impl Records {
    /// Opens a file for these fields. `default_columns` are the columns of TSV without a header, by their number.
    pub(super) fn open(
        path: &Path,
        wanted: &'static [&'static str],
        default_columns: &'static [&'static [&'static str]],
    ) -> io::Result<Self> {
        Ok(Self::of(Lines::open(path)?, wanted, default_columns))
    }

    pub(super) fn of(
        lines: Lines,
        wanted: &'static [&'static str],
        default_columns: &'static [&'static [&'static str]],
    ) -> Self {
        Self {
            lines,
            wanted,
            default_columns,
            fields: Fields::new(wanted.len()),
            header: Header::default(),
            layout: None,
            line: 0,
            lines_of_records: 0,
            ended: false,
            losses: Losses::default(),
        }
    }

    /// Number of the line read last, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Lines so far that should have been records: neither empty nor beginning with `#`.
    pub(super) fn lines_of_records(&self) -> u64 {
        self.lines_of_records
    }

    /// What could not be read so far.
    pub(super) fn losses(&self) -> &Losses {
        &self.losses
    }

    /// To note what the fields of the last record lacked.
    pub(super) fn losses_mut(&mut self) -> &mut Losses {
        &mut self.losses
    }

    /// `#path` of the header, if there was one.
    pub(super) fn path(&self) -> Option<&str> {
        self.header.path.as_deref()
    }

    /// The fields of the record read last.
    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Reads on to the next record; whether there is one.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        while !self.ended {
            let line = self.lines.advance()?;
            let ended = match line {
                Line::End => {
                    self.ended = true;
                    break;
                }
                Line::Damaged => {
                    self.losses.add(Loss::Damaged, self.line + 1);
                    self.ended = true;
                    break;
                }
                Line::TooLong => {
                    self.line += 1;
                    self.lines_of_records += 1;
                    self.losses.add(Loss::TooLong, self.line);
                    continue;
                }
                Line::Read { ended } => ended,
            };
            self.line += 1;
            let bytes = self.lines.take();
            let fault = self.record(&bytes, ended);
            self.lines.reuse(bytes);
            match fault {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(reason) => self.losses.add(reason, self.line),
            }
        }
        Ok(false)
    }

    /// Takes the fields out of a line; whether it was a record.
    fn record(&mut self, bytes: &[u8], ended: bool) -> Result<bool, Loss> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(false);
        }
        let text = String::from_utf8_lossy(bytes);
        if bytes[0] == b'#' {
            if self.header.directive(&text) {
                self.layout = Some(Layout::of(&self.header, self.wanted));
            }
            return Ok(false);
        }
        self.lines_of_records += 1;
        self.fields.clear();
        let whole = if text.trim_start().starts_with('{') {
            self.json(&text)
        } else {
            self.tsv(&text)
        };
        // A fault in a last line that has no end is a file that was cut, whatever it looks like.
        whole.map(|()| true).map_err(|reason| match ended {
            true => reason,
            false => Loss::CutShort,
        })
    }

    fn tsv(&mut self, text: &str) -> Result<(), Loss> {
        if self.layout.is_none() {
            let count = text.split(self.header.separator.as_str()).count();
            let columns = self
                .default_columns
                .iter()
                .find(|columns| columns.len() == count)
                .ok_or(Loss::NoHeader)?;
            self.layout = Some(Layout::standard(columns, self.wanted));
        }
        let layout = self.layout.as_ref().ok_or(Loss::NoHeader)?;
        let mut columns = 0;
        let mut set = |text: &str| {
            if let Some(at) = layout.wanted(columns)
                && text != self.header.unset
            {
                let empty = text == self.header.empty;
                self.fields.set(at, if empty { "" } else { text });
            }
            columns += 1;
        };
        for (at, field) in text.split(self.header.separator.as_str()).enumerate() {
            if layout.is_spaced(at) {
                field.split(SPACES).for_each(&mut set);
            } else {
                set(field);
            }
        }
        match columns {
            few if few < layout.len() => Err(Loss::Columns),
            _ => Ok(()),
        }
    }

    fn json(&mut self, text: &str) -> Result<(), Loss> {
        let mut from = serde_json::Deserializer::from_str(text);
        let object = Object {
            wanted: self.wanted,
            fields: &mut self.fields,
            within: "",
        };
        object
            .deserialize(&mut from)
            .and_then(|()| from.end())
            .map_err(|_| Loss::NotJson)
    }
}

/// What stands between the last columns of IoT-23's labelled logs, where a tab should.
pub(super) const SPACES: &str = "   ";

/// Reads an object's wanted members, and steps over the others.
struct Object<'a> {
    wanted: &'static [&'static str],
    fields: &'a mut Fields,
    /// Name of the object this one is in, with its dot.
    within: &'static str,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key == "id" && self.within.is_empty() {
                // Some shippers nest what Zeek writes with a dot.
                map.next_value_seed(Object {
                    wanted: self.wanted,
                    fields: &mut *self.fields,
                    within: "id.",
                })?;
                continue;
            }
            let wanted = self
                .wanted
                .iter()
                .position(|name| is_named(name, self.within, &key));
            match wanted {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(at) => match map.next_value::<Value>()? {
                    Value::Null => {}
                    Value::String(text) => self.fields.set(at, &text),
                    Value::Bool(yes) => self.fields.set(at, if yes { "T" } else { "F" }),
                    Value::Number(number) => self.fields.set(at, &number.to_string()),
                    Value::Array(items) => {
                        let items: Vec<_> = items.iter().map(text_of).collect();
                        self.fields.set(at, &items.join(","));
                    }
                    Value::Object(_) => {}
                },
            }
        }
        Ok(())
    }
}

fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether a member is the wanted field: `id_orig_h` and `detailed-label` are spellings of `id.orig_h` and
/// `detailedlabel`.
pub(super) fn is_named(wanted: &str, within: &str, key: &str) -> bool {
    if let Some(rest) = wanted.strip_prefix("id.") {
        return key.strip_prefix("id_") == Some(rest)
            || key.strip_prefix("id.") == Some(rest)
            || (within == "id." && key == rest);
    }
    within.is_empty() && (key == wanted || (wanted == "detailedlabel" && key == "detailed-label"))
}
