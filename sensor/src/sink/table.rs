//! Aligned tables and paragraphs for a terminal.

use std::{
    io::{self, IsTerminal, Write},
    ops::Range,
};

use super::escape;
use crate::score::Severity;

/// How to write to a terminal.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether colours are understood and wanted.
    pub colour: bool,
    /// Characters in a line.
    pub width: usize,
    /// Whether rows of tables that are longer go on in a line below, as on a terminal; for programs a row is a line.
    pub breaks: bool,
}

impl Style {
    /// For plain text of this width.
    pub const fn plain(width: usize) -> Self {
        Self {
            colour: false,
            width,
            breaks: false,
        }
    }

    /// For standard output: colours on a terminal unless `NO_COLOR` says otherwise (<https://no-color.org>).
    pub fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let columns = console_width().filter(|_| terminal);
        Self {
            colour: terminal && !refused,
            width: columns.unwrap_or(120).clamp(60, 200),
            breaks: terminal,
        }
    }

    /// Bold text.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Text in the background.
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Text in the colour of a severity.
    pub fn severity(self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Info => "2",
            Severity::Low => "36",
            Severity::Medium => "33",
            Severity::High => "31",
            Severity::Critical => "1;31",
        };
        self.paint(code, text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Width of the terminal, by the environment or by the system.
fn console_width() -> Option<usize> {
    let by_environment = std::env::var("COLUMNS").ok();
    by_environment
        .and_then(|columns| columns.parse().ok())
        .or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
}

/// Writes text folded at blanks to the width, each line behind `indent`.
///
/// # Errors
/// What `out` says.
pub fn paragraph(out: &mut dyn Write, text: &str, indent: &str, width: usize) -> io::Result<()> {
    let room = width.saturating_sub(indent.chars().count()).max(20);
    for line in fold(&escape::terminal(text), room) {
        writeln!(out, "{indent}{line}")?;
    }
    Ok(())
}

/// Text folded at blanks; a word longer than a line stays whole.
pub fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("never empty");
        let length = line.chars().count();
        if length > 0 && length + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if length > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table that is as wide as its content, or goes on below where the line ends.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

/// What a line begins with that goes on with a row.
const CONTINUED: &str = "    ";
/// Between columns.
const GAP: &str = "  ";
/// Columns of words that are wider may be folded, to no less than this.
const FOLDS: usize = 30;

impl Table {
    /// A table with these headings.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns
                .iter()
                .map(|(name, align)| ((*name).to_owned(), *align))
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; text from outside is made safe.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells
            .into_iter()
            .map(|cell| escape::terminal(&cell).into_owned());
        self.rows.push(cells.collect());
    }

    /// Which columns stand in one line, so that none is longer than this if that can be.
    fn lines(&self, widths: &[usize], room: usize) -> Vec<Range<usize>> {
        let (mut lines, mut begin, mut used) = (Vec::new(), 0, 0);
        for (column, width) in widths.iter().enumerate() {
            let gap = if column > begin { GAP.len() } else { 0 };
            let room = match begin {
                0 => room,
                _ => room.saturating_sub(CONTINUED.len()),
            };
            let left = room.saturating_sub(used + gap);
            let folds = self.columns[column].1 == Align::Left && *width > FOLDS && left >= FOLDS;
            if *width > left && !folds && column > begin {
                lines.push(begin..column);
                (begin, used) = (column, *width);
            } else {
                used += gap + width;
            }
        }
        lines.push(begin..widths.len());
        lines
    }

    /// Writes it, behind `indent`.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&self, out: &mut dyn Write, indent: &str, style: Style) -> io::Result<()> {
        self.write_painted(out, indent, style, &|_, _, text| text.to_owned())
    }

    /// The same; `paint` may colour a cell: row, column and padded text.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_painted(
        &self,
        out: &mut dyn Write,
        indent: &str,
        style: Style,
        paint: &dyn Fn(usize, usize, &str) -> String,
    ) -> io::Result<()> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .chain([self.columns[column].0.chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let room = match style.breaks {
            true => style.width.saturating_sub(indent.chars().count()),
            false => usize::MAX,
        };
        let lines = self.lines(&widths, room);
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let faint = |_: usize, text: &str| style.faint(text);
        let rows = self.rows.iter().enumerate();
        let painted = rows.map(|(at, row)| (row, Some(at)));
        for (row, at) in [(&names, None)].into_iter().chain(painted) {
            let paint = |column: usize, text: &str| match at {
                Some(at) => paint(at, column, text),
                None => faint(column, text),
            };
            for line in &lines {
                let begin = if line.start == 0 { "" } else { CONTINUED };
                let room = room.saturating_sub(begin.len());
                let written = self.line(row, &widths, line.clone(), room, &paint);
                for part in written
                    .iter()
                    .filter(|part| line.start == 0 || !part.is_empty())
                {
                    writeln!(out, "{indent}{begin}{part}")?;
                }
            }
        }
        Ok(())
    }

    /// A part of a row, and what of its last cell had no room in that line; nothing where all of its cells are empty.
    fn line(
        &self,
        row: &[String],
        widths: &[usize],
        columns: Range<usize>,
        room: usize,
        paint: &dyn Fn(usize, &str) -> String,
    ) -> Vec<String> {
        let (mut text, mut used) = (String::new(), 0);
        let last = columns.end - 1;
        let mut below = Vec::new();
        if columns
            .clone()
            .all(|column| row.get(column).is_none_or(String::is_empty))
        {
            return vec![String::new()];
        }
        for column in columns.clone() {
            if column > columns.start {
                text.push_str(GAP);
                used += GAP.len();
            }
            let cell = row.get(column).map_or("", String::as_str);
            let blanks = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            let cell = match self.columns[column].1 {
                Align::Right => format!("{blanks}{cell}"),
                Align::Left if column < last => format!("{cell}{blanks}"),
                Align::Left if used + cell.chars().count() > room => {
                    let mut pieces = fold(cell, room.saturating_sub(used).max(FOLDS)).into_iter();
                    let first = pieces.next().unwrap_or_default();
                    let hang = " ".repeat(used);
                    below = pieces
                        .map(|piece| format!("{hang}{}", paint(column, &piece)))
                        .collect();
                    first
                }
                Align::Left => cell.to_owned(),
            };
            used += cell.chars().count();
            text.push_str(&paint(column, &cell));
        }
        below.insert(0, text);
        below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_text_folds() {
        let mut table = Table::new(&[
            ("name", Align::Left),
            ("count", Align::Right),
            ("why", Align::Left),
        ]);
        table.row(["a".to_owned(), "1".to_owned(), "x\u{1b}[2J".to_owned()]);
        table.row(["longer".to_owned(), "12345678".to_owned(), "y".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out, "  ", Style::plain(80)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "  name       count  why\n  a              1  x\u{fffd}[2J\n  longer  12345678  y\n"
        );
        assert_eq!(fold("one two three four", 9), ["one two", "three", "four"]);
    }

    /// As `alerts list` and `doctor` on a terminal of 60 columns.
    #[test]
    fn rows_go_on_below_where_a_line_ends() {
        let mut table = Table::new(&[
            ("id", Align::Left),
            ("last", Align::Left),
            ("host", Align::Left),
            ("count", Align::Right),
            ("what", Align::Left),
        ]);
        let address = "2001:db8:100:200:300:400:500:600";
        let what = "it asked for three hundred services of a host that has two";
        let row = ["e69fee23", "2026-11-21 05:39:58", address, "9", what];
        table.row(row.map(str::to_owned));
        table.row(["c112bde0", "2026-11-21 05:39:58", "::1", "12", ""].map(str::to_owned));
        let written = |style: Style| {
            let mut out = Vec::new();
            table.write(&mut out, "", style).unwrap();
            String::from_utf8(out).unwrap()
        };
        let narrow = Style {
            breaks: true,
            ..Style::plain(60)
        };
        let blank = " ".repeat(29);
        assert_eq!(
            written(narrow),
            format!(
                "id        last\n    host{blank} count\n    what\n\
                 e69fee23  2026-11-21 05:39:58\n    {address}      9\n    \
                 it asked for three hundred services of a host that has\n    two\n\
                 c112bde0  2026-11-21 05:39:58\n    ::1{}     12\n",
                " ".repeat(29)
            )
        );
        let whole = written(Style::plain(60));
        assert_eq!(whole.lines().count(), 3, "for programs a row is a line");
        let wide = Style {
            breaks: true,
            ..Style::plain(200)
        };
        assert_eq!(written(wide), whole, "and where there is room");
    }

    #[test]
    fn long_words_fold_beside_what_they_are_about() {
        let mut table = Table::new(&[("check", Align::Left), ("finding", Align::Left)]);
        let finding = "no model in anomaly-out/model_outputs yet; train one";
        table.row(["model".to_owned(), finding.to_owned()]);
        let mut out = Vec::new();
        let style = Style {
            breaks: true,
            ..Style::plain(60)
        };
        table
            .write(&mut out, "", Style { width: 45, ..style })
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "check  finding\n\
             model  no model in anomaly-out/model_outputs\n       yet; train one\n"
        );
    }
}
