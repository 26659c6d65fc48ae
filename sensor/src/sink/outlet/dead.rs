//! Parcels that their receiver refused for good, kept for a person to look at.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::time::{self, Stamp};

/// A file of JSON lines, bounded: when it is half of the bound long it becomes `.1`, in place of the one before.
#[derive(Debug)]
pub(super) struct DeadLetters {
    path: Option<PathBuf>,
    bound_bytes: u64,
}

impl DeadLetters {
    /// In the folder of the spool; without a folder none are kept, and they are only counted.
    pub(super) fn new(folder: Option<&Path>, bound_bytes: u64) -> Self {
        Self {
            path: folder.map(|folder| folder.join("dead-letters.jsonl")),
            bound_bytes,
        }
    }

    /// Keeps one. That it cannot be kept is no reason to stop: it is counted all the same.
    pub(super) fn keep(&self, why: &str, parcel: &[u8]) {
        if let Some(path) = &self.path {
            let _ = self.write(path, why, parcel);
        }
    }

    fn write(&self, path: &Path, why: &str, parcel: &[u8]) -> io::Result<()> {
        let half = self.bound_bytes / 2;
        let mut line = json!({
            "time": Stamp(time::now()).to_string(),
            "why": why,
            "parcel": String::from_utf8_lossy(parcel),
        })
        .to_string();
        line.push('\n');
        let have = fs::metadata(path).map_or(0, |file| file.len());
        if have + line.len() as u64 > half {
            if line.len() as u64 > half {
                return Ok(());
            }
            if have > 0 {
                fs::rename(path, path.with_extension("jsonl.1"))?;
            }
        }
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?
            .write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_kept_within_the_bound() {
        let folder = tempfile::tempdir().expect("folder");
        let dead = DeadLetters::new(Some(folder.path()), 2000);
        for number in 0..100 {
            dead.keep("410 gone", format!("parcel {number}").as_bytes());
        }
        dead.keep("too long", &[b'x'; 4000]);
        let mut bytes = 0;
        let mut last = String::new();
        for name in ["dead-letters.jsonl.1", "dead-letters.jsonl"] {
            let text = fs::read_to_string(folder.path().join(name)).expect("file");
            bytes += text.len();
            text.lines().last().expect("line").clone_into(&mut last);
        }
        assert!(bytes <= 2000, "{bytes}");
        let last: serde_json::Value = serde_json::from_str(&last).expect("JSON");
        assert_eq!(
            (&last["why"], &last["parcel"]),
            (&json!("410 gone"), &json!("parcel 99"))
        );
    }
}
