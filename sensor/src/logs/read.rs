//! Files of events, in whatever form they are.

use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::{Event, Loss, Losses, csv, evtx, json};
use crate::lines::{Line, Lines};

/// Most that a packed file is believed to hold, in bytes; EVTX and arrays have to be held whole.
const WHOLE_MAX_BYTES: u64 = 1 << 30;
/// Endings of the names that are looked for in a folder, in front of `.gz` and `.zst`.
const ENDINGS: [&str; 5] = [".evtx", ".json", ".jsonl", ".ndjson", ".csv"];

/// Form of a file of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Windows' own binary form.
    Evtx,
    /// One JSON object a line, or an array of them.
    Json,
    /// A table.
    Csv,
}

/// Why a file gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not there.
    #[error("{}: no such file or folder", path.display())]
    Missing {
        /// The file or folder.
        path: PathBuf,
    },
    /// There is nothing of the kind in it.
    #[error(
        "{}: no event log in this folder; expected files ending in .evtx, .json, .jsonl or .csv, also .gz and .zst",
        path.display()
    )]
    NoLogs {
        /// The folder.
        path: PathBuf,
    },
    /// It is none of the forms.
    #[error("{}: not an event log: neither EVTX nor JSON nor a table with a column EventID or Id", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
}

/// What one file gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its form.
    pub format: Format,
    /// Events in it.
    pub events: u64,
    /// Of the Security log among them.
    pub security: u64,
    /// What could not be read.
    pub losses: Losses,
}

/// The files that these paths name: files as they are, folders by what is in them and in the folders below.
///
/// # Errors
/// [`ReadError::Missing`], [`ReadError::NoLogs`], or a folder that cannot be read.
pub fn inputs(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ReadError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            collect(path, &mut files, 0)?;
            if files.len() == before {
                return Err(ReadError::NoLogs { path: path.clone() });
            }
            files[before..].sort();
        } else if path.exists() {
            files.push(path.clone());
        } else {
            return Err(ReadError::Missing { path: path.clone() });
        }
    }
    Ok(files)
}

/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 8;

fn collect(folder: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<(), ReadError> {
    let failed = |source| ReadError::Io {
        path: folder.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            if depth < DEPTH_MAX {
                collect(&path, files, depth + 1)?;
            }
            continue;
        }
        let name = path.to_string_lossy().to_lowercase();
        let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
        if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            files.push(path);
        }
    }
    Ok(())
}

/// Reads a file and hands its events on, in the order of the file.
///
/// # Errors
/// [`ReadError`] if it cannot be opened, or is no event log. Damage within is no error; it is in [`Report::losses`].
pub fn read(path: &Path, each: &mut dyn FnMut(Event)) -> Result<Report, ReadError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ReadError::Missing {
            path: path.to_owned(),
        },
        _ => ReadError::Io {
            path: path.to_owned(),
            source,
        },
    };
    let mut report = Report {
        format: Format::Json,
        events: 0,
        security: 0,
        losses: Losses::default(),
    };
    let start = start(path).map_err(failed)?;
    let mut count = |event: Event, report: &mut Report| {
        report.events += 1;
        report.security += u64::from(event.security);
        each(event);
    };
    let mut losses = Losses::default();
    let mut take = |event| count(event, &mut report);
    let format = if start.bytes.starts_with(evtx::MAGIC) {
        if start.packed {
            let whole = whole(path, &mut losses).map_err(failed)?;
            evtx::read(Cursor::new(whole), &mut losses, &mut take);
        } else {
            evtx::read(File::open(path).map_err(failed)?, &mut losses, &mut take);
        }
        Format::Evtx
    } else {
        match start.text.trim_start().bytes().next() {
            Some(b'{') if !start.wide => {
                lines(path, &mut losses, &mut take).map_err(failed)?;
                Format::Json
            }
            Some(b'[' | b'{') => {
                let text = text(path, &mut losses).map_err(failed)?;
                array(&text, &mut losses, &mut take);
                Format::Json
            }
            Some(_) if start.text.contains([',', ';']) => {
                if start.wide {
                    let text = text(path, &mut losses).map_err(failed)?;
                    csv::read(text.as_bytes(), &mut losses, &mut take);
                } else {
                    let from = unpacked(path).map_err(failed)?;
                    csv::read(BufReader::new(from), &mut losses, &mut take);
                }
                Format::Csv
            }
            _ => {
                return Err(ReadError::NotALog {
                    path: path.to_owned(),
                });
            }
        }
    };
    report.format = format;
    report.losses = losses;
    if format == Format::Csv && report.events == 0 && losses.of(Loss::Rest) > 0 {
        return Err(ReadError::NotALog {
            path: path.to_owned(),
        });
    }
    Ok(report)
}

/// How a file can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It grows by records in chunks.
    Evtx,
    /// It grows by lines.
    JsonLines,
    /// It grows by rows.
    Table,
    /// It does not grow: packed, an array, UTF-16.
    Whole,
    /// Not a byte in it.
    Empty,
    /// None of these.
    Nothing,
}

