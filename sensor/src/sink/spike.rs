//! Spikes of the sensor's own machine, as incidents.

use super::alert::{Alert, Seen, Source};
use crate::{
    resources::{Phase, Spike},
    score::{Severity, Stage},
};

impl Alert {
    /// A spike on the machine of this name.
    pub fn of_spike(spike: &Spike, host: &str) -> Self {
        let [first_ns, last_ns] = spike.span_ns;
        let evidence = spike.evidence();
        Self {
            // No two of one resource begin in one nanosecond.
            id: format!("{:016x}", first_ns << 2 | spike.resource as u64),
            stage: match spike.phase {
                Phase::New => Stage::New,
                Phase::Grown => Stage::Grown,
                Phase::Over | Phase::Usual => Stage::Over,
            },
            source: Source::Resources,
            kind: spike.resource.kind().to_owned(),
            severity: Severity::of_evidence(evidence),
            host: host.to_owned(),
            role: "host".to_owned(),
            sentence: spike.sentence(),
            techniques: Vec::new(),
            p_value: None,
            evidence,
            first_ns,
            last_ns,
            count: spike.seconds,
            anomalous: 0,
            failed: 0,
            packets: 0,
            sent_bytes: 0,
            received_bytes: 0,
            peers: Seen::default(),
            ports: Seen::default(),
            protocol: 0,
            flow: None,
            bundle: None,
            model: String::new(),
            coverage: 1.0,
            intel: Vec::new(),
        }
    }
}
