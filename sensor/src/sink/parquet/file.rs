//! A Parquet file that is there whole or not at all.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    Writer,
    columns::{Cell, cells},
};
use crate::{features::Row, flow::FlowRecord, sink::message::Judgement};

/// A file under another name until it is whole.
pub struct ParquetFile {
    writer: Option<Writer<File>>,
    verdicts: bool,
    unfinished: PathBuf,
    path: PathBuf,
}

impl ParquetFile {
    /// Begins a file, beside where it will be.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(path: &Path, verdicts: bool) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = path.with_file_name(format!(".{name}.unfinished"));
        if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let file = File::create(&unfinished)?;
        Ok(Self {
            writer: Some(Writer::new(file, verdicts)?),
            verdicts,
            unfinished,
            path: path.to_owned(),
        })
    }

    /// Adds a flow with its features.
    ///
    /// # Errors
    /// What the system says.
    pub fn flow(
        &mut self,
        record: &FlowRecord,
        row: &Row,
        verdict: Option<Judgement<'_>>,
    ) -> io::Result<()> {
        let verdict = self.verdicts.then_some(verdict);
        self.row(|put| cells(record, row, verdict, put))
    }

    pub(super) fn row(&mut self, fill: impl FnOnce(&mut dyn FnMut(Cell<'_>))) -> io::Result<()> {
        match &mut self.writer {
            Some(writer) => writer.row(fill),
            None => Ok(()),
        }
    }

    /// Writes the end, has it all on the disk, and gives the file its name. The number of its rows.
    ///
    /// # Errors
    /// What the system says; there is no file then.
    pub fn finish(mut self) -> io::Result<u64> {
        let Some(writer) = self.writer.take() else {
            return Ok(0);
        };
        let rows = writer.rows();
        let file = writer.finish()?;
        file.sync_all()?;
        drop(file);
        fs::rename(&self.unfinished, &self.path)?;
        Ok(rows)
    }
}

impl Drop for ParquetFile {
    fn drop(&mut self) {
        // After `finish` there is none of this name.
        let _ = fs::remove_file(&self.unfinished);
    }
}
