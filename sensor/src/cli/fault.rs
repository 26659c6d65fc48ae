//! How a command fails: one line, and an exit code.

use std::{fmt, io};

use crate::{
    capture::CaptureError,
    config::ConfigError,
    listen::ListenError,
    pipeline::{self, TableError},
    score::{several, store::StoreError},
    sink,
};

/// Exit codes, as in sysexits.h where it has one.
pub(super) mod code {
    /// Something went wrong on the way.
    pub(in crate::cli) const FAILED: u8 = 1;
    /// Wrong usage.
    pub(in crate::cli) const USAGE: u8 = 2;
    /// Found what `--fail-on` names.
    pub(in crate::cli) const FINDINGS: u8 = 3;
    /// No such input, or not one (EX_NOINPUT).
    pub(in crate::cli) const NO_INPUT: u8 = 66;
    /// No permission (EX_NOPERM).
    pub(in crate::cli) const NO_PERMISSION: u8 = 77;
    /// Wrong configuration (EX_CONFIG).
    pub(in crate::cli) const CONFIG: u8 = 78;
    /// Ended by a signal, with what was done until then: what shells say of SIGINT.
    pub(in crate::cli) const INTERRUPTED: u8 = 130;
}

/// Why a command ends early.
#[derive(Debug)]
pub(super) struct Fault {
    /// Exit code.
    pub(super) code: u8,
    /// One line: what, where, what to do. Empty for a reader that went away: nobody is there to be told.
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A file that cannot be read, or written.
    pub(super) fn file(path: &std::path::Path, error: &io::Error, missing: u8) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(0, "");
        }
        let code = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => missing,
            io::ErrorKind::PermissionDenied => code::NO_PERMISSION,
            _ => code::FAILED,
        };
        Self::new(code, format!("{}: {}", path.display(), words(error)))
    }

    /// Ended before there was anything to use.
    pub(super) fn interrupted(what_now: &str) -> Self {
        Self::new(code::INTERRUPTED, format!("interrupted; {what_now}"))
    }

    /// What ended a pass whose output is this file.
    pub(super) fn of_pass(path: &std::path::Path, error: pipeline::Error) -> Self {
        match error {
            pipeline::Error::Output(error) if !super::setup::is_stdout(path) => {
                Self::file(path, &error, code::FAILED)
            }
            other => other.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<CaptureError> for Fault {
    fn from(error: CaptureError) -> Self {
        let code = match &error {
            CaptureError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                code::NO_PERMISSION
            }
            error => error.exit_code(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<ListenError> for Fault {
    fn from(error: ListenError) -> Self {
        Self::new(code::FAILED, error.to_string())
    }
}

impl From<crate::serve::AccessError> for Fault {
    fn from(error: crate::serve::AccessError) -> Self {
        use crate::serve::AccessError;
        let code = match &error {
            AccessError::NoEntropy => code::FAILED,
            AccessError::Unreadable { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                code::NO_PERMISSION
            }
            AccessError::NoToken(_) | AccessError::Unreadable { .. } | AccessError::Weak(_) => {
                code::CONFIG
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<TableError> for Fault {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Read { path, source } => Self::file(&path, &source, code::NO_INPUT),
            other => Self::new(code::FAILED, other.to_string()),
        }
    }
}

impl From<pipeline::ForeignError> for Fault {
    fn from(error: pipeline::ForeignError) -> Self {
        match error {
            pipeline::ForeignError::Read { path, source } => {
                Self::file(&path, &source, code::NO_INPUT)
            }
            pipeline::ForeignError::Column { .. } => Self::new(code::USAGE, error.to_string()),
            other => Self::new(code::FAILED, other.to_string()),
        }
    }
}

impl From<ConfigError> for Fault {
    fn from(error: ConfigError) -> Self {
        let code = match &error {
            ConfigError::Read { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                code::NO_PERMISSION
            }
            ConfigError::Value {
                origin: crate::config::Origin::Flag(_),
                ..
            }
            | ConfigError::Unknown {
                origin: crate::config::Origin::Flag(_),
                ..
            } => code::USAGE,
            _ => code::CONFIG,
        };
        Self::new(code, error.to_string())
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                code::NO_PERMISSION
            }
            error if error.is_missing() => code::NO_INPUT,
            _ => code::FAILED,
        };
        Self::new(code, error.to_string())
    }
}

impl From<sink::store::StoreError> for Fault {
    fn from(error: sink::store::StoreError) -> Self {
        use sink::store::StoreError as Error;
        let code = match &error {
            Error::Missing { .. } => code::NO_INPUT,
            Error::Forbidden { .. } => code::NO_PERMISSION,
            Error::Unknown(_) => code::USAGE,
            Error::Sqlite {
                source: rusqlite::Error::SqliteFailure(failure, _),
                ..
            } if matches!(
                failure.code,
                rusqlite::ErrorCode::PermissionDenied | rusqlite::ErrorCode::ReadOnly
            ) =>
            {
                code::NO_PERMISSION
            }
            _ => code::FAILED,
        };
        Self::new(code, error.to_string())
    }
}

impl From<pipeline::Error> for Fault {
    fn from(error: pipeline::Error) -> Self {
        match error {
            pipeline::Error::Capture(error) => error.into(),
            pipeline::Error::Output(error) => error.into(),
            pipeline::Error::NoFlows { .. } => Self::new(code::NO_INPUT, error.to_string()),
            pipeline::Error::Table(error) => error.into(),
            pipeline::Error::Train(model::TrainError::TooFewRows(rows)) => Self::new(
                code::FAILED,
                format!(
                    "too little traffic to learn from: {} besides those held out; \
                     give more captures, or score these with a model (`run --model`, `predict`)",
                    several(rows as f64, "flow record")
                ),
            ),
            pipeline::Error::Train(_) => Self::new(code::FAILED, error.to_string()),
        }
    }
}

/// An error of an output whose path is known to the reader, standard output above all.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(0, "");
        }
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => code::NO_PERMISSION,
            _ => code::FAILED,
        };
        Self::new(code, format!("cannot write the output: {}", words(&error)))
    }
}

/// What the system says, for people: without its number, and with what to do where that is known.
fn words(error: &io::Error) -> String {
    use io::ErrorKind;
    let said = match error.kind() {
        ErrorKind::NotFound => "no such file or folder",
        ErrorKind::PermissionDenied => "no permission; choose another place, or a user who may",
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            "there is a file where a folder is wanted; name another place"
        }
        ErrorKind::IsADirectory => "is a folder where a file is wanted",
        ErrorKind::StorageFull => "no space left there; make room, or name a place on another disk",
        ErrorKind::ReadOnlyFilesystem => "cannot be changed there (read-only); name another place",
        _ => return error.to_string(),
    };
    said.to_owned()
}
