//! Parquet as a sink of the live sensor: a folder of files.
//!
//! A Parquet file is readable only once its end is written, and a sensor may be killed at any time. So rows go to a journal as
//! they come; when it is old or long enough it becomes a Parquet file and goes. A journal that is found at the start is one of a
//! sensor that was killed, and becomes a file like the others.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sensor_ebpf::flow::TimeNs;

use super::{
    ParquetFile,
    columns::{Cell, Column, Form, cells, columns},
};
use crate::{
    config,
    sink::{
        kept,
        message::{EndedFlow, Message, Wants},
        outlet::{Deliver, DeliveryError, Encode, OutletSpec},
    },
    time::{self, Stamp},
};

/// Rows of a parcel at most.
const PARCEL_ROWS: usize = 256;
/// Bytes of a parcel that anybody believes.
const PARCEL_MAX_BYTES: usize = 16 << 20;
/// Parcels written together at most.
const BATCH: usize = 64;
const JOURNAL: &str = "rows";
const NO_TEXT: u16 = u16::MAX;

/// The sink, where there is a folder.
pub fn outlet(settings: &config::Parquet) -> Option<OutletSpec> {
    let folder = settings.folder.clone()?;
    Some(OutletSpec {
        name: "parquet",
        folder: "parquet".to_owned(),
        target: folder.display().to_string(),
        wants: Wants::FLOWS,
        encode: Box::new(Rows::default()),
        deliver: Box::new(Folder::new(folder, settings)),
        batch: BATCH,
        gather: Duration::ZERO,
    })
}

/// Turns flows into parcels of rows.
#[derive(Debug)]
pub struct Rows {
    /// Says which columns the rows have.
    digest: u64,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            digest: digest(&columns(true)),
        }
    }
}

/// Of the names and forms of columns (FNV-1a): a spool or a journal may be of another version of this program.
fn digest(columns: &[Column]) -> u64 {
    let bytes = columns.iter().flat_map(|column| {
        let name = column.name.bytes();
        name.chain([column.form as u8, 0xff])
    });
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Encode for Rows {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        let Message::Flows(flows) = message else {
            return;
        };
        for flows in flows.chunks(PARCEL_ROWS) {
            let mut parcel = self.digest.to_le_bytes().to_vec();
            for flow in flows {
                push(&mut parcel, flow);
            }
            parcels.push(parcel);
        }
    }
}

fn push(parcel: &mut Vec<u8>, flow: &EndedFlow) {
    let verdict = flow.verdict.as_ref().map(Into::into);
    cells(
        &flow.record,
        &flow.row,
        Some(verdict),
        &mut |cell| match cell {
            Cell::Long(value) => parcel.extend(value.to_le_bytes()),
            Cell::Small(value) => parcel.extend(value.unwrap_or(i32::MIN).to_le_bytes()),
            Cell::Float(value) => parcel.extend(value.to_le_bytes()),
            Cell::Double(value) => parcel.extend(value.to_le_bytes()),
            Cell::Text(None) => parcel.extend(NO_TEXT.to_le_bytes()),
            Cell::Text(Some(text)) => {
                let text = &text[..text.floor_char_boundary(usize::from(NO_TEXT) - 1)];
                parcel.extend((text.len() as u16).to_le_bytes());
                parcel.extend_from_slice(text.as_bytes());
            }
        },
    );
}

/// The cells of a parcel, one after the other.
struct Cells<'a>(&'a [u8]);

impl<'a> Cells<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (now, later) = self.0.split_first_chunk()?;
        self.0 = later;
        Some(*now)
    }

    fn next(&mut self, form: Form) -> Option<Cell<'a>> {
        Some(match form {
            Form::Time | Form::Count => Cell::Long(i64::from_le_bytes(self.take()?)),
            Form::Small => {
                let value = i32::from_le_bytes(self.take()?);
                Cell::Small((value != i32::MIN).then_some(value))
            }
            Form::Float => Cell::Float(f32::from_le_bytes(self.take()?)),
            Form::Double => Cell::Double(f64::from_le_bytes(self.take()?)),
            Form::Text => match u16::from_le_bytes(self.take()?) {
                NO_TEXT => Cell::Text(None),
                length => {
                    let (text, later) = self.0.split_at_checked(usize::from(length))?;
                    self.0 = later;
                    Cell::Text(Some(std::str::from_utf8(text).ok()?))
                }
            },
        })
    }
}

/// The rows of a parcel, cell by cell; nothing if it is damaged or of other columns.
fn rows<'a>(parcel: &'a [u8], columns: &[Column], of: u64) -> Option<Vec<Cell<'a>>> {
    let (before, rest) = parcel.split_first_chunk()?;
    if u64::from_le_bytes(*before) != of {
        return None;
    }
    let mut cells = Cells(rest);
    let mut all = Vec::new();
    while !cells.0.is_empty() {
        for column in columns {
            all.push(cells.next(column.form)?);
        }
    }
    Some(all)
}

/// A folder of Parquet files, and the journal of the next.
#[derive(Debug)]
pub struct Folder {
    folder: PathBuf,
    rows_per_file: u64,
    every: Duration,
    keep_bytes: u64,
    columns: Vec<Column>,
    digest: u64,
    /// Whether journals of an earlier sensor were looked for.
    recovered: bool,
    journal: Option<Journal>,
    /// Parcels of journals that could not be read.
    unreadable: u64,
}

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    file: File,
    begun: TimeNs,
    rows: u64,
    length: u64,
}

