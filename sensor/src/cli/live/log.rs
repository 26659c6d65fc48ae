//! The log of flows: each that ended, with its features and what was thought of it. A file of it is turned over when it is
//! full, so that it fills no disk: there is one before it, and no more.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::{features::Row, flow::FlowRecord, score::Scored, sink::csv::FlowCsv};

/// Bytes between program and file.
const BUFFER_BYTES: usize = 1 << 18;

/// Where rows go; nowhere, if nobody wants them.
pub(super) struct Log {
    csv: Option<FlowCsv<Box<dyn Write>>>,
    /// A file that is turned over; nothing for standard output.
    file: Option<Turned>,
}

struct Turned {
    path: PathBuf,
    most_bytes: u64,
    written_bytes: u64,
}

impl Log {
    /// Rows to somebody who reads them as they come.
    pub(super) fn to(out: Box<dyn Write>) -> io::Result<Self> {
        Ok(Self {
            csv: Some(FlowCsv::new(out, true)?),
            file: None,
        })
    }

    /// Rows to a file of so many bytes at most, with the one before kept beside it, also that of an earlier watch. Of no
    /// bytes: none at all.
    pub(super) fn file(path: PathBuf, most_bytes: u64) -> io::Result<Self> {
        if most_bytes == 0 {
            return Ok(Self {
                csv: None,
                file: None,
            });
        }
        let csv = begin(&path)?;
        Ok(Self {
            csv: Some(csv),
            file: Some(Turned {
                path,
                most_bytes,
                written_bytes: 0,
            }),
        })
    }

    /// Writes a flow, with a verdict if there is one already; whether it was written at all.
    pub(super) fn flow(
        &mut self,
        record: &FlowRecord,
        row: &Row,
        verdict: Option<&Scored>,
    ) -> io::Result<bool> {
        let Some(csv) = &mut self.csv else {
            return Ok(false);
        };
        if let Some(file) = &mut self.file
            && file.written_bytes >= file.most_bytes
        {
            csv.flush()?;
            *csv = begin(&file.path)?;
            file.written_bytes = 0;
        }
        match verdict {
            Some(scored) => csv.scored(scored)?,
            None => csv.unscored(record, row)?,
        }
        if let Some(file) = &mut self.file {
            file.written_bytes += csv.row_bytes() as u64;
        }
        Ok(true)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.csv.as_mut().map_or(Ok(()), FlowCsv::flush)
    }
}

/// Begins a file; what was there is kept as the one before.
fn begin(path: &Path) -> io::Result<FlowCsv<Box<dyn Write>>> {
    match fs::rename(path, path.with_extension("csv.1")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let out = BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?);
    FlowCsv::new(Box::new(out), true)
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::flow::{FlowCounters, FlowKey};

    use super::*;

    fn record() -> FlowRecord {
        FlowRecord {
            id: 1,
            key: FlowKey {
                addresses: [[1; 16], [2; 16]],
                ports: [40_000, 443],
                protocol: 6,
                form: 0,
                series: 0,
            },
            originator: 0,
            counters: FlowCounters::EMPTY,
            end: None,
            checkpoint: 0,
            due: 1,
        }
    }

    #[test]
    fn a_full_file_is_turned_over_and_no_row_is_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.csv");
        let record = record();
        let row = [f32::NAN; crate::features::COUNT];
        let mut log = Log::file(path.clone(), 4000).expect("a file");
        let mut rows = 0;
        let count = |path: &Path| fs::read_to_string(path).map_or(0, |text| text.lines().count());
        let before = path.with_extension("csv.1");
        while !before.exists() {
            assert!(rows < 1000, "never turned over");
            assert!(log.flow(&record, &row, None).expect("written"));
            rows += 1;
        }
        log.flush().expect("written");
        // Each file has a header.
        assert_eq!(count(&path) + count(&before), rows + 2);
        assert_eq!(
            count(&path),
            2,
            "the row that found the file full is in the next"
        );
        let size = fs::metadata(&before).expect("a file").len();
        assert!((4000..20_000).contains(&size), "{size}");

        // An earlier watch's file is the one before, also if it was not full.
        drop(log);
        let log = Log::file(path.clone(), 4000).expect("a file");
        drop(log);
        assert_eq!((count(&path), count(&before)), (1, 2));
    }

    #[test]
    fn of_no_bytes_there_is_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.csv");
        let mut log = Log::file(path.clone(), 0).expect("nothing");
        let row = [0.0; crate::features::COUNT];
        assert!(!log.flow(&record(), &row, None).expect("nothing"));
        log.flush().expect("nothing");
        assert!(!path.exists());
    }
}
