//! Which files of a folder are connection logs, and in which order they were written.

use std::path::{Path, PathBuf};

use super::log::LogError;

/// Whether a file's name is that of a connection log, in use or rotated: `conn.log`, `conn.00:00:00-01:00:00.log.gz`,
/// `conn_2024-04-29.log`, `office.conn.json.log.zst`, `conn.log.labeled`. Not `conn-summary.log`, which Zeek's
/// trace-summary writes, and nothing that is still being written under another name.
pub fn is_conn_log(name: &str) -> bool {
    const UNFINISHED: [&str; 5] = [".tmp", ".part", ".partial", ".swp", "~"];
    let named = name.split(['.', '-', '_']).any(|part| part == "conn");
    let log = name.contains(".log") || name.contains(".json");
    let summary = name.contains("conn-summary") || name.contains("conn_summary");
    let unfinished = name.starts_with('.') || UNFINISHED.iter().any(|end| name.ends_with(end));
    named && log && !summary && !unfinished
}

/// Whether Zeek still writes to the file: it gives a log its final name when it rotates.
pub fn is_in_use(name: &str) -> bool {
    name == "conn.log"
}

/// The connection logs that these paths name: files as they are, folders by what is in them, in the order of names, which for
/// rotated logs is that of time.
///
/// # Errors
/// [`LogError::Read`] if a folder cannot be read, [`LogError::NoLogs`] if there is none in it.
pub fn conn_logs(paths: &[PathBuf]) -> Result<Vec<PathBuf>, LogError> {
    let mut logs = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = in_folder(path)?;
            if found.is_empty() {
                return Err(LogError::NoLogs { path: path.clone() });
            }
            logs.extend(found);
        } else {
            logs.push(path.clone());
        }
    }
    Ok(logs)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, LogError> {
    let failed = |source| LogError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(is_conn_log) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in [
            "conn.log",
            "conn.00:00:00-01:00:00.log.gz",
            "conn_20240429.log.zst",
            "a-2.conn.json.log",
            "conn.log.labeled.gz",
            "conn-horizontal-scan.log",
        ] {
            assert!(is_conn_log(name), "{name}");
        }
        for name in [
            "conn-summary.log.gz",
            "dns.log",
            "connections.log",
            ".conn.log.gz.x",
            "conn.log.gz.tmp",
            "conn.txt",
        ] {
            assert!(!is_conn_log(name), "{name}");
        }
    }
}
