//! Incidents for tests of sinks.

use std::sync::Arc;

use sensor::{
    score::Severity,
    sink::{
        alert::{Alert, example},
        message::Message,
    },
};

/// An incident with this number as its id.
pub(crate) fn alert(number: u64) -> Message {
    Message::Alert(Arc::new(incident(number)))
}

pub(crate) fn incident(number: u64) -> Alert {
    Alert {
        severity: Severity::High,
        sentence: "192.0.2.99 tried 200 ports of \"192.0.2.1\" in 4 s".to_owned(),
        first_ns: 1_700_000_000_000_000_000,
        last_ns: 1_700_000_004_250_000_000,
        flow: None,
        ..example(number)
    }
}
