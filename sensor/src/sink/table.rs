//! Aligned tables and paragraphs for a terminal.

use std::io::{self, IsTerminal, Write};

use super::escape;
use crate::score::Severity;

/// How to write to a terminal.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether colours are understood and wanted.
    pub colour: bool,
    /// Characters in a line.
    pub width: usize,
}

impl Style {
    /// For plain text of this width.
    pub const fn plain(width: usize) -> Self {
        Self {
            colour: false,
            width,
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

/// A table that is as wide as its content.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

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

    /// Writes it, behind `indent`. `paint` may colour a cell: row, column and padded text.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(
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
        let pad = |column: usize, text: &str| {
            let last = column + 1 == widths.len();
            let room = widths[column] - text.chars().count().min(widths[column]);
            match self.columns[column].1 {
                Align::Left if last => text.to_owned(),
                Align::Left => format!("{text}{}", " ".repeat(room)),
                Align::Right => format!("{}{text}", " ".repeat(room)),
            }
        };
        let heading: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(column, (name, _))| pad(column, name))
            .collect();
        writeln!(out, "{indent}{}", style.faint(&heading.join("  ")))?;
        for (at, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| paint(at, column, &pad(column, cell)))
                .collect();
            writeln!(out, "{indent}{}", cells.join("  "))?;
        }
        Ok(())
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
        table
            .write(&mut out, "  ", Style::plain(80), &|_, _, text| {
                text.to_owned()
            })
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "  name       count  why\n  a              1  x\u{fffd}[2J\n  longer  12345678  y\n"
        );
        assert_eq!(fold("one two three four", 9), ["one two", "three", "four"]);
    }
}
