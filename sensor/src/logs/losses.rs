//! What of a log could not be read: how much, and why.

use std::fmt;

/// Why a record or a line gave no event.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// A record of an EVTX file, or a chunk of 64 KiB of them, is damaged.
    Record,
    /// From there on the file is damaged or cut; how many events that were is not known.
    Rest,
    /// A line is not what the others are.
    Line,
    /// A line, or a whole file, is longer than is believed.
    TooLong,
    /// It carries no event id.
    NoId,
    /// There were more events than are held at once.
    Room,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Record,
        Self::Rest,
        Self::Line,
        Self::TooLong,
        Self::NoId,
        Self::Room,
    ];

    /// Name for people, files and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "damaged-record",
            Self::Rest => "damaged-rest",
            Self::Line => "unreadable-line",
            Self::TooLong => "too-long",
            Self::NoId => "no-event-id",
            Self::Room => "no-room",
        }
    }
}

/// Losses of one file or several, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses([u64; Loss::ALL.len()]);

impl Losses {
    pub(super) fn add(&mut self, loss: Loss) {
        self.0[loss as usize] += 1;
    }

    /// How many for this reason.
    pub const fn of(&self, loss: Loss) -> u64 {
        self.0[loss as usize]
    }

    /// How many for all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Those of another file as well.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}

impl fmt::Display for Losses {
    /// `3 damaged-record, 1 damaged-rest`; nothing where nothing was lost.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = Loss::ALL.into_iter().filter(|loss| self.of(*loss) > 0);
        for (at, loss) in lost.enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{} {}", self.of(loss), loss.name())?;
        }
        Ok(())
    }
}
