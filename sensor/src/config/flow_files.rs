//! Sections `parquet` and `conn_log`: flows in files that are turned over.

use std::{path::PathBuf, time::Duration};

use super::{ConfigError, Layers};

/// Section `parquet`.
#[derive(Clone, Debug, PartialEq)]
pub struct Parquet {
    /// Folder of the files; none unless named.
    pub folder: Option<PathBuf>,
    /// Rows of a file, about.
    pub rows_per_file: u64,
    /// Time after which a file is made of what there is.
    pub every: Duration,
    /// Bytes of all files; 0 for any.
    pub keep_bytes: u64,
}

/// Section `conn_log`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnLog {
    /// Folder of the logs; none unless named.
    pub folder: Option<PathBuf>,
    /// Time after which a log is put aside.
    pub every: Duration,
    /// Bytes of those put aside; 0 for any.
    pub keep_bytes: u64,
}

const MOST_BYTES: i64 = 1 << 50;

fn folder(layers: &Layers, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
    let text = layers.text(key)?;
    Ok((!text.is_empty()).then(|| text.into()))
}

fn every(layers: &Layers, key: &'static str) -> Result<Duration, ConfigError> {
    Ok(layers
        .duration(key)?
        .unwrap_or(Duration::from_secs(u64::MAX)))
}

impl Parquet {
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        Ok(Self {
            folder: folder(layers, "parquet.folder")?,
            rows_per_file: layers.integer("parquet.rows_per_file", 1, 1_000_000_000)? as u64,
            every: every(layers, "parquet.every")?,
            keep_bytes: layers.integer("parquet.keep_bytes", 0, MOST_BYTES)? as u64,
        })
    }
}

impl ConnLog {
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        Ok(Self {
            folder: folder(layers, "conn_log.folder")?,
            every: every(layers, "conn_log.every")?,
            keep_bytes: layers.integer("conn_log.keep_bytes", 0, MOST_BYTES)? as u64,
        })
    }
}
