//! An incident for trying what alerts go through: in documentation, in tests, and by `sinks test`.

use super::{Alert, Seen, Source, Technique, Why, WorstFlow};
use crate::score::Severity;

/// First packet of the made-up scan, 2026-01-05T08:00:00Z.
const BEGIN: u64 = 1_767_600_000_000_000_000;

/// A made-up port scan in which every field is set but its evidence and what lists say; this number is its id.
/// Its addresses are those kept for documentation (RFC 5737).
pub fn example(number: u64) -> Alert {
    Alert {
        kind: "port scan (vertical)".to_owned(),
        severity: Severity::Critical,
        role: "actor".to_owned(),
        sentence: "192.0.2.99 tried 812 ports on 192.0.2.1 in 60 s; usual for this host: at most 6"
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
            top: vec![("192.0.2.1".to_owned(), 812)],
        },
        ports: Seen {
            distinct: 812,
            exact: true,
            top: vec![
                ("22".to_owned(), 3),
                ("80".to_owned(), 2),
                ("443".to_owned(), 2),
            ],
        },
        protocol: 6,
        flow: Some(WorstFlow {
            id: "050054f125279a28".to_owned(),
            community_id: "1:Rzxbay2Tce7oerZt5LxOW0FY//A=".to_owned(),
            src_ip: [192, 0, 2, 99].into(),
            src_port: 50_000,
            dst_ip: [192, 0, 2, 1].into(),
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
        model: "ab12cd34".to_owned(),
        ..Alert::of(
            Source::Flows,
            format!("{number:016x}"),
            "192.0.2.99".to_owned(),
        )
    }
}
