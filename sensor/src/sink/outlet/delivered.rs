//! How far delivery has come, for the next process.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

/// How far delivery has come, in two places written by turns, so that a write cut short leaves the other.
#[derive(Debug)]
pub(super) struct Delivered {
    file: File,
    /// Every parcel below this number was delivered.
    pub(super) below: u64,
    turn: u64,
}

impl Delivered {
    /// Far enough apart to be in different sectors.
    const APART_BYTES: u64 = 4096;

    /// The greater of what is in both places; nothing delivered where there is no file.
    ///
    /// # Errors
    /// The file cannot be made, read or written.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let slot = |at: usize| {
            let slot = bytes.get(at..at + 16)?;
            let number = u64::from_le_bytes(slot[..8].try_into().ok()?);
            let check = u64::from_le_bytes(slot[8..].try_into().ok()?);
            (check == !number).then_some(number)
        };
        let below = [slot(0), slot(Self::APART_BYTES as usize)]
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(0);
        Ok(Self {
            file,
            below,
            turn: 0,
        })
    }

    /// Writes down how far it has come.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn write(&mut self, below: u64) -> io::Result<()> {
        self.below = below;
        self.turn += 1;
        let mut slot = below.to_le_bytes().to_vec();
        slot.extend_from_slice(&(!below).to_le_bytes());
        self.file
            .seek(SeekFrom::Start(self.turn % 2 * Self::APART_BYTES))?;
        self.file.write_all(&slot)
    }
}
