//! How a store is opened by those who only read it.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{
    StoreError,
    schema::{BUSY, STATEMENTS, known, version},
};

/// Said of a store that nobody writes: SQLite makes no file beside it then (<https://www.sqlite.org/c3ref/open.html>).
const IMMUTABLE: &str = "?immutable=1";

/// The name as a URI of a store whose folder is not ours to write, if nothing waits beside it to be put into it: a connection to
/// a store in WAL mode makes a file of shared memory, even to read (<https://www.sqlite.org/wal.html#readonly>).
fn unchanging(path: &Path) -> Option<PathBuf> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let waits = Path::new(&log)
        .metadata()
        .is_ok_and(|found| found.len() > 0);
    let name = path.to_str().filter(|_| !waits)?;
    let escaped = name
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    Some(PathBuf::from(format!("file:{escaped}")))
}

/// A connection that only reads, and the version of what it reads.
fn connect_to_read(path: &Path, how: &str) -> rusqlite::Result<(Connection, u32)> {
    let mut name = path.as_os_str().to_owned();
    name.push(how);
    let mut flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_URI, !how.is_empty());
    let connection = Connection::open_with_flags(name, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch("PRAGMA cache_size = -16384; PRAGMA mmap_size = 268435456;")?;
    let found = version(&connection)?;
    Ok((connection, found))
}

/// Opens the file to read; it is not changed.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let failed = StoreError::at(path);
    match path.metadata() {
        Ok(found) if found.is_file() => {}
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Err(StoreError::Forbidden {
                path: path.to_owned(),
            });
        }
        _ => {
            return Err(StoreError::Missing {
                path: path.to_owned(),
            });
        }
    }
    let opened = connect_to_read(path, "").or_else(|error| {
        match (error.sqlite_error_code(), unchanging(path)) {
            (Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen), Some(name)) => {
                connect_to_read(&name, IMMUTABLE)
            }
            _ => Err(error),
        }
    });
    let (connection, found) = opened.map_err(failed)?;
    let (path, known) = (path.to_owned(), known());
    match found.cmp(&known) {
        std::cmp::Ordering::Less => Err(StoreError::Older { path, found, known }),
        std::cmp::Ordering::Equal => Ok(connection),
        std::cmp::Ordering::Greater => Err(StoreError::Newer { path, found, known }),
    }
}
