//! What the inputs of a command are: captures, or CSV tables this program wrote; standard input read twice.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    capture::{
        CaptureError, Stop,
        input::is_standard_input,
        replay::{self, Replay},
    },
    sink::csv::FLOW_COLUMNS,
};

/// Whether a file is a CSV table, by its first bytes.
pub fn is_table(path: &Path) -> bool {
    if is_read_once(path) {
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

/// Whether an input can be read only once: standard input, a pipe, the file of a process substitution.
fn is_read_once(path: &Path) -> bool {
    is_standard_input(path)
        || std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Opens every input that can be opened again, and closes it: a wrong name is told before an output is touched.
///
/// # Errors
/// What is wrong with the first that cannot be used.
pub fn check(inputs: &[PathBuf]) -> Result<(), CaptureError> {
    let again: Vec<PathBuf> = inputs
        .iter()
        .filter(|path| !is_read_once(path))
        .cloned()
        .collect();
    Replay::open(&again, replay::Settings::default()).map(drop)
}

/// Inputs that can be read more than once: what can be read only once was written to files of their own, which go
/// when this is dropped.
#[derive(Debug)]
pub struct Spooled {
    /// The inputs, files and folders only.
    pub inputs: Vec<PathBuf>,
    /// Each with the name of what it holds.
    temporary: Vec<(PathBuf, PathBuf)>,
}

impl Spooled {
    /// A message with the names that the user gave.
    pub fn in_words(&self, message: &str) -> String {
        let mut message = message.to_owned();
        for (path, input) in &self.temporary {
            let name = if is_standard_input(input) {
                "standard input".to_owned()
            } else {
                input.display().to_string()
            };
            message = message.replace(&path.display().to_string(), &name);
        }
        message
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        for (path, _) in &self.temporary {
            // Nothing to be done about a temporary file that will not go.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// What is taken from a pipe after the end was asked for: what its writer, who got the same ^C, had not yet written out.
const BEHIND_BYTES: usize = 64 << 20;

/// How long a pipe is silent before it is looked whether the end was asked for.
const SILENCE: Duration = Duration::from_millis(300);

/// Copies until the end of the source, or until `stop` is asked for and nothing more comes.
fn copy(
    mut source: impl Read + Send + 'static,
    file: &mut File,
    stop: Option<&Stop>,
) -> io::Result<()> {
    let Some(stop) = stop else {
        return io::copy(&mut source, file).map(drop);
    };
    // A read from a pipe cannot be called off, so a thread of its own waits in it.
    let (sender, chunks) = mpsc::sync_channel(4);
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || {
            loop {
                let mut chunk = vec![0; 256 << 10];
                let read = match source.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(length) => {
                        chunk.truncate(length);
                        Ok(chunk)
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = read.is_err();
                // An error means that nobody wants more.
                if sender.send(read).is_err() || failed {
                    return;
                }
            }
        })?;
    let (mut behind, mut silences) = (0, 0);
    while silences < 2 && behind < BEHIND_BYTES {
        match chunks.recv_timeout(SILENCE) {
            Ok(chunk) => {
                let chunk = chunk?;
                file.write_all(&chunk)?;
                silences = 0;
                if stop.is_asked() {
                    behind += chunk.len();
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => silences += u32::from(stop.is_asked()),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}

/// Makes every input readable more than once. What comes by a pipe ends early where `stop` is asked for.
///
/// # Errors
/// An input cannot be read, or its temporary file not be written.
pub fn spool(inputs: &[PathBuf], stop: Option<&Stop>) -> io::Result<Spooled> {
    let mut spooled = Spooled {
        inputs: inputs.to_vec(),
        temporary: Vec::new(),
    };
    let mut standard_input = None;
    for (number, input) in spooled.inputs.iter_mut().enumerate() {
        if !is_read_once(input) {
            continue;
        }
        let standard = is_standard_input(input);
        // Standard input twice is the same capture twice.
        if let (true, Some(path)) = (standard, &standard_input) {
            input.clone_from(path);
            continue;
        }
        let path = std::env::temp_dir().join(format!(
            "anomaly-detect-{}-{number}-{:x}.capture",
            std::process::id(),
            crate::time::now()
        ));
        // Only the owner may read what was captured.
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path)?;
        spooled.temporary.push((path.clone(), input.clone()));
        if standard {
            standard_input = Some(path.clone());
            copy(io::stdin(), &mut file, stop)?;
        } else {
            copy(File::open(&*input)?, &mut file, stop)?;
        }
        *input = path;
    }
    Ok(spooled)
}
