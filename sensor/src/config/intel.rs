//! Section `intel`.

use std::{path::PathBuf, time::Duration};

use super::{ConfigError, Layers};

/// Section `intel`: local lists of what somebody holds to be bad.
#[derive(Clone, Debug, PartialEq)]
pub struct Intel {
    /// Lists: files, or folders of MISP events.
    pub lists: Vec<PathBuf>,
    /// Lists of what never matches.
    pub allow_lists: Vec<PathBuf>,
    /// Our own addresses and prefixes, each as it was written: entries that cover them are refused.
    pub own: Vec<String>,
    /// Whether entries of private and reserved space are taken too.
    pub accept_reserved: bool,
    /// Time between two looks at whether lists changed.
    pub check_every: Duration,
    /// Entries held at most.
    pub max_entries: usize,
    /// Longest list read, bytes, decompressed.
    pub max_bytes: u64,
}

impl Intel {
    /// Checks the merged layers.
    ///
    /// # Errors
    /// The first value that is not what its key wants.
    pub(super) fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let paths = |key| -> Result<Vec<PathBuf>, ConfigError> {
            Ok(layers.list(key)?.into_iter().map(PathBuf::from).collect())
        };
        let own = layers.list("intel.own")?;
        if let Some(wrong) = own.iter().find(|text| !is_prefix(text)) {
            return layers.refused(
                "intel.own",
                format!("`{wrong}` is no address and no prefix; write for example 203.0.113.0/24"),
            );
        }
        Ok(Self {
            lists: paths("intel.lists")?,
            allow_lists: paths("intel.allow_lists")?,
            own,
            accept_reserved: layers.flag_of("intel.accept_reserved")?,
            check_every: layers
                .duration("intel.check_every")?
                .unwrap_or(Duration::from_secs(10)),
            max_entries: layers.integer("intel.max_entries", 1, 1 << 26)? as usize,
            max_bytes: layers.integer("intel.max_bytes", 1, 1 << 36)? as u64,
        })
    }
}

fn is_prefix(text: &str) -> bool {
    let (address, length) = text
        .split_once('/')
        .map_or((text, None), |(address, length)| {
            (address, Some(length.parse::<u8>().unwrap_or(u8::MAX)))
        });
    let Ok(address) = address.parse::<std::net::IpAddr>() else {
        return false;
    };
    length.is_none_or(|length| length <= if address.is_ipv4() { 32 } else { 128 })
}
