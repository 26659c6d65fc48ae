//! The runbooks of the alerts in `deploy/prometheus`, served beside the metrics: an alert's `runbook_url` leads to the sensor that
//! it is about, needs no other network, and is of that sensor's version.

use std::fmt::Write as _;

macro_rules! pages {
    ($($name:ident)*) => {
        /// Name of the alert, and its page (Markdown), by name.
        pub const RUNBOOKS: &[(&str, &str)] = &[$((
            stringify!($name),
            include_str!(concat!("../../../docs/runbooks/", stringify!($name), ".md")),
        )),*];
    };
}

pages! {
    AnomalyDetectAbsent
    AnomalyDetectAlertsWithheld
    AnomalyDetectAnomalyRateHigh
    AnomalyDetectCalibrationOff
    AnomalyDetectCaptureFallback
    AnomalyDetectChallengersRefused
    AnomalyDetectConfigRefused
    AnomalyDetectContextFull
    AnomalyDetectDown
    AnomalyDetectEpochsLate
    AnomalyDetectEvidenceNotWritten
    AnomalyDetectFlowTableFull
    AnomalyDetectFlowTablePressed
    AnomalyDetectFlowsCutShort
    AnomalyDetectIncident
    AnomalyDetectIncidentsForgotten
    AnomalyDetectKernelTablesFull
    AnomalyDetectLogRowsLost
    AnomalyDetectMemoryNotSaved
    AnomalyDetectModelDrift
    AnomalyDetectModelLoadRefused
    AnomalyDetectModelRolledBack
    AnomalyDetectNoTraffic
    AnomalyDetectPacketsLost
    AnomalyDetectPacketsMalformed
    AnomalyDetectPacketsUnaccounted
    AnomalyDetectRestarting
    AnomalyDetectSeriesRefused
    AnomalyDetectSinkBehind
    AnomalyDetectSinkDown
    AnomalyDetectSinkLosing
    AnomalyDetectSinkRefused
    AnomalyDetectStalled
    AnomalyDetectStillLearning
    AnomalyDetectVerdictsSlow
}

/// The page of an alert; its name may end with `.md`, as the links between pages do.
pub(super) fn page(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(".md").unwrap_or(name);
    RUNBOOKS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, page)| *page)
}

/// A page that leads to all of them (HTML).
pub(super) fn index() -> String {
    let mut page = String::from(
        "<!doctype html><title>Runbooks of anomaly-detect</title><h1>Runbooks</h1><ul>",
    );
    for (name, _) in RUNBOOKS {
        let _ = write!(page, "<li><a href=\"/runbooks/{name}\">{name}</a>");
    }
    page
}
