//! conn.log as a sink of the live sensor: one that grows, and those that are whole.
//!
//! The log that grows is `conn.log`. When it is old enough it is closed as Zeek closes it and put aside as
//! `conn.2026-11-21-15-00-00.log`, after the time at which it was opened.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    time::Duration,
};

use sensor_ebpf::flow::TimeNs;

use super::{HEADER, push};
use crate::{
    config,
    sink::{
        kept,
        message::{Message, Wants},
        outlet::{Deliver, DeliveryError, Encode, OutletSpec},
    },
    time::{self, Stamp},
};

/// Bytes of a parcel, about.
const PARCEL_BYTES: usize = 1 << 16;
/// Parcels written together at most.
const BATCH: usize = 64;

/// The sink, where there is a folder.
pub fn outlet(settings: &config::ConnLog) -> Option<OutletSpec> {
    let folder = settings.folder.clone()?;
    Some(OutletSpec {
        name: "conn_log",
        folder: "conn_log".to_owned(),
        target: folder.join("conn.log").display().to_string(),
        wants: Wants::FLOWS,
        encode: Box::new(Lines),
        deliver: Box::new(Log::new(folder, settings)),
        batch: BATCH,
        gather: Duration::ZERO,
    })
}

/// Turns flows into lines.
#[derive(Clone, Copy, Debug)]
pub struct Lines;

impl Encode for Lines {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        let Message::Flows(flows) = message else {
            return;
        };
        let mut lines = String::new();
        for flow in flows.iter() {
            push(&mut lines, &flow.record);
            if lines.len() >= PARCEL_BYTES {
                parcels.push(std::mem::take(&mut lines).into_bytes());
            }
        }
        if !lines.is_empty() {
            parcels.push(lines.into_bytes());
        }
    }
}

/// A folder with `conn.log` and those before it.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    every: Duration,
    keep_bytes: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    since: TimeNs,
    length: u64,
}

impl Log {
    /// Nothing is made until something comes.
    pub const fn new(folder: PathBuf, settings: &config::ConnLog) -> Self {
        Self {
            folder,
            every: settings.every,
            keep_bytes: settings.keep_bytes,
            open: None,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("conn.log")
    }

    /// The log, begun where there is none. One of an earlier sensor is put aside first.
    fn log(&mut self, now: TimeNs) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                fs::create_dir_all(&self.folder)?;
                self.put_leftover_aside(now)?;
                let mut file = OpenOptions::new()
                    .append(true)
                    .create_new(true)
                    .open(self.path())?;
                let (settings, columns) = HEADER.split_once("#fields").unwrap_or((HEADER, ""));
                let header = format!("{settings}#open\t{}\n#fields{columns}", zeek_time(now));
                file.write_all(header.as_bytes())?;
                Open {
                    file,
                    since: now,
                    length: header.len() as u64,
                }
            }
        };
        Ok(self.open.insert(open))
    }

    fn put_leftover_aside(&self, now: TimeNs) -> io::Result<()> {
        let mut file = match OpenOptions::new().read(true).write(true).open(self.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut opened = None;
        for line in BufReader::new(&file).lines().take(10) {
            // Whatever it is, it is moved out of the way.
            let Ok(line) = line else { break };
            if let Some(time) = line.strip_prefix("#open\t") {
                opened = Some(time.to_owned());
            }
        }
        // A line that was cut off when the sensor was killed is none.
        let length = file.seek(SeekFrom::End(0))?;
        let tail = length.min(1 << 16);
        file.seek(SeekFrom::Start(length - tail))?;
        let mut bytes = Vec::new();
        (&file).take(tail).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let length = length - tail + whole.map_or(0, |at| at as u64 + 1);
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        let plain = |time: &String| {
            time.bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-')
        };
        let opened = opened.filter(plain).unwrap_or_else(|| zeek_time(now));
        self.put_aside(&file, &opened, now)
    }

    fn put_aside(&self, mut file: &File, opened: &str, now: TimeNs) -> io::Result<()> {
        file.write_all(format!("#close\t{}\n", zeek_time(now)).as_bytes())?;
        file.sync_all()?;
        // Two that were opened in the same second.
        let name = |number: u32| match number {
            0 => self.folder.join(format!("conn.{opened}.log")),
            number => self.folder.join(format!("conn.{opened}-{number}.log")),
        };
        let free = (0..10_000).map(name).find(|path| !path.exists());
        let path = free.ok_or(io::ErrorKind::AlreadyExists)?;
        fs::rename(self.path(), path)?;
        kept::newest(&self.folder, "conn.", ".log", self.keep_bytes)
    }

    fn turn(&mut self, now: TimeNs, at_once: bool) -> io::Result<()> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let every = u64::try_from(self.every.as_nanos()).unwrap_or(u64::MAX);
        if !at_once && now.saturating_sub(open.since) < every {
            return Ok(());
        }
        let opened = zeek_time(open.since);
        let result = self.put_aside(&open.file, &opened, now);
        // If that failed, what is there is found and put aside as a leftover.
        self.open = None;
        result
    }
}

/// As Zeek writes the times of a log's header; UTC.
fn zeek_time(time: TimeNs) -> String {
    let stamp = Stamp(time).to_string();
    stamp[..19].replace([':', 'T'], "-")
}

impl Deliver for Log {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        let name = self.path().display().to_string();
        let failed = |error| DeliveryError::later(format_args!("{name}: {error}"));
        let now = time::now();
        if let Err(error) = self.turn(now, false) {
            return (0, Err(failed(error)));
        }
        let open = match self.log(now) {
            Ok(open) => open,
            Err(error) => return (0, Err(failed(error))),
        };
        let bytes = parcels.concat();
        if let Err(error) = open.file.write_all(&bytes) {
            // Half a line is no line.
            if open.file.set_len(open.length).is_err() {
                self.open = None;
            }
            return (0, Err(failed(error)));
        }
        open.length += bytes.len() as u64;
        (parcels.len(), Ok(()))
    }

    fn idle(&mut self) {
        // Tried again with the next lines, which say what is wrong.
        let _ = self.turn(time::now(), false);
    }

    fn finish(&mut self) {
        let _ = self.turn(time::now(), true);
    }
}
