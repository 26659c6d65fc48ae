//! Secrets come from files, so that no list of processes and no `config dump` shows them. A file is read each time it
//! is needed: who renews a token need not restart the sensor.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// No password is longer.
const LONGEST: u64 = 64 << 10;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no line of text.
    #[error("{}: holds no secret: one line of text is wanted", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
    },
}

/// The line in a file, without its end.
///
/// # Errors
/// Unreadable, empty, more than a line, or control characters in it, which could end a header.
pub fn secret(path: &Path) -> Result<String, SecretError> {
    let read = |source| SecretError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(read)?;
    file.take(LONGEST).read_to_string(&mut text).map_err(read)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(SecretError::Unusable {
            path: path.to_owned(),
        });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (text, wanted) in [
            ("pass word\n", Some("pass word")),
            ("p\r\n", Some("p")),
            ("", None),
            ("\n", None),
            ("a\r\nX-Header: b\n", None),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(secret(&path).ok().as_deref(), wanted, "{text:?}");
        }
        let error = secret(&folder.path().join("absent")).unwrap_err();
        assert!(error.to_string().contains("absent"));
    }
}
