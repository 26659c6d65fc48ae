//! From a file, or a folder of MISP events, to what it lists.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

use flate2::read::MultiGzDecoder;

use super::{Space, harvest::Harvest, json, text};

/// Files of a folder that are read.
const FILES_MAX: usize = 20_000;

/// What lists may cost, and what they may not say.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Entries of all lists together.
    pub entries: usize,
    /// Bytes of one list, decompressed.
    pub bytes: u64,
    /// Space that entries may not cover.
    pub space: Space,
}

impl Default for Limits {
    /// A million entries, 256 MB, nothing of our own.
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            bytes: 256 << 20,
            space: Space::new(Vec::new(), false),
        }
    }
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is longer than is believed.
    #[error("{}: longer than {} MB (intel.max_bytes)", path.display(), bytes >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        bytes: u64,
    },
    /// It is JSON, but damaged, or of another kind.
    #[error("{}: {what}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Most of it cannot be read: a page with an error message, a list of something else.
    #[error("{}: no list: {unreadable} of {entries} entries cannot be read, first {first}", path.display())]
    Nonsense {
        /// The file.
        path: PathBuf,
        /// Entries that cannot be read.
        unreadable: u64,
        /// All entries.
        entries: u64,
        /// The first of them.
        first: String,
    },
    /// It had entries before, and has none any more.
    #[error("{}: empty now; the old entries stay (take it off intel.lists to drop them)", path.display())]
    Emptied {
        /// The file.
        path: PathBuf,
    },
}

impl ListError {
    /// Whether the list is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the list may not be read.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Name of a list: that of its file, without endings.
pub(super) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name
        .split('.')
        .find(|part| !part.is_empty())
        .unwrap_or("list");
    super::harvest::words(stem).chars().take(64).collect()
}

/// Reads a list. `now_ns` is nanoseconds since 1970, for what expires.
///
/// # Errors
/// Why it cannot be used at all; single entries that cannot are counted in what is answered.
pub fn read(
    path: &Path,
    limits: &Limits,
    now_ns: u64,
) -> Result<(Harvest, &'static str), ListError> {
    let failed = |source| ListError::Read {
        path: path.to_owned(),
        source,
    };
    let mut harvest = Harvest::new(limits.entries, &limits.space);
    let mut form = "plain";
    if fs::metadata(path).map_err(failed)?.is_dir() {
        let mut left = limits.bytes;
        for file in members(path).map_err(failed)? {
            let (bytes, found) = one(&file, left, limits.bytes, now_ns, &mut harvest)?;
            left -= bytes;
            form = found;
        }
    } else {
        (_, form) = one(path, limits.bytes, limits.bytes, now_ns, &mut harvest)?;
    }
    let bad = harvest.losses.of(super::Loss::Unreadable) + harvest.losses.of(super::Loss::TooLong);
    let entries = harvest.entries() as u64 + harvest.losses.total();
    // A line of nonsense in a good list is counted; a list of nonsense is none.
    if bad * 2 > entries {
        return Err(ListError::Nonsense {
            path: path.to_owned(),
            unreadable: bad,
            entries,
            first: harvest.quoted.first().cloned().unwrap_or_default(),
        });
    }
    harvest.settle();
    Ok((harvest, form))
}

/// The events of a MISP feed.
fn members(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (name.ends_with(".json") || name.ends_with(".json.gz")) && !name.starts_with("manifest")
        })
        .take(FILES_MAX)
        .collect();
    files.sort();
    Ok(files)
}

/// Reads one file; answers its length and its form.
fn one(
    path: &Path,
    left: u64,
    bound: u64,
    now_ns: u64,
    harvest: &mut Harvest,
) -> Result<(u64, &'static str), ListError> {
    let bytes = content(path, left).map_err(|source| match source.kind() {
        io::ErrorKind::FileTooLarge => ListError::TooLarge {
            path: path.to_owned(),
            bytes: bound,
        },
        _ => ListError::Read {
            path: path.to_owned(),
            source,
        },
    })?;
    let length = bytes.len() as u64;
    // What is no UTF-8 becomes a character that no entry has, and is counted there.
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_start_matches('\u{feff}');
    let plain_name = path.to_string_lossy().to_ascii_lowercase();
    let plain_name = plain_name.trim_end_matches(".gz");
    let form = if text.trim_start().starts_with(['{', '[']) && !plain_name.ends_with(".txt") {
        json::read(text, now_ns, harvest).map_err(|what| ListError::Json {
            path: path.to_owned(),
            what,
        })?
    } else if plain_name.ends_with(".csv") || plain_name.ends_with(".tsv") {
        text::table(text, harvest);
        "CSV"
    } else {
        text::plain(text, harvest);
        "plain"
    };
    Ok((length, form))
}

/// What a file holds, decompressed; never more than `left` bytes.
fn content(path: &Path, left: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut start = [0; 2];
    let got = file.read(&mut start)?;
    let whole = io::Cursor::new(start[..got].to_vec()).chain(file);
    let mut bytes = Vec::new();
    let bound = left.saturating_add(1);
    if start[..got] == [0x1f, 0x8b] {
        MultiGzDecoder::new(whole)
            .take(bound)
            .read_to_end(&mut bytes)?;
    } else {
        whole.take(bound).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > left {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// What tells whether a list changed: lengths and times of its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    files: u64,
    bytes: u64,
    latest: Option<SystemTime>,
}

/// Looks at a list without reading it.
pub(super) fn look(path: &Path) -> Option<Look> {
    let mut look = Look::default();
    let mut add = |path: &Path| {
        let meta = fs::metadata(path).ok()?;
        look.files += 1;
        look.bytes += meta.len();
        look.latest = look.latest.max(meta.modified().ok());
        Some(meta.is_dir())
    };
    if add(path)? {
        for file in members(path).ok()? {
            add(&file);
        }
    }
    Some(look)
}
