//! Sections `eve` and `ecs`: JSON, one line for each event, to a file, a socket or standard output.

use std::path::PathBuf;

use super::{ConfigError, Layers};

/// One form of JSON, and where it goes. Every place that is given gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Incidents.
    pub alert: bool,
    /// Anomalous flows.
    pub anomaly: bool,
    /// All flows.
    pub flow: bool,
    /// File.
    pub file: Option<PathBuf>,
    /// Bytes at which the file is rotated; 0 for never.
    pub rotate_bytes: u64,
    /// Files kept beside it.
    pub rotate_files: usize,
    /// Standard output.
    pub stdout: bool,
    /// Unix socket.
    pub socket: Option<PathBuf>,
    /// Whether that is a stream, or datagrams.
    pub is_stream: bool,
}

/// Keys of one section.
struct Names {
    events: &'static str,
    file: &'static str,
    rotate_bytes: &'static str,
    rotate_files: &'static str,
    stdout: &'static str,
    socket: &'static str,
    socket_type: &'static str,
}

impl Lines {
    pub(super) fn eve(layers: &Layers) -> Result<Self, ConfigError> {
        Self::from_layers(
            layers,
            &Names {
                events: "eve.events",
                file: "eve.file",
                rotate_bytes: "eve.rotate_bytes",
                rotate_files: "eve.rotate_files",
                stdout: "eve.stdout",
                socket: "eve.socket",
                socket_type: "eve.socket_type",
            },
        )
    }

    pub(super) fn ecs(layers: &Layers) -> Result<Self, ConfigError> {
        Self::from_layers(
            layers,
            &Names {
                events: "ecs.events",
                file: "ecs.file",
                rotate_bytes: "ecs.rotate_bytes",
                rotate_files: "ecs.rotate_files",
                stdout: "ecs.stdout",
                socket: "ecs.socket",
                socket_type: "ecs.socket_type",
            },
        )
    }

    fn from_layers(layers: &Layers, names: &Names) -> Result<Self, ConfigError> {
        let events = layers.list(names.events)?;
        let known = ["alert", "anomaly", "flow"];
        if let Some(unknown) = events.iter().find(|one| !known.contains(&one.as_str())) {
            let what = format!("`{unknown}` is none of {}", known.join(", "));
            return layers.refused(names.events, what);
        }
        let has = |name: &str| events.iter().any(|event| event == name);
        let path = |key| {
            let text = layers.text(key)?;
            Ok((!text.is_empty()).then(|| text.into()))
        };
        Ok(Self {
            alert: has("alert"),
            anomaly: has("anomaly"),
            flow: has("flow"),
            file: path(names.file)?,
            rotate_bytes: layers.integer(names.rotate_bytes, 0, 1 << 44)? as u64,
            rotate_files: layers.integer(names.rotate_files, 0, 10_000)? as usize,
            stdout: layers.flag_of(names.stdout)?,
            socket: path(names.socket)?,
            is_stream: layers.choice(names.socket_type, &[("stream", true), ("dgram", false)])?,
        })
    }
}
