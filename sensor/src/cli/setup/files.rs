//! Where what a command says goes: files, and standard output.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{super::draft::Draft, Fault, code};
use crate::sink::table::Style;

/// How standard output is named where a file could be.
const STDOUT: &str = "-";

/// Whether standard output is meant, and no file.
pub(in crate::cli) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == STDOUT
}

/// Standard output as a place where files could go.
pub(in crate::cli) fn stdout() -> PathBuf {
    PathBuf::from(STDOUT)
}

/// How text for people is written there: a file has no terminal's colours and width.
pub(in crate::cli) fn style(path: &Path) -> Style {
    match is_stdout(path) {
        true => Style::stdout(),
        false => Style::plain(120),
    }
}

/// An output: a file (its folder is made), or standard output for `-`.
pub(in crate::cli) fn output(path: &Path) -> Result<Box<dyn Write>, Fault> {
    if is_stdout(path) {
        return Ok(Box::new(BufWriter::with_capacity(1 << 16, io::stdout())));
    }
    make_folder_of(path)?;
    let file = File::create(path).map_err(|error| Fault::file(path, &error, code::FAILED))?;
    Ok(Box::new(BufWriter::with_capacity(1 << 16, file)))
}

/// Writes a model to a file, or to standard output.
pub(in crate::cli) fn write_model(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let (draft, mut out) = Draft::written(path)?;
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| Fault::file(path, &error, code::FAILED))?;
    drop(out);
    draft.keep()
}

/// Makes a folder and those above it.
pub(in crate::cli) fn make_folder(folder: &Path) -> Result<(), Fault> {
    std::fs::create_dir_all(folder).map_err(|error| Fault::file(folder, &error, code::FAILED))
}

/// Makes the folder that a file is to be in.
pub(in crate::cli) fn make_folder_of(path: &Path) -> Result<(), Fault> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => make_folder(folder),
        _ => Ok(()),
    }
}
