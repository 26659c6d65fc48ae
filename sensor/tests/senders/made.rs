//! Alerts, flows, certificates and sections for tests.

use std::{fs, path::Path, sync::Arc};

use sensor::{
    config::{Config, Layers},
    features::COUNT,
    flow::{FlowEndReason, FlowRecord},
    score::{Severity, Stage},
    sink::{
        alert::{Alert, Seen, Source, Technique, Why, WorstFlow},
        message::{EndedFlow, Message},
    },
};
use sensor_ebpf::flow::{FlowCounters, FlowKey};

pub(crate) const BEGIN: u64 = 1_767_600_000_000_000_000;

/// A port scan.
pub(crate) fn alert(number: u64) -> Alert {
    Alert {
        id: format!("{number:016x}"),
        stage: Stage::New,
        source: Source::Flows,
        kind: "port scan (vertical)".to_owned(),
        severity: Severity::Critical,
        host: "10.0.0.99".to_owned(),
        role: "actor".to_owned(),
        sentence: "10.0.0.99 tried 812 ports on 10.0.0.1 in 60 s; usual for this host: at most 6"
            .to_owned(),
        techniques: vec![Technique {
            id: "T1046".to_owned(),
            name: "Network Service Discovery".to_owned(),
        }],
        p_value: Some(1.2e-11),
        evidence: 10.9,
        first_ns: BEGIN,
        last_ns: BEGIN + 63_000_000_000,
        count: 812,
        anomalous: 600,
        failed: 790,
        packets: 1634,
        sent_bytes: 0,
        received_bytes: 5120,
        peers: Seen {
            distinct: 1,
            exact: true,
            top: vec![("10.0.0.1".to_owned(), 812)],
        },
        ports: Seen {
            distinct: 812,
            exact: true,
            top: vec![("22".to_owned(), 3)],
        },
        protocol: 6,
        flow: Some(WorstFlow {
            id: "050054f125279a28".to_owned(),
            community_id: "1:Rzxbay2Tce7oerZt5LxOW0FY//A=".to_owned(),
            src_ip: [10, 0, 0, 99].into(),
            src_port: 50_000,
            dst_ip: [10, 0, 0, 1].into(),
            dst_port: 22,
            protocol: 6,
            start_ns: BEGIN,
            end_ns: BEGIN + 50_000,
            packets: [1, 1],
            bytes: [40, 40],
            score: 0.71,
            p_value: 1e-5,
            reasons: vec![Why {
                feature: "src_ports_60s".to_owned(),
                value: Some(812.0),
                weight: Some(0.4),
                low: Some(1.0),
                median: Some(1.0),
                high: Some(6.0),
                words: "812 ports tried by the source in 60 s (ordinary: 1 to 6)".to_owned(),
            }],
        }),
        bundle: None,
        model: "ab12cd34".to_owned(),
        coverage: 1.0,
        intel: Vec::new(),
    }
}

/// The same with a hostile text wherever the outside can put one.
pub(crate) fn hostile(text: &str) -> Alert {
    let own = || text.to_owned();
    let mut alert = Alert {
        host: own(),
        role: own(),
        kind: own(),
        sentence: own(),
        model: own(),
        ..alert(7)
    };
    alert.techniques[0].name = own();
    alert
}

pub(crate) fn message(alert: Alert) -> Message {
    Message::Alert(Arc::new(alert))
}

/// Flows that ended.
pub(crate) fn flows(number: u64) -> Message {
    let flow = |id| EndedFlow {
        record: FlowRecord {
            id,
            key: FlowKey {
                addresses: [[0; 16]; 2],
                ports: [0; 2],
                later_fragment: 0,
                protocol: 17,
                series: 0,
            },
            originator: 0,
            counters: FlowCounters::EMPTY,
            end: Some(FlowEndReason::ForcedEnd),
            checkpoint: 0,
            due: 0,
        },
        row: [f32::NAN; COUNT],
        verdict: None,
    };
    Message::Flows(Arc::new((0..number).map(flow).collect()))
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
