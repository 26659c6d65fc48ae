//! Whose certificates are trusted: those of the system, and those of a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// Why there are no certificates to trust.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds none.
    #[error("{}: holds no certificate in PEM form", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Certificates of a file to trust beside those of the system.
#[derive(Clone, Debug, Default)]
pub struct Roots(Vec<CertificateDer<'static>>);

impl Roots {
    /// Reads a file of certificates; none without a file.
    ///
    /// # Errors
    /// Unreadable, or without a certificate.
    pub fn read(path: Option<&Path>) -> Result<Self, RootsError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = fs::read(path).map_err(|source| RootsError::Read {
            path: path.to_owned(),
            source,
        })?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(Self(found)),
            _ => Err(RootsError::Empty {
                path: path.to_owned(),
            }),
        }
    }

    /// Those of the file.
    pub fn of_file(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Those of the file, and those of the system.
    pub fn all(&self) -> Vec<CertificateDer<'static>> {
        let mut all = self.0.clone();
        all.extend(rustls_native_certs::load_native_certs().certs);
        all
    }
}

/// What TLS said, and the key that cures a certificate whose issuer nobody trusts.
pub fn hinted(said: &str, key: &str) -> String {
    if said.contains("UnknownIssuer") {
        format!("{said}; {key} names a file of certificates to trust")
    } else {
        said.to_owned()
    }
}
