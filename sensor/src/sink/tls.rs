//! TLS of sinks that hold a connection: whom they trust, and what they show of themselves.

use std::{
    io,
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file with certificates or a key.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A host that is neither a name nor an address.
    #[error("`{0}` is no name of a host")]
    Host(String),
    /// Certificate and key do not fit, or TLS itself does not start.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// TLS to one host.
#[derive(Clone, Debug)]
pub struct Secured {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Secured {
    /// Trusts the authorities in a file (PEM), or those of this machine; shows a certificate of its own where there is one.
    ///
    /// # Errors
    /// A file that cannot be read or has nothing in it, a key that does not fit.
    pub fn new(
        host: &str,
        authorities: Option<&Path>,
        own: Option<(&Path, &Path)>,
    ) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        match authorities {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
            }
            None => {
                for certificate in rustls_native_certs::load_native_certs().certs {
                    // One that cannot be used is not trusted.
                    let _ = roots.add(certificate);
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
                    path: key.to_owned(),
                    what: error.to_string(),
                })?;
                builder.with_client_auth_cert(certificates(certificate)?, key)?
            }
        };
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Host(host.to_owned()))?;
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }
}

impl Secured {
    /// A session over a connection; the handshake is made with the first bytes.
    pub(super) fn over(
        &self,
        socket: TcpStream,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(io::Error::other)?;
        Ok(StreamOwned::new(session, socket))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fault = |what: String| TlsError::File {
        path: path.to_owned(),
        what,
    };
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(error.to_string()))?;
    if found.is_empty() {
        return Err(fault("no certificate in it; PEM is wanted".to_owned()));
    }
    Ok(found)
}
