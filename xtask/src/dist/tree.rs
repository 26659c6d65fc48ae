//! Files as they are installed, by path.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::process::Failure;

/// Files and empty folders below `/`.
#[derive(Default)]
pub(super) struct Tree {
    files: BTreeMap<String, (u32, Vec<u8>)>,
    folders: BTreeSet<String>,
}

impl Tree {
    pub(super) fn add(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        self.files.insert(path.to_owned(), (mode, content));
    }

    pub(super) fn add_file(&mut self, path: &str, mode: u32, from: &Path) -> Result<(), Failure> {
        let content = fs::read(from).map_err(Failure::file(from))?;
        self.add(path, mode, content);
        Ok(())
    }

    /// An empty folder.
    pub(super) fn add_folder(&mut self, path: &str) {
        self.folders.insert(path.to_owned());
    }

    /// All files of a folder and those below it.
    pub(super) fn add_tree(&mut self, path: &str, from: &Path) -> Result<(), Failure> {
        for entry in fs::read_dir(from).map_err(Failure::file(from))? {
            let entry = entry.map_err(Failure::file(from))?;
            let path = format!("{path}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.add_tree(&path, &entry.path())?;
            } else {
                self.add_file(&path, 0o644, &entry.path())?;
            }
        }
        Ok(())
    }

    /// Paths of files, sorted.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Path and content of each file, sorted by path.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(path, (_, content))| (path.as_str(), content.as_slice()))
    }

    /// Writes all of it below a folder.
    pub(super) fn write(&self, below: &Path) -> Result<(), Failure> {
        let folder = |path: &Path| fs::create_dir_all(path).map_err(Failure::file(path));
        folder(below)?;
        for path in &self.folders {
            folder(&below.join(path))?;
        }
        for (path, (mode, content)) in &self.files {
            let path = below.join(path);
            if let Some(parent) = path.parent() {
                folder(parent)?;
            }
            fs::write(&path, content).map_err(Failure::file(&path))?;
            permit(&path, *mode)?;
        }
        // Whatever the umask of the caller.
        for path in self.folders_of_all() {
            permit(&below.join(path), 0o755)?;
        }
        permit(below, 0o755)
    }

    fn folders_of_all(&self) -> BTreeSet<&str> {
        let mut all = BTreeSet::new();
        for path in self.folders.iter().chain(self.files.keys()) {
            for (at, _) in path.match_indices('/') {
                all.insert(&path[..at]);
            }
        }
        all.extend(self.folders.iter().map(String::as_str));
        all
    }
}

#[cfg(unix)]
fn permit(path: &Path, mode: u32) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Failure::file(path))
}

#[cfg(not(unix))]
fn permit(_path: &Path, _mode: u32) -> Result<(), Failure> {
    Err(Failure::Unable("packages are made on Linux".to_owned()))
}
