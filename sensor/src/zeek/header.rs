//! The `#` lines of a TSV log: separator, how unset and empty are written, names of the columns.
//!
//! Zeek, `base/frameworks/logging/writers/ascii.zeek`.

use super::record::{SPACES, is_named};

/// What the header lines said so far; Zeek's own defaults before they speak.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) separator: String,
    pub(super) unset: String,
    pub(super) empty: String,
    pub(super) path: Option<String>,
    columns: Vec<String>,
    spaced: Option<usize>,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            separator: "\t".to_owned(),
            unset: "-".to_owned(),
            empty: "(empty)".to_owned(),
            path: None,
            columns: Vec::new(),
            spaced: None,
        }
    }
}

impl Header {
    /// Takes a line that begins with `#`; whether it named the columns.
    pub(super) fn directive(&mut self, line: &str) -> bool {
        // The separator's own line is written with a space, before there is a separator.
        if let Some(text) = line.strip_prefix("#separator ") {
            if let Some(separator) = unescape(text.trim_end()) {
                self.separator = separator;
            }
            return false;
        }
        let Some((name, rest)) = line.split_once(self.separator.as_str()) else {
            return false;
        };
        match name {
            "#unset_field" => rest.clone_into(&mut self.unset),
            "#empty_field" => rest.clone_into(&mut self.empty),
            "#path" => self.path = Some(rest.to_owned()),
            "#fields" => {
                self.columns.clear();
                self.spaced = None;
                for (at, column) in rest.split(self.separator.as_str()).enumerate() {
                    if column.contains(SPACES) {
                        self.spaced = Some(at);
                    }
                    self.columns.extend(column.split(SPACES).map(str::to_owned));
                }
                return true;
            }
            _ => {}
        }
        false
    }
}

/// `\x09` and the like as the characters they stand for; `None` for what is none, or nothing.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(code) = rest.strip_prefix("\\x") {
            let code = code.get(..2)?;
            out.push(char::from(u8::from_str_radix(code, 16).ok()?));
            rest = &rest[4..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Which column holds which wanted field.
#[derive(Debug)]
pub(super) struct Layout {
    wanted: Vec<Option<usize>>,
    spaced: Option<usize>,
}

impl Layout {
    pub(super) fn of(header: &Header, wanted: &[&str]) -> Self {
        Self {
            spaced: header.spaced,
            ..Self::standard(&header.columns, wanted)
        }
    }

    /// Of columns that are known without a header.
    pub(super) fn standard<T: AsRef<str>>(columns: &[T], wanted: &[&str]) -> Self {
        let find = |column: &T| {
            let named = |name: &&str| is_named(name, "", column.as_ref());
            wanted.iter().position(named)
        };
        Self {
            wanted: columns.iter().map(find).collect(),
            spaced: None,
        }
    }

    /// Columns of a whole record.
    pub(super) fn len(&self) -> usize {
        self.wanted.len()
    }

    /// The wanted field in a column.
    pub(super) fn wanted(&self, column: usize) -> Option<usize> {
        self.wanted.get(column).copied().flatten()
    }

    /// Whether a tab-separated field holds several columns with spaces between.
    pub(super) fn is_spaced(&self, field: usize) -> bool {
        self.spaced == Some(field)
    }
}
