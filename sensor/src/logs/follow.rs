//! Files of events that grow: what is new in them at each look.
//!
//! A shipper appends lines, renames the file when it is large, and begins another; Windows writes records into the chunks of an
//! EVTX file. So a file is known by what the system calls it inside (device and inode), not by its name; lines are taken when
//! they are whole; and of an EVTX file, which has to be read whole, only records that are later than the last seen count.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Event, Losses, ReadError, evtx,
    read::{Form, form, inputs, whole_file},
    tail::Tail,
};

/// Bytes read at once.
const PIECE_BYTES: u64 = 1 << 22;
/// Files remembered. Beyond, the ones that are gone longest are forgotten.
const FILES_MAX: usize = 4096;

/// What the system knows a file by.
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(metadata: &Metadata, _: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Without inodes the name has to do.
#[cfg(not(unix))]
fn identity(_: &Metadata, path: &Path) -> Identity {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    (0, hasher.finish())
}

/// How far one file is read.
#[derive(Debug)]
enum Progress {
    /// Lines; the open file, so that its end is read even after it was renamed away.
    Lines { file: File, read: u64, tail: Tail },
    /// EVTX: the id of the last record.
    Records { last: u64, look: Look },
    /// Packed, an array, or UTF-16: it does not grow, and is read once.
    Whole,
}

/// What a look at a file found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    length: u64,
    changed: Option<SystemTime>,
}

impl Look {
    fn at(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            changed: metadata.modified().ok(),
        }
    }
}

#[derive(Debug)]
struct Followed {
    progress: Progress,
    losses: Losses,
    /// Number of the last look that found it.
    seen: u64,
}

/// Files and folders of events that are looked at again and again.
#[derive(Debug)]
pub struct Follow {
    paths: Vec<PathBuf>,
    files: BTreeMap<Identity, Followed>,
    looks: u64,
    gone: Losses,
}

impl Follow {
    /// Nothing read yet.
    pub fn new(paths: &[PathBuf]) -> Self {
        Self {
            paths: paths.to_vec(),
            files: BTreeMap::new(),
            looks: 0,
            gone: Losses::default(),
        }
    }

    /// Hands on what came since the last look: file by file, each in its own order. The first look hands on all there is.
    ///
    /// # Errors
    /// At the first look as [`super::read`]; later a file may be missing for a while, or be no log yet.
    pub fn look(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), ReadError> {
        self.looks += 1;
        let first = self.looks == 1;
        let paths = match inputs(&self.paths) {
            Ok(paths) => paths,
            Err(error) if first => return Err(error),
            // Between a rename and the new file; another look will find it.
            Err(_) => Vec::new(),
        };
        for path in paths {
            match self.file(&path, first, each) {
                Err(error) if first => return Err(error),
                _ => {}
            }
        }
        self.forget(each);
        Ok(())
    }

    /// What could not be read, in all files so far.
    pub fn losses(&self) -> Losses {
        let mut losses = self.gone;
        for file in self.files.values() {
            losses.merge(&file.losses);
        }
        losses
    }

    fn file(
        &mut self,
        path: &Path,
        first: bool,
        each: &mut dyn FnMut(Event),
    ) -> Result<(), ReadError> {
        let failed = |source| ReadError::Io {
            path: path.to_owned(),
            source,
        };
        let metadata = path.metadata().map_err(failed)?;
        let identity = identity(&metadata, path);
        let file = match self.files.entry(identity) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => match begin(path, first)? {
                Some(progress) => new.insert(Followed {
                    progress,
                    losses: Losses::default(),
                    seen: 0,
                }),
                None => return Ok(()),
            },
        };
        let is_new = file.seen == 0;
        file.seen = self.looks;
        match &mut file.progress {
            Progress::Lines {
                file: open,
                read,
                tail,
            } => {
                if metadata.len() < *read {
                    // Cut off and begun anew under the same inode.
                    (*read, *tail) = (0, tail.again());
                }
                lines(open, read, tail, &mut file.losses, each).map_err(failed)
            }
            Progress::Records { last, look } => {
                let now = Look::at(&metadata);
                if !is_new && *look == now {
                    return Ok(());
                }
                *look = now;
                // What was damaged in the chunk that is being written is whole the next time.
                file.losses = Losses::default();
                let open = File::open(path).map_err(failed)?;
                *last = evtx::read_after(open, *last, &mut file.losses, each);
                Ok(())
            }
            Progress::Whole if is_new => whole_file(path, &mut file.losses, each).map_err(failed),
            Progress::Whole => Ok(()),
        }
    }

    /// Reads what is left of files that have no name any more, and forgets them.
    fn forget(&mut self, each: &mut dyn FnMut(Event)) {
        let now = self.looks;
        let crowded = self.files.len() > FILES_MAX;
        self.files.retain(|_, file| {
            if file.seen == now {
                return true;
            }
            if let Progress::Lines {
                file: open,
                read,
                tail,
            } = &mut file.progress
            {
                // Nobody else is told of an error in a file that is gone.
                let _ = lines(open, read, tail, &mut file.losses, each);
            }
            // A look later, in case that its writer was not done with it.
            let keep = file.seen + 1 >= now && !crowded;
            if !keep {
                self.gone.merge(&file.losses);
            }
            keep
        });
    }
}

