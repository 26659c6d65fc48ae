//! What is wrong with a configuration: where, and what was probably meant.

use std::{fmt, path::PathBuf};

use super::keys::KEYS;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The table of keys.
    Default,
    /// A line of a file, counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// What is wrong with the configuration; one line each.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{}:{line}: not TOML: {what}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line of the fault.
        line: usize,
        /// What the parser said.
        what: String,
    },
    /// No such key.
    #[error("{origin}: unknown key `{key}`{}", hint(nearest.as_deref()))]
    Unknown {
        /// The key.
        key: String,
        /// Its place.
        origin: Origin,
        /// The key that was probably meant.
        nearest: Option<String>,
    },
    /// A value that its key cannot take.
    #[error("{origin}: {key}: {what}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its place.
        origin: Origin,
        /// What is wrong, and what would be right.
        what: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; `anomaly-detect config dump` lists all keys".to_owned(),
        |nearest| format!("; did you mean `{nearest}`?"),
    )
}

/// There is no such key.
pub(super) fn unknown(key: String, origin: Origin) -> ConfigError {
    let paths = KEYS.iter().map(|key| key.path.to_owned());
    ConfigError::Unknown {
        nearest: nearest(&key, paths),
        key,
        origin,
    }
}

/// The candidate that is most alike, if any is alike at all.
pub(super) fn nearest(wanted: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    candidates
        .map(|name| {
            let whole = strsim::jaro_winkler(wanted, &name);
            let part = strsim::jaro_winkler(&last(wanted), &last(&name)) * 0.98;
            (whole.max(part), name)
        })
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)))
        .map(|(_, name)| name)
}
