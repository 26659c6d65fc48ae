//! Section `store`: what is kept of incidents, flows and hosts, and for how long.

use std::{path::PathBuf, time::Duration};

use super::{ConfigError, Layers};

/// Section `store`.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Whether there is one.
    pub enabled: bool,
    /// Its file; nothing for the one in the folder of outputs.
    pub path: Option<PathBuf>,
    /// Flows at most as likely are kept.
    pub flow_share: f64,
    /// Flows that score as high are kept; nothing asks only for the share.
    pub flow_score: Option<f64>,
    /// Flows kept of a second of traffic, over a minute.
    pub flows_per_second: u32,
    /// Flows at most.
    pub max_flows: u64,
    /// Age of a flow at most; nothing for any.
    pub max_flow_age: Option<Duration>,
    /// Incidents at most.
    pub max_incidents: u64,
    /// Age of incidents and sums at most; nothing for any.
    pub max_age: Option<Duration>,
    /// Hosts at most.
    pub max_hosts: u64,
    /// Bytes of the file at most.
    pub max_bytes: u64,
}

impl Store {
    /// Checks the merged layers.
    ///
    /// # Errors
    /// The first value that is not what its key wants.
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let path = layers.text("store.path")?;
        let score = layers.float("store.flow_score", 0.0, 1.0)?;
        Ok(Self {
            enabled: layers.flag_of("store.enabled")?,
            path: (!path.is_empty()).then(|| path.into()),
            flow_share: layers.float("store.flow_share", 0.0, 1.0)?,
            flow_score: (score > 0.0).then_some(score),
            flows_per_second: layers.integer("store.flows_per_second", 1, 1_000_000)? as u32,
            max_flows: layers.integer("store.max_flows", 1000, 1 << 40)? as u64,
            max_flow_age: layers.duration("store.max_flow_age")?,
            max_incidents: layers.integer("store.max_incidents", 100, 10_000_000)? as u64,
            max_age: layers.duration("store.max_age")?,
            max_hosts: layers.integer("store.max_hosts", 100, 10_000_000)? as u64,
            max_bytes: layers.integer("store.max_bytes", 1 << 20, 1 << 50)? as u64,
        })
    }
}
