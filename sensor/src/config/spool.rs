//! Section `spool`: what waits for receivers that are slow or away.

use std::{path::PathBuf, time::Duration};

use super::{ConfigError, Layers};

/// The same for every sink; each has a spool of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Folder; `None` for `spool` in the output folder.
    pub folder: Option<PathBuf>,
    /// Bytes on disk for each sink.
    pub bytes: u64,
    /// Bytes in memory for each sink.
    pub memory_bytes: usize,
    /// Bytes of dead letters kept for each sink.
    pub dead_letter_bytes: u64,
    /// How long after a failure to try again the first time.
    pub first_retry: Duration,
    /// Longest time between tries.
    pub longest_retry: Duration,
}

impl Spool {
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let folder = layers.text("spool.folder")?;
        let at_least = |key, least: u64| {
            let duration = layers.duration(key)?.unwrap_or_default();
            Ok(duration.max(Duration::from_millis(least)))
        };
        let first_retry = at_least("spool.first_retry", 10)?;
        Ok(Self {
            folder: (!folder.is_empty()).then(|| folder.into()),
            bytes: layers.integer("spool.bytes", 1 << 20, 1 << 40)? as u64,
            memory_bytes: layers.integer("spool.memory_bytes", 64 << 10, 1 << 34)? as usize,
            dead_letter_bytes: layers.integer("spool.dead_letter_bytes", 0, 1 << 34)? as u64,
            first_retry,
            longest_retry: at_least("spool.longest_retry", 10)?.max(first_retry),
        })
    }
}
