//! Running other programs, and the ways in which that goes wrong.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The program cannot be started at all.
    #[error("{program}: {source}")]
    Start {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program ran and was not content.
    #[error("`{command}` ended with {status}")]
    Exit {
        /// As typed.
        command: String,
        /// Its status.
        status: ExitStatus,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Programs that the task needs are not installed.
    #[error("not installed: {}\n  on Debian: apt-get install {}", programs.join(", "), packages.join(" "))]
    Missing {
        /// The programs.
        programs: Vec<&'static str>,
        /// Their Debian packages.
        packages: Vec<&'static str>,
    },
    /// The machine or the user cannot do it.
    #[error("{0}")]
    Unable(String),
    /// The task ran and what it checked is not so.
    #[error("{0}")]
    Check(String),
}

impl Failure {
    /// Wraps an error about `path`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }
}

/// Root of the checkout. The task runs from anywhere inside it.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a member of the workspace")
        .to_path_buf()
}

/// The `cargo` that runs this task, at the root of the checkout.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs to the end with inherited input and output.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|source| Failure::Start {
        program: name(command),
        source,
    })?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Exit {
            command: typed(command),
            status,
        })
    }
}

/// Finds an executable file in `PATH`, or in the system directories that a plain user's `PATH` leaves out.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The command as one would type it.
pub(crate) fn typed(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    words.join(" ")
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
