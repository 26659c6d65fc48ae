//! Files that were taken in: logs of Zeek, captures. A file goes in by one transaction, its flows and the note that it is done
//! together. So after a crash it is either done or was never begun, and no line is stored twice.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sensor_ebpf::flow::TimeNs;

use super::{
    FlowEntry, FlowFilter, Limits, Profiles, StoreError, flows, incidents, retention, schema,
    search, suppressions,
    value::{integer, natural},
};
use crate::{
    score::{Mute, Mutes},
    sink::{alert::Alert, rollup::Rollup},
    time::Weekly,
};

/// A file that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it lay.
    pub path: String,
    /// SHA-256 of what it holds, decompressed, in hexadecimal: a file is the same under another name, and when compressed.
    pub digest: String,
    /// Length on disk.
    pub size_bytes: u64,
    /// How far it was read, decompressed bytes.
    pub offset_bytes: u64,
    /// Records scored.
    pub records: u64,
    /// Lines that gave no record.
    pub lost: u64,
    /// Latest end of a record.
    pub last_ns: TimeNs,
    /// Digest of the model that scored.
    pub model: String,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files remembered.
    pub files: u64,
    /// Flows kept.
    pub flows: u64,
    /// Incidents kept.
    pub incidents: u64,
    /// Hosts profiled.
    pub hosts: u64,
}

/// The store, open for one writer.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
    limits: Limits,
}

impl Store {
    /// Opens the store, or makes it, and brings it to this program's version.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        Ok(Self {
            connection: schema::open(path)?,
            path: path.to_owned(),
            limits,
        })
    }

    /// Whether a file of this content was taken in.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn has(&self, digest: &str) -> Result<bool, StoreError> {
        self.connection
            .prepare_cached("SELECT 1 FROM files WHERE digest = ?1")
            .and_then(|mut query| query.exists([digest]))
            .map_err(StoreError::at(&self.path))
    }

    /// The last file taken in from this path, if there is one of this length.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn has_path(&self, path: &str, size_bytes: u64) -> Result<bool, StoreError> {
        let found = self
            .connection
            .query_row(
                "SELECT size_bytes FROM files WHERE path = ?1 ORDER BY id DESC LIMIT 1",
                [path],
                |row| row.get::<_, i64>(0),
            )
            .optional()
            .map_err(StoreError::at(&self.path))?;
        Ok(found == Some(integer(size_bytes)))
    }

    /// Paths of the files taken in last, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn recent_paths(&self, count: u32) -> Result<Vec<String>, StoreError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut query = self
                .connection
                .prepare_cached("SELECT path FROM files ORDER BY id DESC LIMIT ?1")?;
            let mut paths = query
                .query_map([count], |row| row.get(0))?
                .collect::<Result<Vec<String>, _>>()?;
            paths.reverse();
            Ok(paths)
        };
        read().map_err(StoreError::at(&self.path))
    }

    /// Takes a file in: its flows, and that it is done, or nothing at all. Then forgets what is beyond the limits. `false` if
    /// the same content had been taken in before: nothing changes.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; nothing was stored then.
    pub fn add(&mut self, file: &FileEntry, flows: &[FlowEntry]) -> Result<bool, StoreError> {
        let limits = self.limits;
        insert(&mut self.connection, file, flows, limits).map_err(StoreError::at(&self.path))
    }

    /// Takes in what was found in captures, in place of what was found in them before: flows, incidents, and the sums and
    /// profiles of all their traffic, once. `file.digest` names the captures, not what was found.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; nothing was stored then.
    pub fn add_run(&mut self, file: &FileEntry, found: Found<'_>) -> Result<(), StoreError> {
        let limits = self.limits;
        let mut found = found;
        insert_run(&mut self.connection, file, &mut found, limits)
            .map_err(StoreError::at(&self.path))
    }

    /// What nobody is to be told of: the suppressions of the store, and these maintenance windows. `handled` is empty: it is of
    /// incidents that go on.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn mutes(&self, windows: &[Weekly]) -> Result<Mutes, StoreError> {
        let standing =
            suppressions::standing(&self.connection).map_err(StoreError::at(&self.path))?;
        let windows = windows.iter().map(|window| Mute {
            weekly: Some(*window),
            ..Mute::default()
        });
        Ok(Mutes {
            mutes: standing
                .iter()
                .map(|one| one.mute())
                .chain(windows)
                .collect(),
            ..Mutes::default()
        })
    }

    /// How much there is.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn counts(&self) -> Result<Counts, StoreError> {
        counts(&self.connection).map_err(StoreError::at(&self.path))
    }

    /// The most anomalous flows.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn top(&self, count: u32) -> Result<Vec<FlowEntry>, StoreError> {
        let wanted = FlowFilter {
            limit: count,
            ..FlowFilter::default()
        };
        search::select(&self.connection, &wanted).map_err(StoreError::at(&self.path))
    }
}

