//! How much may wait for a receiver, how much does, and what was lost.

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes in memory.
    pub memory_bytes: usize,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

impl Bounds {
    /// Of the room, what is for parcels that need not survive.
    pub(super) const fn bulk(bytes: u64) -> u64 {
        bytes - bytes / 4
    }
}

/// Parcels lost, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// No room was left.
    pub full: u64,
    /// The disk did not take them, and memory was full.
    pub disk: u64,
    /// They were on disk, and could not be read.
    pub damaged: u64,
}

impl Lost {
    /// All of them.
    pub const fn all(&self) -> u64 {
        self.full + self.disk + self.damaged
    }

    /// The greater of each.
    pub(super) fn at_least(self, other: Self) -> Self {
        Self {
            full: self.full.max(other.full),
            disk: self.disk.max(other.disk),
            damaged: self.damaged.max(other.damaged),
        }
    }
}

/// What a spool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Bytes in memory, also of parcels under way.
    pub memory_bytes: usize,
    /// Bytes of files.
    pub disk_bytes: u64,
    /// Parcels that wait or are under way.
    pub parcels: u64,
    /// Lost since the spool was opened.
    pub lost: Lost,
}
