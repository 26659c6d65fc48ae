//! Files that take the place of older ones only when they are whole: what fails on the way leaves what was there.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    fault::{Fault, code},
    setup::{is_stdout, make_folder_of, output},
};

/// Drafts on the disk, for whoever ends the process where nothing is dropped.
static UNDER_WAY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file under another name beside its place, which it takes by [`Self::keep`]; dropped before that, it goes.
pub(super) struct Draft {
    place: PathBuf,
    /// Nothing where it is written in place: standard output, devices, pipes, folders where no file can be made.
    beside: Option<PathBuf>,
}

impl Draft {
    /// Begins one, to be written by its name, [`Self::path`].
    pub(super) fn new(place: &Path) -> Result<Self, Fault> {
        make_folder_of(place)?;
        // What a link points to is replaced, and the link stays.
        let target = fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
        let replaces = fs::metadata(place).map_or(!is_stdout(place), |found| found.is_file());
        let mut draft = Self {
            place: target,
            beside: None,
        };
        if !replaces {
            return Ok(draft);
        }
        let mut name = draft.place.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let beside = draft.place.with_file_name(name);
        // The file may be writable where its folder is not.
        if File::create(&beside).is_ok() {
            drafts(|all| all.push(beside.clone()));
            draft.beside = Some(beside);
        }
        Ok(draft)
    }

    /// A draft with where it is written.
    pub(super) fn written(place: &Path) -> Result<(Self, Box<dyn Write>), Fault> {
        let draft = Self::new(place)?;
        let out: Box<dyn Write> = match &draft.beside {
            Some(beside) => {
                let file = File::create(beside)
                    .map_err(|error| Fault::file(place, &error, code::FAILED))?;
                Box::new(BufWriter::with_capacity(1 << 16, file))
            }
            None => output(place)?,
        };
        Ok((draft, out))
    }

    /// Where it is while it is one.
    pub(super) fn path(&self) -> &Path {
        self.beside.as_ref().unwrap_or(&self.place)
    }

    /// Gives it its place. What was written to it was flushed by the caller.
    pub(super) fn keep(mut self) -> Result<(), Fault> {
        let Some(beside) = self.beside.take() else {
            return Ok(());
        };
        let moved = fs::rename(&beside, &self.place);
        drafts(|all| all.retain(|other| *other != beside));
        moved.map_err(|error: io::Error| {
            remove(&beside);
            Fault::file(&self.place, &error, code::FAILED)
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            remove(beside);
            drafts(|all| all.retain(|other| other != beside));
        }
    }
}

/// Removes what is not finished: the process ends now.
pub(super) fn discard_all() {
    drafts(|all| all.drain(..).for_each(|beside| remove(&beside)));
}

fn drafts(change: impl FnOnce(&mut Vec<PathBuf>)) {
    change(&mut UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner));
}

fn remove(path: &Path) {
    // Nothing to be done about a draft that will not go.
    let _ = fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_there_stays_until_all_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("new/flows.csv");
        let (draft, mut out) = Draft::written(&place).expect("a draft");
        out.write_all(b"first").expect("room");
        drop(out);
        draft.keep().expect("its place");
        assert_eq!(fs::read(&place).expect("the file"), b"first");

        let (draft, mut out) = Draft::written(&place).expect("a draft");
        out.write_all(b"half of the sec").expect("room");
        out.flush().expect("room");
        assert_ne!(draft.path(), place);
        drop(draft);
        assert_eq!(fs::read(&place).expect("the file"), b"first");
        assert_eq!(names(place.parent().expect("a folder")), ["flows.csv"]);
    }

    #[test]
    #[cfg(unix)]
    fn links_and_devices_stay_what_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").expect("a file");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        let (draft, mut out) = Draft::written(&link).expect("a draft");
        out.write_all(b"new").expect("room");
        drop(out);
        draft.keep().expect("its place");
        assert_eq!(fs::read_link(&link).expect("still a link"), target);
        assert_eq!(fs::read(&target).expect("the file"), b"new");

        let draft = Draft::new(Path::new("/dev/null")).expect("a draft");
        assert_eq!(draft.path(), Path::new("/dev/null"));
        draft.keep().expect("nothing to do");
    }
}
