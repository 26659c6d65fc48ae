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
    /// Longest wait.
    pub timeout: Duration,
}

impl Redis {
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let stream = layers.text("redis.stream")?;
        if stream.is_empty() {
            return layers.refused("redis.stream", "wants a key".to_owned());
        }
        Ok(Self {
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
