//! The store, open to be read: by the dashboard, the report, and commands, while another process writes.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use sensor_ebpf::flow::TimeNs;

use super::{
    Counts, FlowEntry, FlowFilter, HostEntry, HostFilter, HostProfile, IncidentEntry,
    IncidentFilter, LifeEvent, StoreError, Suppression, TallyEntry, TopFilter, TopRow, hosts,
    incidents, reading, retention, search, suppressions, top,
    value::{integer, key_of, natural},
};

/// A connection that only reads. One for each thread.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Connection,
}

impl Reader {
    /// Opens a store that is there.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none, [`StoreError::Older`] and [`StoreError::Newer`] where another version of the
    /// program wrote it, and what SQLite says.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            connection: reading::open_to_read(path)?,
            path: path.to_owned(),
        })
    }

    /// The connection, for those who have tables of their own in the store.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    fn tried<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(StoreError::at(&self.path))
    }

    /// A number that changes when another connection has committed something.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn revision(&self) -> Result<u64, StoreError> {
        let found = self
            .connection
            .query_row("PRAGMA data_version", [], |row| row.get(0));
        self.tried(found.map(natural))
    }

    /// Incidents that are wanted, in their order.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn incidents(&self, wanted: &IncidentFilter) -> Result<Vec<IncidentEntry>, StoreError> {
        self.tried(incidents::select(&self.connection, wanted))
    }

    /// The incident of this id, or the only one whose id begins so.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] where more than one begins so, and what SQLite says.
    pub fn incident(&self, id: &str) -> Result<Option<IncidentEntry>, StoreError> {
        let Some(id) = self.id_of(id)? else {
            return Ok(None);
        };
        let wanted = IncidentFilter {
            ids: vec![id],
            ..IncidentFilter::default()
        };
        Ok(self.incidents(&wanted)?.pop())
    }

    /// The whole id of the only incident whose id begins so.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] where more than one begins so, and what SQLite says.
    pub fn id_of(&self, beginning: &str) -> Result<Option<String>, StoreError> {
        let mut found = self.tried(incidents::beginning(&self.connection, beginning))?;
        if found.len() > 1 {
            return Err(StoreError::Unknown(format!(
                "`{beginning}`: more than one incident's id begins so, among them {} and {}; write more of it",
                found[0], found[1]
            )));
        }
        Ok(found.pop())
    }

    /// What happened to an incident, oldest first; by its whole id.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn events(&self, id: &str) -> Result<Vec<LifeEvent>, StoreError> {
        self.tried(incidents::events(&self.connection, id))
    }

    /// Incidents with a packet at this moment or later, by state, severity and kind.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn tally(&self, since_ns: TimeNs) -> Result<Vec<TallyEntry>, StoreError> {
        self.tried(incidents::tally(&self.connection, since_ns))
    }

    /// Flows that are wanted, in their order.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn flows(&self, wanted: &FlowFilter) -> Result<Vec<FlowEntry>, StoreError> {
        let found = search::resolve(&self.connection, wanted)
            .and_then(|wanted| search::select(&self.connection, &wanted));
        self.tried(found)
    }

    /// How SQLite answers [`Self::flows`]: a line for each step.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn plan(&self, wanted: &FlowFilter) -> Result<Vec<String>, StoreError> {
        let found = search::resolve(&self.connection, wanted)
            .and_then(|wanted| search::plan(&self.connection, &wanted));
        self.tried(found)
    }

    /// How many flows are wanted; `most` where there are more.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn flow_count(&self, wanted: &FlowFilter, most: u64) -> Result<u64, StoreError> {
        let found = search::resolve(&self.connection, wanted).and_then(|wanted| {
            if wanted.limit == 0 {
                return Ok(0);
            }
            search::count(&self.connection, &wanted, most)
        });
        self.tried(found)
    }

    /// Hosts that are wanted, in their order.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn hosts(&self, wanted: &HostFilter) -> Result<Vec<HostEntry>, StoreError> {
        self.tried(hosts::select(&self.connection, wanted))
    }

    /// All that is known of the host of this address.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn host(&self, address: &str) -> Result<Option<HostProfile>, StoreError> {
        self.tried(hosts::profile(&self.connection, &key_of(address)))
    }

    /// Who and what moves most, over all traffic.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn top(&self, wanted: &TopFilter) -> Result<Vec<TopRow>, StoreError> {
        self.tried(top::select(&self.connection, wanted))
    }

    /// Suppressions in force, oldest first; with those that are over or were removed, newest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn suppressions(&self, also_past: bool) -> Result<Vec<Suppression>, StoreError> {
        if also_past {
            return self.tried(suppressions::all(&self.connection));
        }
        let now = crate::time::now();
        let mut standing = self.tried(suppressions::standing(&self.connection))?;
        standing.retain(|one| one.is_in_force(now));
        Ok(standing)
    }

    /// Times in which no sensor watched since this moment, as the store remembers them: from the last sign of one to the first of
    /// the next.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn gaps(&self, since_ns: TimeNs) -> Result<Vec<[TimeNs; 2]>, StoreError> {
        let read = || -> rusqlite::Result<Vec<[TimeNs; 2]>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT before, began_ns FROM (SELECT began_ns, lag(last_ns) OVER (ORDER BY id) AS before FROM watches)
                 WHERE before < began_ns AND began_ns >= ?1",
            )?;
            let rows = statement.query_map([integer(since_ns)], |row| {
                Ok([natural(row.get(0)?), natural(row.get(1)?)])
            })?;
            rows.collect()
        };
        self.tried(read())
    }

    /// How much there is.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        self.tried(super::files::counts(&self.connection))
    }

    /// Bytes that the store uses.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        self.tried(retention::used_bytes(&self.connection))
    }
}
