//! What of a list is not used: how much, and why.

use std::fmt;

/// Why an entry is not used.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// It covers private or reserved space.
    Reserved,
    /// It covers the space that the configuration calls our own.
    Own,
    /// It covers too much at once.
    TooWide,
    /// It is none of what a list may hold.
    Unreadable,
    /// Its line is longer than is believed.
    TooLong,
    /// It was valid until a time that is over.
    Expired,
    /// Its author took it back.
    Revoked,
    /// Its author says that it is not for detection (MISP `to_ids`).
    NotForDetection,
    /// A pattern of several conditions: none of its parts means anything alone.
    Pattern,
    /// Something that is not seen on the network: a hash, a mail address, a URL.
    OtherKind,
    /// It is there already.
    Duplicate,
    /// There are more than are held.
    Room,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Reserved,
        Self::Own,
        Self::TooWide,
        Self::Unreadable,
        Self::TooLong,
        Self::Expired,
        Self::Revoked,
        Self::NotForDetection,
        Self::Pattern,
        Self::OtherKind,
        Self::Duplicate,
        Self::Room,
    ];

    /// Name for people, files and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Own => "own",
            Self::TooWide => "too_wide",
            Self::Unreadable => "unreadable",
            Self::TooLong => "too_long",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::NotForDetection => "not_for_detection",
            Self::Pattern => "pattern",
            Self::OtherKind => "other_kind",
            Self::Duplicate => "duplicate",
            Self::Room => "no_room",
        }
    }

    /// In words, behind a number of entries.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Reserved => "cover private or reserved space",
            Self::Own => "cover our own space (intel.own)",
            Self::TooWide => "cover too much at once",
            Self::Unreadable => "cannot be read",
            Self::TooLong => "have too long a line",
            Self::Expired => "have expired",
            Self::Revoked => "were revoked",
            Self::NotForDetection => "are not for detection (to_ids)",
            Self::Pattern => "are patterns of several conditions",
            Self::OtherKind => "are not seen on the network (hashes, URLs, mail)",
            Self::Duplicate => "are there already",
            Self::Room => "found no room (intel.max_entries)",
        }
    }

    /// Whether somebody should look: the list says what it should not, or cannot be read.
    pub const fn is_warning(self) -> bool {
        matches!(
            self,
            Self::Reserved
                | Self::Own
                | Self::TooWide
                | Self::Unreadable
                | Self::TooLong
                | Self::Room
        )
    }
}

/// Losses of one list or several, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses([u64; Loss::ALL.len()]);

impl Losses {
    pub(super) const fn add(&mut self, loss: Loss) {
        self.0[loss as usize] += 1;
    }

    /// How many for this reason.
    pub const fn of(&self, loss: Loss) -> u64 {
        self.0[loss as usize]
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each reason with a number, where there is one.
    pub fn each(&self) -> impl Iterator<Item = (Loss, u64)> {
        Loss::ALL
            .into_iter()
            .map(|loss| (loss, self.of(loss)))
            .filter(|(_, number)| *number > 0)
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (loss, number)) in self.each().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{number} {}", loss.words())?;
        }
        Ok(())
    }
}