pub(super) fn form(path: &Path) -> io::Result<Form> {
    let start = start(path)?;
    Ok(if start.packed {
        Form::Whole
    } else if start.bytes.starts_with(evtx::MAGIC) {
        Form::Evtx
    } else {
        match start.text.trim_start().bytes().next() {
            None => Form::Empty,
            Some(b'[' | b'{') if start.wide => Form::Whole,
            Some(b'[') => Form::Whole,
            Some(b'{') => Form::JsonLines,
            Some(_) if !start.text.contains([',', ';']) => Form::Nothing,
            Some(_) if start.wide => Form::Whole,
            Some(_) => Form::Table,
        }
    })
}

/// Reads a file that does not grow.
pub(super) fn whole_file(
    path: &Path,
    losses: &mut Losses,
    each: &mut dyn FnMut(Event),
) -> io::Result<()> {
    match read(path, each) {
        Ok(report) => losses.merge(&report.losses),
        Err(ReadError::Io { source, .. }) => return Err(source),
        Err(_) => losses.add(Loss::Rest),
    }
    Ok(())
}

/// What a file begins with.
struct Start {
    bytes: Vec<u8>,
    text: String,
    packed: bool,
    /// UTF-16, as PowerShell writes by default.
    wide: bool,
}

fn start(path: &Path) -> io::Result<Start> {
    let mut raw = [0; 4];
    let read = File::open(path)?.read(&mut raw)?;
    let packed = is_packed(&raw[..read]);
    let mut bytes = Vec::new();
    // A packed file that is cut within its first bytes begins with nothing.
    let _ = unpacked(path)?.take(4096).read_to_end(&mut bytes);
    let wide = bytes.starts_with(&[0xff, 0xfe]);
    let text = decode(&bytes);
    Ok(Start {
        bytes,
        text,
        packed,
        wide,
    })
}

fn is_packed(start: &[u8]) -> bool {
    start.starts_with(&[0x1f, 0x8b]) || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
}

/// The file's bytes, unpacked where it is packed.
fn unpacked(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    let mut magic = [0; 4];
    let read = file.read(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(match &magic[..read] {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd] => match StreamingDecoder::new(BufReader::new(file)) {
            Ok(decoder) => Box::new(decoder),
            Err(_) => Box::new(io::empty()),
        },
        _ => Box::new(file),
    })
}

/// The whole of a file in memory, as far as it can be unpacked.
fn whole(path: &Path, losses: &mut Losses) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let ended = unpacked(path)?
        .take(WHOLE_MAX_BYTES + 1)
        .read_to_end(&mut bytes);
    if ended.is_err() {
        losses.add(Loss::Rest);
    }
    if bytes.len() as u64 > WHOLE_MAX_BYTES {
        losses.add(Loss::TooLong);
        bytes.truncate(WHOLE_MAX_BYTES as usize);
    }
    Ok(bytes)
}

fn text(path: &Path, losses: &mut Losses) -> io::Result<String> {
    whole(path, losses).map(|bytes| decode(&bytes))
}

/// UTF-16 with a byte order mark, or UTF-8 with or without.
fn decode(bytes: &[u8]) -> String {
    if let Some(wide) = bytes.strip_prefix(&[0xff, 0xfe]) {
        let units: Vec<u16> = wide
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        return String::from_utf16_lossy(&units);
    }
    let bytes = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
    String::from_utf8_lossy(bytes).into_owned()
}

/// One object a line.
fn lines(path: &Path, losses: &mut Losses, each: &mut dyn FnMut(Event)) -> io::Result<()> {
    let mut lines = Lines::open(path)?;
    loop {
        match lines.advance()? {
            Line::End => return Ok(()),
            Line::TooLong => losses.add(Loss::TooLong),
            Line::Damaged => {
                losses.add(Loss::Rest);
                return Ok(());
            }
            Line::Read { .. } => {
                let line = lines.take();
                let line_is_blank = line.iter().all(u8::is_ascii_whitespace);
                if !line_is_blank {
                    object(&line, losses, each);
                }
                lines.reuse(line);
            }
        }
    }
}

pub(super) fn object(line: &[u8], losses: &mut Losses, each: &mut dyn FnMut(Event)) {
    match serde_json::from_slice(line) {
        Ok(value) => match json::event(&value) {
            Some(event) => each(event),
            None => losses.add(Loss::NoId),
        },
        Err(_) => losses.add(Loss::Line),
    }
}

/// An array of objects, or objects one behind the other.
fn array(text: &str, losses: &mut Losses, each: &mut dyn FnMut(Event)) {
    let mut take = |value: &serde_json::Value| match json::event(value) {
        Some(event) => each(event),
        None => losses.add(Loss::NoId),
    };
    let mut damaged = false;
    for value in serde_json::Deserializer::from_str(text).into_iter() {
        match value {
            Ok(serde_json::Value::Array(values)) => values.iter().for_each(&mut take),
            Ok(value) => take(&value),
            Err(_) => damaged = true,
        }
    }
    if damaged {
        losses.add(Loss::Rest);
    }
}
