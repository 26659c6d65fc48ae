//! What a fault of SQLite says of the file, and what becomes of one that is damaged.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::time;

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => Some(failure.code),
        _ => None,
    }
}

/// Whether the file holds no store that SQLite can make sense of.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        code(error),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Whether the file itself is sound: it can be written once there is room, or nobody holds it.
pub(super) fn is_for_want_of_room(error: &rusqlite::Error) -> bool {
    matches!(
        code(error),
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Renames a damaged store and what belongs to it; answers its new name.
pub(super) fn put_aside(path: &Path) -> PathBuf {
    let stamp = time::now() / 1_000_000_000;
    let named = |path: &Path, end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let aside = named(path, &format!(".damaged-{stamp}"));
    for end in ["", "-wal", "-shm"] {
        // What is not there needs no new name; where renaming fails, opening fails next, and says why.
        let _ = std::fs::rename(named(path, end), named(&aside, end));
    }
    aside
}
