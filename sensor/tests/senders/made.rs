//! Alerts, flows, certificates and sections for tests.

use std::{fs, path::Path, sync::Arc};

use sensor::{
    config::{Config, Layers},
    sink::{
        alert::{Alert, example},
        message::{EndedFlow, Message},
    },
};

/// The same with a hostile text wherever the outside can put one.
pub(crate) fn hostile(text: &str) -> Alert {
    let own = || text.to_owned();
    let mut alert = Alert {
        host: own(),
        role: own(),
        kind: own(),
        sentence: own(),
        model: own(),
        ..example(7)
    };
    alert.techniques[0].name = own();
    alert
}

pub(crate) fn message(alert: Alert) -> Message {
    Message::Alert(Arc::new(alert))
}

/// Flows that ended.
pub(crate) fn flows(number: u64) -> Message {
    Message::Flows(Arc::new((0..number).map(EndedFlow::empty).collect()))
}

/// A configuration of these keys.
pub(crate) fn config(settings: &[(&str, &str)]) -> Config {
    let mut layers = Layers::default();
    for (key, value) in settings {
        layers.flag(key, value, "--set").expect("a key");
    }
    Config::from_layers(&layers).expect("a configuration")
}

/// Puts `cert.pem` and `key.pem` for this machine into a folder (see tls/README.md).
pub(crate) fn certificate(folder: &Path) {
    for (name, text) in [
        ("cert.pem", include_str!("tls/cert.pem")),
        ("key.pem", include_str!("tls/key.pem")),
    ] {
        fs::write(folder.join(name), text).expect("a file");
    }
}

/// Writes a secret and answers where.
pub(crate) fn secret(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path.display().to_string()
}
