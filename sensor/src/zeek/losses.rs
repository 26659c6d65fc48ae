//! What of a log could not be read: how much, why, and where it began.

use std::fmt;

/// Why a line gave no record.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The file ends in the middle of it.
    CutShort,
    /// From there on the compressed file is damaged or cut; how many lines that were is not known.
    Damaged,
    /// It has fewer columns than the header names.
    Columns,
    /// There was no `#fields` line before it, and it is not what Zeek writes by itself.
    NoHeader,
    /// It begins like JSON and is none.
    NotJson,
    /// It is longer than 1 MiB.
    TooLong,
    /// Its time, addresses or protocol are missing or unreadable.
    Essential,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::CutShort,
        Self::Damaged,
        Self::Columns,
        Self::NoHeader,
        Self::NotJson,
        Self::TooLong,
        Self::Essential,
    ];

    /// Name for people, files and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CutShort => "cut-short",
            Self::Damaged => "damaged",
            Self::Columns => "columns",
            Self::NoHeader => "no-header",
            Self::NotJson => "not-json",
            Self::TooLong => "too-long",
            Self::Essential => "essential-field",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Lines lost, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    counts: [u64; Loss::ALL.len()],
    first_lines: [u64; Loss::ALL.len()],
    /// Fields of readable lines whose text is not what the field should hold; each counts as missing.
    pub unreadable_values: u64,
}

impl Losses {
    pub(super) fn add(&mut self, reason: Loss, line: u64) {
        let at = reason as usize;
        if self.counts[at] == 0 {
            self.first_lines[at] = line;
        }
        self.counts[at] += 1;
    }

    /// Lines lost.
    pub fn lines(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Lines lost for this reason.
    pub const fn count(&self, reason: Loss) -> u64 {
        self.counts[reason as usize]
    }

    /// Each reason that occurred, with the number of lines and the number of the first.
    pub fn iter(&self) -> impl Iterator<Item = (Loss, u64, u64)> {
        Loss::ALL
            .into_iter()
            .map(|reason| {
                let at = reason as usize;
                (reason, self.counts[at], self.first_lines[at])
            })
            .filter(|(_, count, _)| *count > 0)
    }
}

impl fmt::Display for Losses {
    /// `2 lines lost: 1 cut-short (line 67), 1 columns (line 12)`; nothing if nothing was lost.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = match self.lines() {
            0 => "",
            1 => "1 line lost: ",
            lines => {
                write!(f, "{lines} lines lost")?;
                ": "
            }
        };
        for (reason, count, line) in self.iter() {
            write!(f, "{before}{count} {reason} (from line {line})")?;
            before = ", ";
        }
        if self.unreadable_values > 0 {
            if self.lines() > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{} unreadable values", self.unreadable_values)?;
        }
        Ok(())
    }
}
