//! Where bundles stand: a folder with a bound, from which the oldest leave.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Name of the folder in which a bundle is made, before it takes its place.
const SCRATCH: &str = ".writing";

/// The bundles in a folder.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    bytes_max: u64,
    /// Oldest first.
    bundles: VecDeque<(String, u64)>,
    bytes: u64,
    removed: u64,
}

/// Whether it is a name that [`crate::score::Incident::id`] gives. Nothing else is ever removed.
fn is_id(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Bytes of the files in a folder.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let length = |entry: fs::DirEntry| entry.metadata().map_or(0, |about| about.len());
    entries.flatten().map(length).sum()
}

impl Shelf {
    /// Takes stock of what is there; a folder that does not exist is empty.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> Self {
        let mut found: Vec<(SystemTime, String, u64)> = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            // Not through links: `DirEntry::metadata` does not follow them.
            if let (Some(name), Ok(about)) = (entry.file_name().to_str(), entry.metadata())
                && is_id(name)
                && about.is_dir()
            {
                let changed = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push((changed, name.to_owned(), size(&entry.path())));
            }
        }
        found.sort();
        let bytes = found.iter().map(|(_, _, bytes)| bytes).sum();
        Self {
            folder: folder.to_owned(),
            bytes_max,
            bundles: found
                .into_iter()
                .map(|(_, name, bytes)| (name, bytes))
                .collect(),
            bytes,
            removed: 0,
        }
    }

    /// An empty folder to make a bundle in.
    pub(super) fn scratch(&self) -> io::Result<PathBuf> {
        let scratch = self.folder.join(SCRATCH);
        gone(fs::remove_dir_all(&scratch))?;
        fs::create_dir_all(&scratch)?;
        Ok(scratch)
    }

    /// Puts what was made there in its place, instead of what had it; then the oldest leave until there is room.
    pub(super) fn put(&mut self, id: &str, bytes: u64) -> io::Result<()> {
        let place = self.folder.join(id);
        gone(fs::remove_dir_all(&place))?;
        if let Some(at) = self.bundles.iter().position(|(name, _)| name == id)
            && let Some((_, before)) = self.bundles.remove(at)
        {
            self.bytes -= before;
        }
        fs::rename(self.folder.join(SCRATCH), place)?;
        self.bundles.push_back((id.to_owned(), bytes));
        self.bytes += bytes;
        while self.bytes > self.bytes_max && self.bundles.len() > 1 {
            let Some((oldest, bytes)) = self.bundles.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            self.removed += 1;
            gone(fs::remove_dir_all(self.folder.join(oldest)))?;
        }
        Ok(())
    }

    /// Another bound, for what is put there from now on.
    pub(super) const fn bound(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    /// Bytes of all bundles.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bundles that left.
    pub(super) const fn removed(&self) -> u64 {
        self.removed
    }
}

/// That something to be removed is not there is fine.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(shelf: &mut Shelf, id: &str, bytes: usize) {
        let scratch = shelf.scratch().expect("a folder");
        fs::write(scratch.join("packets.pcapng"), vec![0; bytes]).expect("a file");
        shelf.put(id, bytes as u64).expect("put");
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_leave_and_nothing_else_does() {
        let here = tempfile::tempdir().expect("a folder");
        let folder = here.path().join("evidence");
        fs::create_dir_all(folder.join("mine")).expect("a folder");
        fs::write(folder.join("mine/notes"), [0; 5000]).expect("a file");
        let ids = ["00000000000000aa", "00000000000000bb", "00000000000000cc"];
        let mut shelf = Shelf::open(&folder, 1000);
        put(&mut shelf, ids[0], 400);
        put(&mut shelf, ids[1], 400);
        // Written once more: it is the youngest now, and counted once.
        put(&mut shelf, ids[0], 500);
        assert_eq!((shelf.bytes(), shelf.removed()), (900, 0));
        put(&mut shelf, ids[2], 300);
        assert_eq!((shelf.bytes(), shelf.removed()), (800, 1));
        assert_eq!(names(&folder), [ids[0], ids[2], "mine"]);
        // After a restart the stock is the same; one that is too large alone stays, and the others leave for it.
        let mut shelf = Shelf::open(&folder, 1000);
        assert_eq!(shelf.bytes(), 800);
        put(&mut shelf, ids[1], 2000);
        assert_eq!(names(&folder), [ids[1], "mine"]);
    }
}
