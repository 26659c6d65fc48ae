//! What the inputs of a command are: captures, or CSV tables this program wrote; standard input read twice.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{capture::input::is_standard_input, sink::csv::FLOW_COLUMNS};

/// Whether a file is a CSV table, by its first bytes.
pub fn is_table(path: &Path) -> bool {
    if is_standard_input(path) {
        return false;
    }
    let mut start = [0; 64];
    let read = File::open(path).and_then(|mut file| file.read(&mut start));
    let Ok(read) = read else {
        return false;
    };
    let start = &start[..read];
    start.starts_with(FLOW_COLUMNS[0].as_bytes())
        || (path.extension().is_some_and(|ending| ending == "csv")
            && !start.is_empty()
            && start
                .iter()
                .all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace()))
}

/// Inputs that can be read more than once: standard input was written to a file of its own, which goes when this
/// is dropped.
#[derive(Debug)]
pub struct Spooled {
    /// The inputs, files only.
    pub inputs: Vec<PathBuf>,
    temporary: Option<PathBuf>,
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if let Some(path) = &self.temporary {
            // Nothing to be done about a temporary file that will not go.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Makes every input readable more than once.
///
/// # Errors
/// Standard input cannot be read, or the temporary file not be written.
pub fn spool(inputs: &[PathBuf]) -> io::Result<Spooled> {
    let mut spooled = Spooled {
        inputs: inputs.to_vec(),
        temporary: None,
    };
    for input in &mut spooled.inputs {
        if !is_standard_input(input) {
            continue;
        }
        if spooled.temporary.is_none() {
            let path = std::env::temp_dir().join(format!(
                "anomaly-detect-{}-{:x}.capture",
                std::process::id(),
                crate::time::now()
            ));
            // Only the owner may read what was captured.
            let mut options = File::options();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&path)?;
            spooled.temporary = Some(path);
            io::copy(&mut io::stdin().lock(), &mut file)?;
        }
        if let Some(path) = &spooled.temporary {
            input.clone_from(path);
        }
    }
    Ok(spooled)
}
