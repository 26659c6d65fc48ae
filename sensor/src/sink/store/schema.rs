//! The schema, version by version, and how the file is opened.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, Transaction, params};

use super::{
    StoreError,
    value::{key_of, severity_of_name},
};
use crate::sink::rollup;

/// A step that makes the schema of a version out of that before.
enum Step {
    Sql(&'static str),
    Rust(fn(&Transaction<'_>) -> rusqlite::Result<()>),
}

/// All of them; `PRAGMA user_version` counts them. A step that was released stays as it is: a change is a new one.
const MIGRATIONS: &[Step] = &[
    Step::Sql(
        "
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
",
    ),
    Step::Rust(flows_of_any_source),
    Step::Sql(
        "
    CREATE TABLE incidents (
        id TEXT PRIMARY KEY,
        source TEXT NOT NULL,
        kind TEXT NOT NULL,
        severity INTEGER NOT NULL,
        host TEXT NOT NULL,
        host_key BLOB,
        evidence REAL NOT NULL,
        first_ns INTEGER NOT NULL,
        last_ns INTEGER NOT NULL,
        count INTEGER NOT NULL,
        told INTEGER NOT NULL DEFAULT 0,
        over INTEGER NOT NULL DEFAULT 0,
        captured INTEGER NOT NULL DEFAULT 0,
        state INTEGER NOT NULL DEFAULT 0,
        before INTEGER NOT NULL DEFAULT 0,
        grave_then INTEGER NOT NULL DEFAULT 0,
        mute INTEGER,
        state_ns INTEGER NOT NULL DEFAULT 0,
        state_by TEXT NOT NULL DEFAULT '',
        note TEXT NOT NULL DEFAULT '',
        updated_ns INTEGER NOT NULL,
        alert TEXT NOT NULL
    );
    CREATE INDEX incidents_by_last ON incidents (last_ns);
    CREATE INDEX incidents_by_state ON incidents (state, last_ns);
    CREATE INDEX incidents_by_host ON incidents (host_key, state, severity);
    CREATE TABLE life (
        id INTEGER PRIMARY KEY,
        incident TEXT NOT NULL,
        at_ns INTEGER NOT NULL,
        what TEXT NOT NULL,
        by TEXT NOT NULL,
        note TEXT NOT NULL
    );
    CREATE INDEX life_by_incident ON life (incident);
    CREATE TABLE suppressions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        host TEXT,
        kind TEXT,
        reason TEXT NOT NULL,
        created_ns INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        from_ns INTEGER NOT NULL,
        until_ns INTEGER,
        incidents INTEGER NOT NULL DEFAULT 0,
        last_ns INTEGER,
        removed_ns INTEGER,
        removed_by TEXT
    );
    CREATE TABLE hosts (
        id INTEGER PRIMARY KEY,
        address BLOB NOT NULL UNIQUE,
        first_ns INTEGER NOT NULL,
        last_ns INTEGER NOT NULL,
        flows INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        anomalous INTEGER NOT NULL,
        sent_bytes INTEGER NOT NULL,
        received_bytes INTEGER NOT NULL,
        sent_packets INTEGER NOT NULL,
        received_packets INTEGER NOT NULL,
        peers INTEGER NOT NULL,
        services INTEGER NOT NULL,
        worst_p REAL NOT NULL,
        worst_ns INTEGER NOT NULL,
        peer_sketch BLOB NOT NULL,
        offers TEXT NOT NULL,
        uses TEXT NOT NULL
    );
    CREATE INDEX hosts_by_last ON hosts (last_ns);
    CREATE TABLE host_hours (
        host INTEGER NOT NULL,
        hour INTEGER NOT NULL,
        flows INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        anomalous INTEGER NOT NULL,
        sent_bytes INTEGER NOT NULL,
        received_bytes INTEGER NOT NULL,
        peer_bits BLOB NOT NULL,
        PRIMARY KEY (host, hour)
    ) WITHOUT ROWID;
    CREATE TABLE watches (
        id INTEGER PRIMARY KEY,
        began_ns INTEGER NOT NULL,
        last_ns INTEGER NOT NULL,
        ended INTEGER NOT NULL DEFAULT 0
    );
",
    ),
    Step::Sql(rollup::SCHEMA),
    // What threat lists said of a flow when it ended: JSON, or nothing.
    Step::Sql(
        "ALTER TABLE flows ADD COLUMN intel TEXT;
         CREATE INDEX flows_by_intel ON flows (start_ns) WHERE intel IS NOT NULL;
         CREATE INDEX flows_by_end ON flows (start_ns + ifnull(duration_ns, 0));",
    ),
];

/// Version 2: flows come from a log, a capture or the wire, and their addresses are kept as keys hold them, so that a prefix is
/// a range. A table cannot lose a constraint: it is made anew.
fn flows_of_any_source(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "
    ALTER TABLE flows RENAME TO flows_before;
    DROP INDEX flows_by_start;
    DROP INDEX flows_by_p_value;
    CREATE TABLE flows (
        id INTEGER PRIMARY KEY,
        file INTEGER REFERENCES files (id),
        line INTEGER,
        uid TEXT NOT NULL,
        community_id TEXT,
        start_ns INTEGER NOT NULL,
        duration_ns INTEGER,
        src BLOB NOT NULL,
        src_port INTEGER,
        dst BLOB NOT NULL,
        dst_port INTEGER,
        protocol INTEGER NOT NULL,
        service TEXT,
        conn_state TEXT,
        orig_bytes INTEGER,
        resp_bytes INTEGER,
        orig_packets INTEGER,
        resp_packets INTEGER,
        score REAL NOT NULL,
        p_value REAL NOT NULL,
        severity INTEGER NOT NULL,
        anomalous INTEGER NOT NULL,
        kind TEXT,
        reasons TEXT NOT NULL
    );
",
    )?;
    {
        let mut read = transaction.prepare(
            "SELECT id, file, line, uid, start_ns, duration_ns, src_ip, src_port, dst_ip, dst_port, protocol, service,
                conn_state, orig_bytes, resp_bytes, score, p_value, severity, anomalous, reasons FROM flows_before",
        )?;
        let mut write = transaction.prepare(
            "INSERT INTO flows (id, file, line, uid, start_ns, duration_ns, src, src_port, dst, dst_port, protocol, service,
                conn_state, orig_bytes, resp_bytes, score, p_value, severity, anomalous, reasons)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        )?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            let keys = [6, 8].map(|at| row.get::<_, String>(at).map(|address| key_of(&address)));
            let [src, dst] = keys;
            let severity = severity_of_name(&row.get::<_, String>(17)?);
            write.execute(params![
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, String>(3)?,
                row.get::<_, i64>(4)?,
                row.get::<_, Option<i64>>(5)?,
                src?,
                row.get::<_, Option<i64>>(7)?,
                dst?,
                row.get::<_, Option<i64>>(9)?,
                row.get::<_, i64>(10)?,
                row.get::<_, Option<String>>(11)?,
                row.get::<_, Option<String>>(12)?,
                row.get::<_, Option<i64>>(13)?,
                row.get::<_, Option<i64>>(14)?,
                row.get::<_, f64>(15)?,
                row.get::<_, f64>(16)?,
                severity as i64,
                row.get::<_, bool>(18)?,
                row.get::<_, String>(19)?,
            ])?;
        }
    }
    transaction.execute_batch(
        "
    DROP TABLE flows_before;
    CREATE UNIQUE INDEX flows_by_file ON flows (file, line) WHERE file IS NOT NULL;
    CREATE INDEX flows_by_start ON flows (start_ns);
    CREATE INDEX flows_by_p_value ON flows (p_value);
    CREATE INDEX flows_by_src ON flows (src, start_ns);
    CREATE INDEX flows_by_dst ON flows (dst, start_ns);
    CREATE INDEX flows_by_src_p_value ON flows (src, p_value);
    CREATE INDEX flows_by_dst_p_value ON flows (dst, p_value);
    CREATE INDEX flows_by_port ON flows (dst_port, p_value);
    CREATE INDEX flows_by_kind ON flows (kind, p_value) WHERE kind IS NOT NULL;
    CREATE INDEX flows_by_uid ON flows (uid);
    CREATE INDEX flows_by_community_id ON flows (community_id) WHERE community_id IS NOT NULL;
",
    )
}

