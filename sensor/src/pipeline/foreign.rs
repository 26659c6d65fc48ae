//! Tables that others wrote: CSV with or without a header, plain, gzip or xz; columns of numbers and of words.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use ::csv::{ReaderBuilder, StringRecord};
use model::{Classifier, Schema, Transform};

use crate::capture::input::is_standard_input;

/// Most bytes of a table, unpacked: a file of a few kilobytes can claim to be anything.
const LARGEST: u64 = 4 << 30;

/// Why a table cannot be used; one line.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// It cannot be read or unpacked.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system, or the unpacker, said.
        source: io::Error,
    },
    /// A line is not CSV, or has another number of fields.
    #[error("{}: {what}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        what: ::csv::Error,
    },
    /// It is no text at all: a capture, most likely.
    #[error(
        "{}: not a table (line {line} is no text); labels belong to tables: `anomaly-detect features CAPTURE` makes one of a capture",
        path.display()
    )]
    NoText {
        /// The file.
        path: PathBuf,
        /// The first such line, counted from 1.
        line: u64,
    },
    /// A column is not there.
    #[error("{}: no column `{column}`; it has {known}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        column: String,
        /// What there is.
        known: String,
    },
    /// Tables of different kinds in one call.
    #[error("{}: other columns than {}; give tables of one kind", path.display(), first.display())]
    Mixed {
        /// The file.
        path: PathBuf,
        /// The first file.
        first: PathBuf,
    },
    /// A line without the addresses and times that rules look at.
    #[error("{}: line {line}: no addresses and times to match rules with", path.display())]
    NoTalk {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
}

/// Columns of KDD Cup 1999 and NSL-KDD, whose files have no header (kddcup.names; the last is NSL's alone).
const KDD: &str = "duration protocol_type service flag src_bytes dst_bytes land wrong_fragment urgent hot \
    num_failed_logins logged_in num_compromised root_shell su_attempted num_root num_file_creations num_shells \
    num_access_files num_outbound_cmds is_host_login is_guest_login count srv_count serror_rate srv_serror_rate \
    rerror_rate srv_rerror_rate same_srv_rate diff_srv_rate srv_diff_host_rate dst_host_count dst_host_srv_count \
    dst_host_same_srv_rate dst_host_diff_srv_rate dst_host_same_src_port_rate dst_host_srv_diff_host_rate \
    dst_host_serror_rate dst_host_srv_serror_rate dst_host_rerror_rate dst_host_srv_rerror_rate class difficulty";

/// A table in memory, unpacked, with the names of its columns.
pub struct Foreign {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Names of all columns.
    pub columns: Vec<String>,
    headed: bool,
}

impl Foreign {
    /// Reads a table whole.
    ///
    /// # Errors
    /// Unreadable, damaged, or no CSV.
    pub fn read(path: &Path) -> Result<Self, ForeignError> {
        let bytes = unpacked(path).map_err(|source| ForeignError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut table = Self {
            path: path.to_owned(),
            bytes,
            columns: Vec::new(),
            headed: false,
        };
        let mut first = StringRecord::new();
        table
            .reader()
            .read_record(&mut first)
            .map_err(|what| table.fault(what))?;
        let kdd: Vec<String> = KDD.split_whitespace().map(str::to_owned).collect();
        let is_kdd = (kdd.len() - 1..=kdd.len()).contains(&first.len())
            && matches!(first.get(1), Some("tcp" | "udp" | "icmp"));
        table.headed = !is_kdd;
        table.columns = if is_kdd {
            kdd[..first.len()].to_vec()
        } else {
            let names = first
                .iter()
                .map(|name| name.trim_start_matches('\u{feff}').trim());
            names.map(str::to_owned).collect()
        };
        Ok(table)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn reader(&self) -> ::csv::Reader<&[u8]> {
        ReaderBuilder::new()
            .has_headers(self.headed)
            .from_reader(&self.bytes[..])
    }

    fn fault(&self, what: ::csv::Error) -> ForeignError {
        let path = self.path.clone();
        match what.kind() {
            ::csv::ErrorKind::Utf8 { pos, .. } => ForeignError::NoText {
                path,
                line: pos.as_ref().map_or(1, ::csv::Position::line),
            },
            _ => ForeignError::Csv { path, what },
        }
    }

    /// Calls `each` with every line of data.
    ///
    /// # Errors
    /// No CSV, or what `each` says.
    pub fn each<E: From<ForeignError>>(
        &self,
        mut each: impl FnMut(&StringRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = self.reader();
        let mut record = StringRecord::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(true) => each(&record)?,
                Ok(false) => return Ok(()),
                Err(what) => return Err(self.fault(what).into()),
            }
        }
    }

    /// Position of a column, capitals or not.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn position(&self, name: &str) -> Result<usize, ForeignError> {
        let exact = self.columns.iter().position(|column| column == name);
        exact
            .or_else(|| {
                self.columns
                    .iter()
                    .position(|column| column.eq_ignore_ascii_case(name))
            })
            .ok_or_else(|| ForeignError::Column {
                path: self.path.clone(),
                column: name.to_owned(),
                known: some(&self.columns),
            })
    }
}

