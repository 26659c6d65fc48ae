//! The embedded store: the most anomalous flows with the reasons, and which files were taken in, in one SQLite file.
//!
//! A file goes in by one transaction, its flows and the note that it is done together. So after a crash it is either done
//! or was never begun, and no line is stored twice. The journal is a write-ahead log: readers (a dashboard) do not wait for the
//! writer. The store is bounded by number of flows and by age; age is traffic time, counted from the newest flow.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};
use sensor_ebpf::flow::TimeNs;

use crate::score::Severity;

/// Steps that make the schema of each version out of that before; `PRAGMA user_version` counts them. A step that was
/// released stays as it is: a change is a new one.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE files (
        id INTEGER PRIMARY KEY,
        path TEXT NOT NULL,
        digest TEXT NOT NULL UNIQUE,
        size_bytes INTEGER NOT NULL,
        offset_bytes INTEGER NOT NULL,
        records INTEGER NOT NULL,
        lost INTEGER NOT NULL,
        last_ns INTEGER NOT NULL,
        model TEXT NOT NULL
    );
    CREATE TABLE flows (
        id INTEGER PRIMARY KEY,
        file INTEGER NOT NULL REFERENCES files (id),
        line INTEGER NOT NULL,
        uid TEXT NOT NULL,
        start_ns INTEGER NOT NULL,
        duration_ns INTEGER,
        src_ip TEXT NOT NULL,
        src_port INTEGER,
        dst_ip TEXT NOT NULL,
        dst_port INTEGER,
        protocol INTEGER NOT NULL,
        service TEXT,
        conn_state TEXT,
        orig_bytes INTEGER,
        resp_bytes INTEGER,
        score REAL NOT NULL,
        p_value REAL NOT NULL,
        severity TEXT NOT NULL,
        anomalous INTEGER NOT NULL,
        reasons TEXT NOT NULL,
        UNIQUE (file, line)
    );
    CREATE INDEX flows_by_start ON flows (start_ns);
    CREATE INDEX flows_by_p_value ON flows (p_value);
"];

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
}

/// How much the store may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows at most; the oldest go first.
    pub flows: u64,
    /// Age of a flow at most, nanoseconds before the newest.
    pub age_ns: u64,
    /// Files remembered at most. What is forgotten would be taken in again if it still lay there.
    pub files: u64,
}

impl Default for Limits {
    /// A million flows (about 600 MB), 90 days, 100,000 files (eleven years of hourly ones).
    fn default() -> Self {
        Self {
            flows: 1_000_000,
            age_ns: 90 * 86_400 * 1_000_000_000,
            files: 100_000,
        }
    }
}

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

/// A scored flow.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowEntry {
    /// Line in its file, from 1.
    pub line: u64,
    /// Id that its source gave; may be empty.
    pub uid: String,
    /// First packet.
    pub start_ns: TimeNs,
    /// First to last packet.
    pub duration_ns: Option<u64>,
    /// Originator.
    pub src_ip: String,
    /// Its port.
    pub src_port: Option<u16>,
    /// Responder.
    pub dst_ip: String,
    /// Its port.
    pub dst_port: Option<u16>,
    /// IP protocol number.
    pub protocol: u8,
    /// Application protocol, where it was recognised.
    pub service: Option<String>,
    /// Zeek's word for how it went.
    pub conn_state: Option<String>,
    /// IP bytes of the originator.
    pub orig_bytes: Option<u64>,
    /// IP bytes of the responder.
    pub resp_bytes: Option<u64>,
    /// Higher is more anomalous.
    pub score: f32,
    /// Share of the baseline expected to score as high.
    pub p_value: f64,
    /// From the p-value.
    pub severity: Severity,
    /// Whether the score reached the threshold.
    pub anomalous: bool,
    /// JSON: a list of objects with feature, value, weight, low, median, high, text.
    pub reasons: String,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files remembered.
    pub files: u64,
    /// Flows kept.
    pub flows: u64,
}

/// The store, open for one writer.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
    limits: Limits,
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