impl Folder {
    /// Nothing is made until something comes.
    pub fn new(folder: PathBuf, settings: &config::Parquet) -> Self {
        let columns = columns(true);
        Self {
            folder,
            rows_per_file: settings.rows_per_file,
            every: settings.every,
            keep_bytes: settings.keep_bytes,
            digest: digest(&columns),
            columns,
            recovered: false,
            journal: None,
            unreadable: 0,
        }
    }

    /// Makes files of journals that an earlier sensor left.
    fn recover(&mut self) -> io::Result<()> {
        if self.recovered {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == JOURNAL) {
                self.make_file(&path)?;
            }
        }
        self.recovered = true;
        Ok(())
    }

    /// The journal, begun where there is none.
    fn journal(&mut self) -> io::Result<&mut Journal> {
        let journal = match self.journal.take() {
            Some(journal) => journal,
            None => {
                let begun = time::now();
                // Digits and letters only, in order of time: 20261121T150300.123456789Z.
                let stamp = Stamp(begun).to_string().replace(['-', ':'], "");
                let path = self.folder.join(format!(".flows-{stamp}.{JOURNAL}"));
                Journal {
                    file: File::create_new(&path)?,
                    path,
                    begun,
                    rows: 0,
                    length: 0,
                }
            }
        };
        Ok(self.journal.insert(journal))
    }

    fn take(&mut self, parcel: &[u8]) -> Result<(), DeliveryError> {
        let width = self.columns.len();
        let Some(cells) = rows(parcel, &self.columns, self.digest) else {
            return Err(DeliveryError::never("rows of other columns, or damaged"));
        };
        let more = (cells.len() / width) as u64;
        drop(cells);
        let name = self.folder.display().to_string();
        let failed = |error| DeliveryError::later(format_args!("{name}: {error}"));
        let journal = self.journal().map_err(failed)?;
        let mut bytes = (parcel.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(parcel);
        if let Err(error) = journal.file.write_all(&bytes) {
            // Half a parcel is none: back to where it was, or another journal.
            if journal.file.set_len(journal.length).is_err() {
                self.journal = None;
            }
            return Err(failed(error));
        }
        journal.length += bytes.len() as u64;
        journal.rows += more;
        Ok(())
    }

    /// Makes a file of the journal when it is time.
    fn turn(&mut self, now: TimeNs, at_once: bool) -> io::Result<()> {
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let every = u64::try_from(self.every.as_nanos()).unwrap_or(u64::MAX);
        let due = at_once
            || journal.rows >= self.rows_per_file
            || now.saturating_sub(journal.begun) >= every;
        if !due {
            return Ok(());
        }
        let path = journal.path.clone();
        self.make_file(&path)?;
        self.journal = None;
        kept::newest(&self.folder, "flows-", ".parquet", self.keep_bytes)
    }

    /// A Parquet file of what a journal holds; then the journal goes.
    fn make_file(&mut self, journal: &Path) -> io::Result<()> {
        let stem = journal.file_stem().unwrap_or_default().to_string_lossy();
        let path = self
            .folder
            .join(format!("{}.parquet", stem.trim_start_matches('.')));
        let mut reader = BufReader::with_capacity(1 << 16, File::open(journal)?);
        let mut file = ParquetFile::new(&path, true)?;
        let mut parcel = Vec::new();
        let mut any = false;
        loop {
            let mut length = [0; 4];
            if !read_whole(&mut reader, &mut length)? {
                break;
            }
            let length = u32::from_le_bytes(length) as usize;
            if length > PARCEL_MAX_BYTES {
                self.unreadable += 1;
                break;
            }
            parcel.resize(length, 0);
            // The last parcel of a sensor that was killed may be cut off: its spool has it, or it was never said to be here.
            if !read_whole(&mut reader, &mut parcel)? {
                break;
            }
            let Some(cells) = rows(&parcel, &self.columns, self.digest) else {
                self.unreadable += 1;
                continue;
            };
            for row in cells.chunks(self.columns.len()) {
                any = true;
                file.row(|put| row.iter().for_each(|cell| put(*cell)))?;
            }
        }
        if any {
            file.finish()?;
        }
        fs::remove_file(journal)
    }
}

/// Fills the buffer; false at the end of the file, or where it ends within.
fn read_whole(reader: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

impl Deliver for Folder {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        let name = self.folder.display().to_string();
        let failed = |error| DeliveryError::later(format_args!("{name}: {error}"));
        if let Err(error) = self.recover() {
            return (0, Err(failed(error)));
        }
        for (at, parcel) in parcels.iter().enumerate() {
            if let Err(error) = self.take(parcel) {
                return (at, Err(error));
            }
        }
        match self.turn(time::now(), false) {
            Ok(()) => (parcels.len(), Ok(())),
            // The rows are in the journal all the same; the file is tried again with the next.
            Err(error) => (parcels.len(), Err(failed(error))),
        }
    }

    fn idle(&mut self) {
        // Tried again with the next parcel, which says what is wrong.
        let _ = self.turn(time::now(), false);
    }

    fn finish(&mut self) {
        // What cannot be written now is in the journal at the next start.
        let _ = self.turn(time::now(), true);
    }

    fn said(&self) -> String {
        match self.unreadable {
            0 => String::new(),
            count => format!("{count} parcels of an earlier journal could not be read"),
        }
    }
}