/// What was found in captures.
pub struct Found<'a> {
    /// Telling flows.
    pub flows: &'a [FlowEntry],
    /// Incidents.
    pub incidents: &'a [Alert],
    /// What nobody is to be told of.
    pub mutes: &'a Mutes,
    /// Profiles of all hosts.
    pub profiles: &'a mut Profiles,
    /// Sums over all flows.
    pub rollup: &'a mut Rollup,
}

pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    connection.query_row(
        "SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM flows), (SELECT count(*) FROM incidents),
            (SELECT count(*) FROM hosts)",
        [],
        |row| {
            Ok(Counts {
                files: natural(row.get(0)?),
                flows: natural(row.get(1)?),
                incidents: natural(row.get(2)?),
                hosts: natural(row.get(3)?),
            })
        },
    )
}

/// Notes a file; `None`: it was there.
fn insert_file(connection: &Connection, file: &FileEntry) -> rusqlite::Result<Option<i64>> {
    let new = connection.execute(
        "INSERT OR IGNORE INTO files (path, digest, size_bytes, offset_bytes, records, lost, last_ns, model)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            file.path,
            file.digest,
            integer(file.size_bytes),
            integer(file.offset_bytes),
            integer(file.records),
            integer(file.lost),
            integer(file.last_ns),
            file.model
        ],
    )?;
    Ok((new > 0).then(|| connection.last_insert_rowid()))
}

fn insert(
    connection: &mut Connection,
    file: &FileEntry,
    flows: &[FlowEntry],
    limits: Limits,
) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(id) = insert_file(&transaction, file)? else {
        return Ok(false);
    };
    flows::insert(&transaction, Some(id), flows)?;
    retention::expire_flows(&transaction, &limits)?;
    transaction.commit()?;
    retention::give_back(connection)?;
    Ok(true)
}