impl Store {
    /// Opens the store, or makes it, and brings it to this program's version.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Sqlite {
            path: path.to_owned(),
            source,
        };
        let mut connection = Connection::open(path).map_err(failed)?;
        connection
            .busy_timeout(std::time::Duration::from_secs(5))
            .map_err(failed)?;
        // With a write-ahead log, NORMAL keeps the file whole through a power cut; what it may lose is whole transactions,
        // and their files are then taken in again.
        connection
            .execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")
            .map_err(failed)?;
        let found: u32 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(failed)?;
        let known = MIGRATIONS.len() as u32;
        if found > known {
            return Err(StoreError::Newer {
                path: path.to_owned(),
                found,
                known,
            });
        }
        for (at, step) in MIGRATIONS.iter().enumerate().skip(found as usize) {
            let migration = || -> rusqlite::Result<()> {
                let transaction = connection.transaction()?;
                transaction.execute_batch(step)?;
                transaction.pragma_update(None, "user_version", at as u32 + 1)?;
                transaction.commit()
            };
            let mut migration = migration;
            migration().map_err(failed)?;
        }
        Ok(Self {
            path: path.to_owned(),
            connection,
            limits,
        })
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Sqlite {
            path: self.path.clone(),
            source,
        }
    }

    /// Whether a file of this content was taken in.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn has(&self, digest: &str) -> Result<bool, StoreError> {
        self.connection
            .prepare_cached("SELECT 1 FROM files WHERE digest = ?1")
            .and_then(|mut query| query.exists([digest]))
            .map_err(|source| self.failed(source))
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
            .map_err(|source| self.failed(source))?;
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
        read().map_err(|source| self.failed(source))
    }

    /// Takes a file in: its flows, and that it is done, or nothing at all. Then forgets what is beyond the limits. `false` if
    /// the same content had been taken in before: nothing changes.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; nothing was stored then.
    pub fn add(&mut self, file: &FileEntry, flows: &[FlowEntry]) -> Result<bool, StoreError> {
        let limits = self.limits;
        insert(&mut self.connection, file, flows, limits).map_err(|source| self.failed(source))
    }

    /// How much there is.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn counts(&self) -> Result<Counts, StoreError> {
        self.connection
            .query_row(
                "SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM flows)",
                [],
                |row| {
                    Ok(Counts {
                        files: natural(row.get(0)?),
                        flows: natural(row.get(1)?),
                    })
                },
            )
            .map_err(|source| self.failed(source))
    }

    /// The most anomalous flows, with the path of their files.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn top(&self, count: u32) -> Result<Vec<(String, FlowEntry)>, StoreError> {
        let read = || -> rusqlite::Result<Vec<(String, FlowEntry)>> {
            let mut query = self.connection.prepare_cached(
                "SELECT files.path, line, uid, start_ns, duration_ns, src_ip, src_port, dst_ip, dst_port, protocol,
                    service, conn_state, orig_bytes, resp_bytes, score, p_value, severity, anomalous, reasons
                 FROM flows JOIN files ON files.id = flows.file
                 ORDER BY p_value, score DESC, start_ns, flows.id LIMIT ?1",
            )?;
            query.query_map([count], entry)?.collect()
        };
        read().map_err(|source| self.failed(source))
    }
}

fn insert(
    connection: &mut Connection,
    file: &FileEntry,
    flows: &[FlowEntry],
    limits: Limits,
) -> rusqlite::Result<bool> {
    let transaction = connection.transaction()?;
    let new = transaction.execute(
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
    if new == 0 {
        return Ok(false);
    }
    let id = transaction.last_insert_rowid();
    {
        let mut add = transaction.prepare_cached(
            "INSERT INTO flows (file, line, uid, start_ns, duration_ns, src_ip, src_port, dst_ip, dst_port, protocol,
                service, conn_state, orig_bytes, resp_bytes, score, p_value, severity, anomalous, reasons)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?;
        for flow in flows {
            add.execute(params![
                id,
                integer(flow.line),
                flow.uid,
                integer(flow.start_ns),
                flow.duration_ns.map(integer),
                flow.src_ip,
                flow.src_port,
                flow.dst_ip,
                flow.dst_port,
                flow.protocol,
                flow.service,
                flow.conn_state,
                flow.orig_bytes.map(integer),
                flow.resp_bytes.map(integer),
                f64::from(flow.score),
                flow.p_value,
                flow.severity.name(),
                flow.anomalous,
                flow.reasons
            ])?;
        }
    }
    transaction.execute(
        "DELETE FROM flows WHERE start_ns < (SELECT max(start_ns) FROM flows) - ?1",
        [integer(limits.age_ns)],
    )?;
    transaction.execute(
        "DELETE FROM flows WHERE id IN (SELECT id FROM flows ORDER BY start_ns DESC, id DESC LIMIT -1 OFFSET ?1)",
        [integer(limits.flows)],
    )?;
    // Never one whose flows are kept.
    transaction.execute(
        "DELETE FROM files WHERE id IN (SELECT id FROM files ORDER BY id DESC LIMIT -1 OFFSET ?1)
            AND id NOT IN (SELECT file FROM flows)",
        [integer(limits.files)],
    )?;
    transaction.commit()?;
    connection.execute_batch("PRAGMA incremental_vacuum(1000)")?;
    Ok(true)
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<(String, FlowEntry)> {
    let number = |at: usize| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(at)?.map(natural))
    };
    let severity: String = row.get(16)?;
    Ok((
        row.get(0)?,
        FlowEntry {
            line: number(1)?.unwrap_or(0),
            uid: row.get(2)?,
            start_ns: number(3)?.unwrap_or(0),
            duration_ns: number(4)?,
            src_ip: row.get(5)?,
            src_port: row.get(6)?,
            dst_ip: row.get(7)?,
            dst_port: row.get(8)?,
            protocol: row.get(9)?,
            service: row.get(10)?,
            conn_state: row.get(11)?,
            orig_bytes: number(12)?,
            resp_bytes: number(13)?,
            score: row.get::<_, f64>(14)? as f32,
            p_value: row.get(15)?,
            severity: Severity::ALL
                .into_iter()
                .find(|known| known.name() == severity)
                .unwrap_or(Severity::Info),
            anomalous: row.get(17)?,
            reasons: row.get(18)?,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let [second, first] = flows;
        assert_eq!(
            top,
            [
                ("/logs/a".to_owned(), first),
                ("/logs/a".to_owned(), second)
            ]
        );
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
            .map(|(_, flow)| flow.start_ns)
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
