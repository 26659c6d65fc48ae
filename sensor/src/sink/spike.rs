//! Spikes of the sensor's own machine, as incidents.

use super::alert::{Alert, Source};
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
            stage: match spike.phase {
                Phase::New => Stage::New,
                Phase::Grown => Stage::Grown,
                Phase::Over | Phase::Usual => Stage::Over,
            },
            kind: spike.resource.kind().to_owned(),
            severity: Severity::of_evidence(evidence),
            role: "host".to_owned(),
            sentence: spike.sentence(),
            evidence,
            first_ns,
            last_ns,
            count: spike.seconds,
            // No two of one resource begin in one nanosecond.
            ..Self::of(
                Source::Resources,
                format!("{:016x}", first_ns << 2 | spike.resource as u64),
                host.to_owned(),
            )
        }
    }
}