fn insert_run(
    connection: &mut Connection,
    file: &FileEntry,
    found: &mut Found<'_>,
    limits: Limits,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before: Option<i64> = transaction
        .query_row(
            "SELECT id FROM files WHERE digest = ?1",
            [&file.digest],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(before) = before {
        transaction.execute("DELETE FROM flows WHERE file = ?1", [before])?;
        transaction.execute("DELETE FROM files WHERE id = ?1", [before])?;
    } else {
        found.profiles.flush(&transaction)?;
        found.rollup.flush(&transaction)?;
    }
    let id = insert_file(&transaction, file)?;
    flows::insert(&transaction, id, found.flows)?;
    for alert in found.incidents {
        // Of a capture, the clock that counts is that of its packets: two runs give the same store.
        incidents::hear(&transaction, alert, found.mutes, true, alert.last_ns)?;
    }
    retention::expire_flows(&transaction, &limits)?;
    for _ in 0..4 {
        retention::shrink(&transaction, &limits)?;
    }
    transaction.commit()?;
    found.profiles.written();
    retention::give_back(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Severity;

    fn file(name: &str) -> FileEntry {
        FileEntry {
            path: format!("/logs/{name}"),
            digest: name.to_owned(),
            size_bytes: 10,
            offset_bytes: 20,
            records: 3,
            lost: 0,
            last_ns: 5,
            model: "m".to_owned(),
        }
    }

    fn flow(line: u64, start_ns: u64, p_value: f64) -> FlowEntry {
        FlowEntry {
            id: 0,
            file: None,
            community_id: None,
            orig_packets: None,
            resp_packets: None,
            kind: None,
            line,
            uid: format!("C{line}"),
            start_ns,
            duration_ns: None,
            src_ip: "192.0.2.1".to_owned(),
            src_port: Some(1),
            dst_ip: "2001:db8::1".to_owned(),
            dst_port: None,
            protocol: 6,
            service: None,
            conn_state: Some("REJ".to_owned()),
            orig_bytes: Some(4),
            resp_bytes: None,
            score: 0.625,
            p_value,
            severity: Severity::High,
            anomalous: true,
            reasons: "[]".to_owned(),
            intel: Vec::new(),
        }
    }

    #[test]
    fn a_content_goes_in_once_and_comes_back_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.sqlite");
        let flows = [flow(7, 100, 1e-4), flow(9, 200, 1e-6)];
        let mut store = Store::open(&path, Limits::default()).expect("a new store");
        assert!(store.add(&file("a"), &flows).expect("stored"));
        let renamed = FileEntry {
            path: "/logs/b".to_owned(),
            ..file("a")
        };
        assert!(!store.add(&renamed, &flows).expect("known"));
        drop(store);
        let store = Store::open(&path, Limits::default()).expect("the same store");
        assert!(store.has("a").expect("read") && !store.has("b").expect("read"));
        assert!(store.has_path("/logs/a", 10).expect("read"));
        assert!(!store.has_path("/logs/a", 11).expect("read"));
        let top = store.top(10).expect("read");
        let [second, first] = flows.map(|flow| FlowEntry {
            file: Some("/logs/a".to_owned()),
            ..flow
        });
        let top: Vec<FlowEntry> = top
            .into_iter()
            .map(|flow| FlowEntry { id: 0, ..flow })
            .collect();
        assert_eq!(top, [first, second]);
    }

    #[test]
    fn a_file_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store =
            Store::open(&folder.path().join("s"), Limits::default()).expect("a new store");
        let twice = [flow(7, 100, 1e-4), flow(7, 100, 1e-4)];
        store.add(&file("a"), &twice).expect_err("one line twice");
        assert_eq!(store.counts().expect("read"), Counts::default());
        assert!(store.add(&file("a"), &twice[..1]).expect("stored"));
    }

    #[test]
    fn bounded_by_number_age_and_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = Limits {
            flows: 3,
            age_ns: 1000,
            files: 2,
            ..Limits::default()
        };
        let mut store = Store::open(&folder.path().join("s"), limits).expect("a new store");
        for number in 0..10_u64 {
            let start = number * 400;
            let flows = [flow(1, start, 0.1), flow(2, start + 1, 0.1)];
            store
                .add(&file(&number.to_string()), &flows)
                .expect("stored");
        }
        let counts = store.counts().expect("read");
        assert_eq!((counts.files, counts.flows), (2, 3));
        let oldest = store
            .top(9)
            .expect("read")
            .into_iter()
            .map(|flow| flow.start_ns)
            .min();
        assert_eq!(oldest, Some(3201));
    }

    #[test]
    fn a_later_version_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        drop(Store::open(&path, Limits::default()).expect("a new store"));
        let raw = Connection::open(&path).expect("SQLite");
        raw.pragma_update(None, "user_version", 99).expect("set");
        assert!(matches!(
            Store::open(&path, Limits::default()),
            Err(StoreError::Newer { found: 99, .. })
        ));
    }
}
