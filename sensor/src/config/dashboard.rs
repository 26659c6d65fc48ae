//! Section `dashboard`.

use std::{net::SocketAddr, path::PathBuf};

use super::{ConfigError, Layers};

/// Where the dashboard is served, and to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Dashboard {
    /// Address; `None` serves none.
    pub listen: Option<SocketAddr>,
    /// File with the token that is asked for.
    pub token_file: Option<PathBuf>,
    /// Names under which it is reached.
    pub hosts: Vec<String>,
}

impl Dashboard {
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let file = layers.text("dashboard.token_file")?;
        Ok(Self {
            listen: layers.address("dashboard.listen")?,
            token_file: (!file.is_empty()).then(|| file.into()),
            hosts: layers.list("dashboard.hosts")?,
        })
    }
}
