//! Section `alerts`: what is told of incidents beside their budget.

use super::{AlertRate, ConfigError, Layers};
use crate::time::Weekly;

/// Section `alerts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// Incidents of one host to tell.
    pub per_host: Option<AlertRate>,
    /// Incidents of one kind to tell.
    pub per_kind: Option<AlertRate>,
    /// Hours in which nobody is told.
    pub maintenance: Vec<Weekly>,
}

impl Alerts {
    /// Checks the merged layers.
    ///
    /// # Errors
    /// The first value that is not what its key wants.
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let rate = |key| match AlertRate::optional(&layers.text(key)?) {
            Ok(rate) => Ok(rate),
            Err(what) => layers.refused(key, what),
        };
        let key = "alerts.maintenance";
        let windows = layers.list(key)?;
        let windows = windows.iter().map(|text| match Weekly::parse(text) {
            Ok(window) => Ok(window),
            Err(what) => layers.refused(key, what),
        });
        Ok(Self {
            per_host: rate("alerts.per_host")?,
            per_kind: rate("alerts.per_kind")?,
            maintenance: windows.collect::<Result<_, _>>()?,
        })
    }
}