/// How long a transaction waits for that of another process.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// Statements that are kept prepared.
pub(super) const STATEMENTS: usize = 64;

pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

pub(super) fn known() -> u32 {
    MIGRATIONS.len() as u32
}

/// Opens the file to write, or makes it, and brings it to this program's version.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let failed = StoreError::at(path);
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // With a write-ahead log, NORMAL keeps the file whole through a power cut; what it may lose is whole transactions.
    // The log is cut to 16 MiB after each checkpoint: a long reader may have made it grow.
    connection
        .execute_batch(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;
             PRAGMA journal_size_limit = 16777216; PRAGMA cache_size = -16384;",
        )
        .map_err(failed)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = StoreError::at(path);
    loop {
        // Another process may be at the same: the version is read again under the lock.
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(failed)?;
        let found = version(&transaction).map_err(failed)?;
        if found > known() {
            return Err(StoreError::Newer {
                path: path.to_owned(),
                found,
                known: known(),
            });
        }
        let Some(step) = MIGRATIONS.get(found as usize) else {
            return Ok(());
        };
        let apply = || -> rusqlite::Result<()> {
            match step {
                Step::Sql(sql) => transaction.execute_batch(sql)?,
                Step::Rust(step) => step(&transaction)?,
            }
            transaction.pragma_update(None, "user_version", found + 1)
        };
        apply().map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of version 1, as `zeek watch` made it, goes on with what it holds.
    #[test]
    fn a_store_of_the_first_version_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("anomalies.sqlite");
        let connection = Connection::open(&path).expect("SQLite");
        let Step::Sql(first) = &MIGRATIONS[0] else {
            panic!("the first step is SQL");
        };
        connection.execute_batch(first).expect("the first schema");
        connection
            .execute_batch(
                "PRAGMA user_version = 1;
                 INSERT INTO files VALUES (1, '/logs/a', 'd', 1, 2, 3, 0, 5, 'm');
                 INSERT INTO flows VALUES (7, 1, 9, 'C9', 100, NULL, '192.0.2.1', 1, '2001:db8::1', NULL, 6, 'ssl', 'REJ', 4, NULL,
                    0.625, 0.0001, 'high', 1, '[]');",
            )
            .expect("a row");
        drop(connection);
        assert_eq!(super::super::path_in(folder.path()), path);
        assert!(matches!(
            super::super::reading::open_to_read(&path),
            Err(StoreError::Older { found: 1, .. })
        ));
        drop(open(&path).expect("it is brought up"));
        let reader = super::super::Reader::open(&path).expect("it can be read");
        let flows = reader
            .flows(&super::super::FlowFilter::default())
            .expect("rows");
        let [flow] = flows.as_slice() else {
            panic!("{flows:?}");
        };
        assert_eq!(
            (
                &*flow.src_ip,
                &*flow.dst_ip,
                flow.severity,
                flow.line,
                flow.file.as_deref()
            ),
            (
                "192.0.2.1",
                "2001:db8::1",
                crate::score::Severity::High,
                9,
                Some("/logs/a")
            )
        );
    }
}
