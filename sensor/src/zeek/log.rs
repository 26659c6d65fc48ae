//! A conn.log file, read record by record.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    beside::Beside,
    columns::{DEFAULT_COLUMNS, FIELDS},
    conn::Conn,
    losses::{Loss, Losses},
    record::Records,
};

/// Why a log cannot be read at all, or not on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// What the system said.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another of Zeek's logs.
    #[error("{}: a Zeek log of `{log}`, not of `conn`", path.display())]
    AnotherLog {
        /// The file.
        path: PathBuf,
        /// Its `#path`.
        log: String,
    },
    /// A folder without connection logs.
    #[error("{}: no connection log in this folder (looked for conn.log, conn.*.log, also .gz and .zst)", path.display())]
    NoLogs {
        /// The folder.
        path: PathBuf,
    },
}

/// The connections of one file. Damage is data: a line that cannot be read is counted by its reason and skipped.
#[derive(Debug)]
pub struct ConnLog {
    path: PathBuf,
    records: Records,
    beside: Beside,
}

impl ConnLog {
    /// Opens a log: TSV with or without header, or JSON lines; plain, gzip or zstd. dns.log, http.log and ssl.log of the same
    /// name beside it are joined.
    ///
    /// # Errors
    /// [`LogError::Read`] if the file cannot be read.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let failed = |source| LogError::Read {
            path: path.to_owned(),
            source,
        };
        Ok(Self {
            path: path.to_owned(),
            records: Records::open(path, FIELDS, DEFAULT_COLUMNS).map_err(failed)?,
            beside: Beside::of(path).map_err(failed)?,
        })
    }

    /// The next connection; `None` at the end.
    ///
    /// # Errors
    /// [`LogError::Read`] if the file cannot be read on, [`LogError::AnotherLog`] if its header says that it is not a
    /// log of connections.
    pub fn next_conn(&mut self) -> Result<Option<Conn>, LogError> {
        loop {
            let more = self.records.advance().map_err(|source| LogError::Read {
                path: self.path.clone(),
                source,
            })?;
            if !more {
                return Ok(None);
            }
            if let Some(log) = self.records.path().filter(|log| !is_conn_path(log)) {
                return Err(LogError::AnotherLog {
                    path: self.path.clone(),
                    log: log.to_owned(),
                });
            }
            let line = self.records.line();
            let mut unreadable = 0;
            let conn = Conn::read(self.records.fields(), line, &mut unreadable);
            self.records.losses_mut().unreadable_values += unreadable;
            match conn {
                Some(mut conn) => {
                    conn.application = self.beside.about(&conn.uid);
                    return Ok(Some(conn));
                }
                None => self.records.losses_mut().add(Loss::Essential, line),
            }
        }
    }

    /// What could not be read so far.
    pub fn losses(&self) -> &Losses {
        self.records.losses()
    }

    /// Lines so far that should have been records.
    pub fn lines_of_records(&self) -> u64 {
        self.records.lines_of_records()
    }
}

/// `conn`, and what sites that filter their logs call it: `conn_long`, `conn-internal`.
fn is_conn_path(path: &str) -> bool {
    path == "conn" || path.starts_with("conn_") || path.starts_with("conn-")
}
