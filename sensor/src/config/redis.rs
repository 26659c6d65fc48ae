//! Section `redis`: a stream that a fleet writes to.

use std::{path::PathBuf, time::Duration};

use super::{ConfigError, Endpoint, Grade, Layers};

/// Section `redis`.
#[derive(Clone, Debug, PartialEq)]
pub struct Redis {
    /// The server; `None` for no stream.
    pub server: Option<Endpoint>,
    /// Account; empty for the default one.
    pub username: String,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// Number of the database.
    pub database: i64,
    /// Key of the stream.
    pub stream: String,
    /// Entries that the stream keeps, about.
    pub max_length: usize,
    /// Whether flows go there too.
    pub flows: bool,
    /// Least severity of alerts.
    pub min_severity: Grade,
    /// Whether the connection is one that nobody reads along.
    pub tls: bool,
    /// Authorities to trust instead of those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Certificate and key to show.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Longest wait.
    pub timeout: Duration,
}

impl Redis {
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let stream = layers.text("redis.stream")?;
        if stream.is_empty() {
            return layers.refused("redis.stream", "wants a key".to_owned());
        }
        let own = match (
            layers.file("redis.cert_file")?,
            layers.file("redis.key_file")?,
        ) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => {
                let what =
                    "a certificate and its key go together: redis.cert_file and redis.key_file";
                return layers.refused("redis.cert_file", what.to_owned());
            }
        };
        let (tls, ca_file) = (layers.flag_of("redis.tls")?, layers.file("redis.ca_file")?);
        if !tls && (ca_file.is_some() || own.is_some()) {
            return layers.refused(
                "redis.tls",
                "certificates are for TLS: set redis.tls = true".to_owned(),
            );
        }
        Ok(Self {
            tls,
            ca_file,
            own,
            server: layers.endpoint("redis.server", 6379)?,
            username: layers.text("redis.username")?,
            password_file: layers.file("redis.password_file")?,
            database: layers.integer("redis.database", 0, 65_535)?,
            stream,
            max_length: layers.integer("redis.max_length", 1, 1 << 40)? as usize,
            flows: layers.flag_of("redis.flows")?,
            min_severity: Grade::of(layers, "redis.min_severity")?,
            timeout: layers.wait("redis.timeout")?,
        })
    }
}
