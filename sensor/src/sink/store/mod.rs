//! The embedded store: incidents with what became of them, telling flows, host profiles and sums over all traffic, in one
//! SQLite file. One thread of a live sensor writes ([`Writer`]), a person acts on incidents from any process ([`Actions`]),
//! everybody may read ([`Reader`]).
//!
//! The journal is a write-ahead log: readers do not wait for the writer, and after a crash the file is whole up to the last
//! commit. Everything in it is bounded, by number, by age and by bytes ([`Limits`]); age is traffic time, counted from the newest.

mod actions;
mod damage;
mod facts;
mod files;
mod flows;
mod hosts;
mod incidents;
mod life;
mod profiles;
mod query;
mod reader;
mod reading;
mod retention;
mod rules;
mod schema;
mod search;
mod share;
mod sketch;
mod suppressions;
mod top;
mod value;
mod waiting;
mod writer;

use std::path::{Path, PathBuf};

pub use self::{
    actions::Actions,
    facts::Facts,
    files::{Counts, FileEntry, Found, Store},
    flows::{FlowEntry, reason_json},
    hosts::{HostEntry, HostFilter, HostHour, HostOrder, HostProfile, Usual},
    incidents::{IncidentEntry, IncidentFilter, IncidentOrder, LifeEvent, TallyEntry},
    life::{Change, Life, State},
    profiles::Profiles,
    reader::Reader,
    retention::Limits,
    rules::{RuleBook, Rules},
    search::{FlowFilter, FlowOrder},
    share::Share,
    suppressions::{NewSuppression, Suppression},
    top::{TopBy, TopFilter, TopOf, TopRow},
    writer::{Taking, Writer},
};
pub use crate::score::HostMatch;

/// Name of the file in the folder of outputs.
pub const FILE: &str = "anomaly.sqlite";
/// Its name until version 0.4, where only `zeek watch` had one.
const EARLIER_FILE: &str = "anomalies.sqlite";

/// Where the store of a folder of outputs is: one of an earlier version goes on under its name.
pub fn path_in(folder: &Path) -> PathBuf {
    let [path, earlier] = [FILE, EARLIER_FILE].map(|name| folder.join(name));
    if !path.exists() && earlier.exists() {
        earlier
    } else {
        path
    }
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What SQLite said.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Written by a later program.
    #[error("{}: store of version {found}, this program knows up to {known}; use the newer program, or another file", path.display())]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Written by an earlier program, and opened for reading only.
    #[error("{}: store of the earlier version {found}; `live`, `run` or any command that changes it brings it to version {known}", path.display())]
    Older {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The one that can be read.
        known: u32,
    },
    /// There is none.
    #[error("{}: no store there yet; `live`, `run` and `zeek watch` make one, and --set output.folder=FOLDER names another", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// This user may not look into its folder.
    #[error("{}: no permission to look there; ask as the user that the sensor runs as, or as root", path.display())]
    Forbidden {
        /// Where it would be.
        path: PathBuf,
    },
    /// Nothing is named so, or more than one.
    #[error("{0}")]
    Unknown(String),
}

impl StoreError {
    /// What SQLite said of the store at `path`.
    pub(in crate::sink) fn at(path: &Path) -> impl Fn(rusqlite::Error) -> Self + Copy + '_ {
        move |source| Self::Sqlite {
            path: path.to_owned(),
            source,
        }
    }
}
