//! Section `resources`.

use std::time::Duration;

use super::{ConfigError, Layers};

/// Section `resources`: what the box itself does.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// Whether processor, memory, disk and network of the box are watched (Linux).
    pub enabled: bool,
    /// How far beyond what is usual a spike begins, in robust standard deviations.
    pub deviations: f64,
    /// How long it must last to be told.
    pub hold: Duration,
    /// How much of the past is what is usual.
    pub window: Duration,
    /// Least rise of processor and memory use that counts, as a share of the whole.
    pub least_share: f64,
    /// Least rate of disk reads and network traffic that counts, bytes a second.
    pub least_bytes: u64,
}

impl Resources {
    /// Checks the merged layers.
    ///
    /// # Errors
    /// The first value that is not what its key wants.
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let span = |key, least: u64, most: u64| -> Result<Duration, ConfigError> {
            let span = layers.duration(key)?.unwrap_or(Duration::ZERO);
            if (least..=most).contains(&span.as_secs()) {
                Ok(span)
            } else {
                layers.refused(key, format!("not within {least} s to {most} s"))
            }
        };
        Ok(Self {
            enabled: layers.flag_of("resources.enabled")?,
            deviations: layers.float("resources.deviations", 2.0, 1000.0)?,
            hold: span("resources.hold", 1, 3600)?,
            window: span("resources.window", 60, 7200)?,
            least_share: layers.float("resources.least_share", 0.0, 1.0)?,
            least_bytes: layers.integer("resources.least_bytes", 1, 1 << 50)? as u64,
        })
    }
}
