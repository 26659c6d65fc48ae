//! Lines to a file that is rotated.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{Deliver, DeliveryError};

/// When a file is rotated, and what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file that would grow longer is put aside; 0 never does.
    pub bytes: u64,
    /// Files kept beside the one that is written; the oldest leaves.
    pub files: usize,
}

/// A file that grows by whole parcels; each ends with its own line end. Put aside it is `name.1`, before that `name.2`.
///
/// A file that another program moved or removed (logrotate) is noticed, and a new one begun.
#[derive(Debug)]
pub struct ToFile {
    path: PathBuf,
    rotation: Rotation,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
}

impl ToFile {
    /// Appends to what is there; the file is opened with the first parcel.
    pub const fn new(path: PathBuf, rotation: Rotation) -> Self {
        Self {
            path,
            rotation,
            open: None,
        }
    }

    /// The file, opened or made, unless the one that is open still has the name.
    fn open(&mut self) -> io::Result<&mut Open> {
        let is_ours = |open: &Open| {
            let ours = open.file.metadata().ok()?;
            let there = fs::metadata(&self.path).ok()?;
            // Truncated by another (copytruncate) is also another file, as far as its length goes.
            Some(is_same(&ours, &there) && ours.len() == open.length)
        };
        let open = self.open.take().filter(|open| is_ours(open) == Some(true));
        let open = match open {
            Some(open) => open,
            None => {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                let file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(&self.path)?;
                let length = file.metadata()?.len();
                Open { file, length }
            }
        };
        Ok(self.open.insert(open))
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        let files = self.rotation.files;
        if files == 0 {
            return fs::remove_file(&self.path);
        }
        for number in (1..files).rev() {
            let from = numbered(&self.path, number);
            if from.exists() {
                fs::rename(from, numbered(&self.path, number + 1))?;
            }
        }
        fs::rename(&self.path, numbered(&self.path, 1))
    }

    fn write(&mut self, parcels: &[Vec<u8>]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < parcels.len() {
            let limit = self.rotation.bytes;
            let open = self.open().map_err(|error| (written, error))?;
            let mut bytes = Vec::new();
            let mut count = 0;
            for parcel in &parcels[written..] {
                let length = open.length + (bytes.len() + parcel.len()) as u64;
                let has_room = limit == 0 || length <= limit || (open.length == 0 && count == 0);
                if !has_room {
                    break;
                }
                bytes.extend_from_slice(parcel);
                count += 1;
            }
            if count == 0 {
                self.rotate().map_err(|error| (written, error))?;
                continue;
            }
            if let Err(error) = open.file.write_all(&bytes) {
                // Half a line is no line: back to where it was, or another file.
                let _ = open.file.set_len(open.length);
                self.open = None;
                return Err((written, error));
            }
            open.length += bytes.len() as u64;
            written += count;
        }
        Ok(())
    }
}

impl Deliver for ToFile {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        match self.write(parcels) {
            Ok(()) => (parcels.len(), Ok(())),
            Err((written, error)) => {
                let path = self.path.display();
                (
                    written,
                    Err(DeliveryError::later(format_args!("{path}: {error}"))),
                )
            }
        }
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(unix)]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere an open file is not moved or removed.
#[cfg(not(unix))]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize) -> Vec<u8> {
        format!("line {number:05}\n").into_bytes()
    }

    fn read(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).expect("file");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn files_are_rotated_by_size_and_the_oldest_leave() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("below/eve.json");
        let rotation = Rotation {
            bytes: 1000,
            files: 3,
        };
        let mut number = 0;
        for batch in [1, 7, 90, 200, 3, 250] {
            // A new one each time: a restart goes on with what is there.
            let mut file = ToFile::new(path.clone(), rotation);
            let lines: Vec<_> = (number..number + batch).map(line).collect();
            assert_eq!(file.deliver(&lines), (batch, Ok(())));
            number += batch;
        }
        let mut all = Vec::new();
        for name in ["eve.json.3", "eve.json.2", "eve.json.1", "eve.json"] {
            let path = path.with_file_name(name);
            assert!(fs::metadata(&path).expect("file").len() <= 1000, "{name}");
            all.extend(read(&path));
        }
        assert!(!path.with_file_name("eve.json.4").exists());
        let expected: Vec<_> = (number - all.len()..number)
            .map(|number| format!("line {number:05}"))
            .collect();
        assert_eq!(all, expected);
        assert!(all.len() > 250);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("eve.json");
        let rotation = Rotation { bytes: 0, files: 0 };
        let mut file = ToFile::new(path.clone(), rotation);
        assert_eq!(file.deliver(&[line(1)]), (1, Ok(())));
        fs::rename(&path, folder.path().join("moved")).expect("rename");
        assert_eq!(file.deliver(&[line(2)]), (1, Ok(())));
        assert_eq!(read(&path), ["line 00002"]);
        // copytruncate
        fs::write(&path, "").expect("truncate");
        assert_eq!(file.deliver(&[line(3)]), (1, Ok(())));
        assert_eq!(read(&path), ["line 00003"]);
    }

    #[test]
    fn what_cannot_be_written_waits() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("eve.json");
        fs::create_dir(&path).expect("folder");
        let rotation = Rotation { bytes: 0, files: 0 };
        let mut file = ToFile::new(path.clone(), rotation);
        let (count, result) = file.deliver(&[line(1)]);
        assert_eq!(count, 0);
        assert!(matches!(result, Err(DeliveryError::Later { .. })));
        fs::remove_dir(&path).expect("folder");
        assert_eq!(file.deliver(&[line(1)]), (1, Ok(())));
    }
}