/// The first names of a long list.
pub fn some(columns: &[String]) -> String {
    let shown: Vec<&str> = columns.iter().take(20).map(String::as_str).collect();
    let more = columns.len().saturating_sub(shown.len());
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The bytes of a file, by its first bytes unpacked.
fn unpacked(path: &Path) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> = if is_standard_input(path) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path)?)
    };
    let mut packed = Vec::new();
    source.take(LARGEST + 1).read_to_end(&mut packed)?;
    let bytes = match packed[..] {
        [0x1f, 0x8b, ..] => {
            let mut bytes = Vec::new();
            flate2::read::MultiGzDecoder::new(&packed[..])
                .take(LARGEST + 1)
                .read_to_end(&mut bytes)?;
            bytes
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let mut bytes = Bounded(Vec::new());
            lzma_rs::xz_decompress(&mut &packed[..], &mut bytes).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("damaged xz: {error:?}"))
            })?;
            bytes.0
        }
        _ => packed,
    };
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("larger than 4 GiB unpacked"));
    }
    Ok(bytes)
}

/// Takes no more than [`LARGEST`] bytes.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() as u64 + bytes.len() as u64 > LARGEST {
            return Err(io::Error::other("larger than 4 GiB unpacked"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Turns the fields of a line into the numbers that a model was trained on.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Position in the table, and the numbers of the words if it is a column of words.
    columns: Vec<(usize, Option<HashMap<String, f32>>)>,
}

impl Encoder {
    /// An encoder for the columns of `schema`; `words` are those behind the numbers of its text columns.
    ///
    /// # Errors
    /// A column that the table has not.
    pub fn new(
        table: &Foreign,
        schema: &Schema,
        words: &[Vec<String>],
    ) -> Result<Self, ForeignError> {
        let columns = schema.columns.iter().enumerate().map(|(at, column)| {
            let words = words.get(at).filter(|words| !words.is_empty());
            let numbers = words.map(|words| {
                let numbered = words.iter().enumerate();
                numbered
                    .map(|(number, word)| (word.clone(), number as f32))
                    .collect()
            });
            Ok((table.position(&column.name)?, numbers))
        });
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
        })
    }

    /// An encoder for what a classifier wants to be given.
    ///
    /// # Errors
    /// A column that the table has not.
    pub fn of(table: &Foreign, classifier: &Classifier) -> Result<Self, ForeignError> {
        Self::new(table, classifier.schema(), &classifier.info().words)
    }

    /// Appends the numbers of a line. What is no number, and not a word that was known, is missing or, among words,
    /// one not seen before.
    pub fn push(&self, record: &StringRecord, values: &mut Vec<f32>) {
        values.extend(self.columns.iter().map(|(at, words)| {
            let text = record.get(*at).unwrap_or("").trim();
            match words {
                Some(_) if text.is_empty() => f32::NAN,
                Some(words) => words.get(text).copied().unwrap_or(words.len() as f32),
                None => number(text).unwrap_or(f32::NAN),
            }
        }));
    }
}

/// The number that a field holds; empty fields are missing. `None` for words.
pub(super) fn number(text: &str) -> Option<f32> {
    match text {
        "" | "?" => Some(f32::NAN),
        text => match text.parse() {
            Ok(number) => Some(number),
            // As the UNSW tables write ports.
            Err(_) => {
                let digits = text.strip_prefix("0x")?;
                u32::from_str_radix(digits, 16)
                    .ok()
                    .map(|number| number as f32)
            }
        },
    }
}

/// The axis of a column of others' making: words and numbers that name something are categories.
pub(super) fn transform(name: &str, words: bool, least: f32, greatest: f32) -> Transform {
    let name = name.to_ascii_lowercase();
    let names_something = [
        "port",
        "sport",
        "dsport",
        "protocol",
        "proto",
        "icmp code",
        "icmp type",
    ]
    .iter()
    .any(|end| {
        name == *end || name.ends_with(&format!(" {end}")) || name.ends_with(&format!("_{end}"))
    });
    if words || names_something {
        Transform::Categorical
    } else if least >= 0.0 && greatest <= 1.0 {
        Transform::Linear
    } else {
        Transform::SignedLog
    }
}