/// How a file is going to be followed; `None` for one that is not: empty as yet, or packed after it was followed.
fn begin(path: &Path, first: bool) -> Result<Option<Progress>, ReadError> {
    let failed = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    let progress = match form(path).map_err(failed)? {
        Form::Evtx => Progress::Records {
            last: 0,
            look: Look {
                length: 0,
                changed: None,
            },
        },
        Form::JsonLines => Progress::Lines {
            file: File::open(path).map_err(failed)?,
            read: 0,
            tail: Tail::json(),
        },
        Form::Table => Progress::Lines {
            file: File::open(path).map_err(failed)?,
            read: 0,
            tail: Tail::csv(),
        },
        // A packed file that appears later is one that was read before it was packed.
        Form::Whole if first => Progress::Whole,
        Form::Whole | Form::Empty => return Ok(None),
        Form::Nothing => {
            return Err(ReadError::NotALog {
                path: path.to_owned(),
            });
        }
    };
    Ok(Some(progress))
}

/// Reads on to the end of the file as it is now.
fn lines(
    file: &mut File,
    read: &mut u64,
    tail: &mut Tail,
    losses: &mut Losses,
    each: &mut dyn FnMut(Event),
) -> io::Result<()> {
    file.seek(SeekFrom::Start(*read))?;
    let mut piece = Vec::new();
    loop {
        piece.clear();
        let length = (&mut *file).take(PIECE_BYTES).read_to_end(&mut piece)? as u64;
        if length == 0 {
            return Ok(());
        }
        *read += length;
        tail.push(&piece, losses, each);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    fn event(name: &str) -> String {
        format!(
            "{{\"EventID\":4625,\"Computer\":\"pc\",\"Channel\":\"Security\",\"TargetUserName\":\"{name}\"}}\n"
        )
    }

    fn append(path: &Path, text: &str) {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("file");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn look(follow: &mut Follow) -> Vec<String> {
        let mut names = Vec::new();
        follow
            .look(&mut |event| names.push(event.account().unwrap_or_default()))
            .expect("a look");
        names
    }

    #[test]
    fn a_line_counts_when_it_is_whole_and_once() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.json");
        append(&path, &event("anna"));
        let mut follow = Follow::new(&[folder.path().to_owned()]);
        assert_eq!(look(&mut follow), ["anna"]);
        assert!(look(&mut follow).is_empty());
        let text = event("berta");
        append(&path, &text[..20]);
        assert!(look(&mut follow).is_empty());
        append(&path, &text[20..]);
        assert_eq!(look(&mut follow), ["berta"]);
        assert_eq!(follow.losses().total(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn what_was_written_before_and_after_a_rename_counts_once() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.json");
        append(&path, &event("anna"));
        let mut follow = Follow::new(&[folder.path().to_owned()]);
        assert_eq!(look(&mut follow), ["anna"]);
        append(&path, &event("berta"));
        // Renamed to a name that is still looked at, and to one that is not.
        fs::rename(&path, folder.path().join("a-1.json")).expect("renamed");
        append(&path, &event("carla"));
        let mut names = look(&mut follow);
        names.sort();
        assert_eq!(names, ["berta", "carla"]);
        append(&path, &event("dora"));
        fs::rename(&path, folder.path().join("a.old")).expect("renamed");
        assert_eq!(look(&mut follow), ["dora"]);
        append(&path, &event("emma"));
        assert_eq!(look(&mut follow), ["emma"]);
        // Cut off and begun anew.
        fs::write(&path, "").expect("cut");
        assert!(look(&mut follow).is_empty());
        append(&path, &event("frieda"));
        assert_eq!(look(&mut follow), ["frieda"]);
        // Packed after it was read.
        fs::write(folder.path().join("a-1.json.gz"), [0x1f, 0x8b, 8, 0]).expect("packed");
        assert!(look(&mut follow).is_empty());
        assert_eq!(follow.losses().total(), 0);
    }

    #[test]
    fn rows_of_a_table_may_span_lines() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.csv");
        append(&path, "EventID,Computer,TargetUserName\n4625,pc,anna\n");
        let mut follow = Follow::new(std::slice::from_ref(&path));
        assert_eq!(look(&mut follow), ["anna"]);
        append(&path, "4625,pc,\"berta\n");
        assert!(look(&mut follow).is_empty());
        append(&path, "\"\n4625,pc,carla\n");
        assert_eq!(look(&mut follow), ["berta", "carla"]);
    }

    #[test]
    fn an_evtx_file_is_read_on_from_its_last_record() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.evtx");
        fs::write(&path, b"ElfFile\0 and nothing else").expect("file");
        let mut follow = Follow::new(&[path]);
        assert!(look(&mut follow).is_empty());
        assert!(look(&mut follow).is_empty());
        assert_eq!(follow.losses().total(), 1, "said once, not at every look");
    }
}
