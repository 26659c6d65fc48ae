//! What leaves the store, and what stays.

use std::sync::Arc;

use sensor::{
    score::{Mutes, Severity},
    sink::{
        alert::{Alert, Source},
        message::{EndedFlow, Message, Verdict},
        rollup::Rollup,
        store::{
            Actions, FileEntry, FlowEntry, FlowFilter, FlowOrder, Found, HostFilter,
            IncidentFilter, Limits, Profiles, Reader, State, Store,
        },
    },
};

use super::{
    made::{SECOND, START, record, unusual},
    sensor::Keeping,
};

fn flows(from: u64, count: u64) -> Message {
    let flow = |at: u64| {
        let scored = unusual(
            from + at,
            7 + (at % 50) as u32,
            START + (from + at) * SECOND,
            1e-6,
        );
        EndedFlow {
            record: scored.record.clone(),
            row: scored.row,
            verdict: Some(Verdict::from(&scored)),
            intel: Vec::new(),
        }
    };
    Message::Flows(Arc::new((0..count).map(flow).collect()))
}

fn newest_first(reader: &Reader) -> Vec<FlowEntry> {
    let wanted = FlowFilter {
        order: FlowOrder::Start,
        limit: 100_000,
        ..FlowFilter::default()
    };
    reader.flows(&wanted).expect("flows")
}

#[test]
fn the_oldest_flows_leave_by_number_by_age_and_by_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let mut all = Keeping::start(&path);
    for round in 0..10 {
        all.tell(flows(round * 1_000, 1_000));
    }
    all.end();
    let reader = Reader::open(&path).expect("a store");
    assert_eq!(reader.counts().expect("read").flows, 10_000);
    let full = reader.bytes().expect("read");
    drop(reader);
    // Each bound in turn, tighter than the one before; a writer keeps to it when it ends.
    let number = Limits {
        flows: 8_000,
        ..Limits::default()
    };
    let age = Limits {
        age_ns: 6_000 * SECOND,
        ..number
    };
    let bytes = Limits {
        bytes: full / 2,
        ..age
    };
    for (limits, least, most) in [
        (number, 8_000, 8_000),
        (age, 6_001, 6_001),
        (bytes, 1_000, 5_500),
    ] {
        Keeping::within(&path, limits).end();
        let reader = Reader::open(&path).expect("a store");
        let left = newest_first(&reader);
        assert!(
            (least..=most).contains(&left.len()),
            "{} are left",
            left.len()
        );
        // The newest stay, without a gap.
        let starts: Vec<u64> = left
            .iter()
            .map(|flow| (flow.start_ns - START) / SECOND)
            .collect();
        let newest: Vec<u64> = (0..10_000).rev().take(left.len()).collect();
        assert_eq!(starts, newest);
    }
    // Pages are given back once all that is on them left: some rounds later the file is within its bound.
    let within = (0..30).any(|_| {
        Keeping::within(&path, bytes).end();
        let reader = Reader::open(&path).expect("a store");
        reader.bytes().expect("read") <= full / 2
    });
    assert!(within, "the file is still beyond its bound");
}

fn alert(host: &str, last_ns: u64) -> Alert {
    Alert {
        kind: "beaconing".to_owned(),
        severity: Severity::High,
        evidence: 7.0,
        first_ns: START,
        last_ns,
        count: 1,
        ..Alert::of(Source::Flows, format!("{last_ns:016x}"), host.to_owned())
    }
}

/// A capture read again replaces what was found in it, counts its traffic once, and leaves what people did as it is.
#[test]
fn a_capture_read_again_is_the_same_capture() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let file = FileEntry {
        path: "monday.pcap".to_owned(),
        digest: "run:1".to_owned(),
        size_bytes: 1,
        offset_bytes: 1,
        records: 3,
        lost: 0,
        last_ns: START,
        model: "m".to_owned(),
    };
    for round in 0..2 {
        let (mut profiles, mut rollup) = (Profiles::new(), Rollup::new());
        let entries: Vec<FlowEntry> = (0..3)
            .map(|at| {
                let record = record(at, 7, 8, START + at);
                profiles.absorb(&record, Some((1e-6, true)));
                FlowEntry {
                    line: at + 1,
                    ..FlowEntry::from(&record)
                }
            })
            .collect();
        let incidents = [alert("10.0.0.7", START), alert("10.0.0.8", START + 1)];
        let mut store = Store::open(&path, Limits::default()).expect("a store");
        let found = Found {
            flows: &entries,
            incidents: &incidents,
            mutes: &Mutes::default(),
            profiles: &mut profiles,
            rollup: &mut rollup,
        };
        store.add_run(&file, found).expect("stored");
        drop(store);
        let reader = Reader::open(&path).expect("a store");
        let counts = reader.counts().expect("read");
        assert_eq!(
            (counts.files, counts.flows, counts.incidents, counts.hosts),
            (1, 3, 2, 2)
        );
        let hosts = reader.hosts(&HostFilter::default()).expect("hosts");
        assert!(
            hosts.iter().all(|host| host.flows == 3),
            "round {round}: {hosts:?}"
        );
        let entries = reader
            .incidents(&IncidentFilter::default())
            .expect("incidents");
        let told: Vec<(u64, bool)> = entries
            .iter()
            .map(|entry| (entry.told, entry.over))
            .collect();
        assert_eq!(told, [(1, true), (1, true)]);
        let states: Vec<State> = entries.iter().map(|entry| entry.state).collect();
        if round == 0 {
            assert_eq!(states, [State::Open, State::Open]);
            let ids = [entries[0].alert.id.clone()];
            Actions::open(&path)
                .expect("a store")
                .close(&ids, "ada", "")
                .expect("closed");
        } else {
            assert_eq!(states, [State::Closed, State::Open]);
        }
    }
}
