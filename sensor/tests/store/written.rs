//! What is told arrives.

use sensor::{
    score::{BudgetSettings, HostMatch},
    sink::store::{FlowFilter, HostFilter, HostOrder, IncidentFilter, Reader, State},
};

use super::{
    made::{DAY, SECOND, START},
    sensor::{Sensor, until},
};

#[test]
fn ten_thousand_repeats_are_one_incident_with_their_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let mut sensor = Sensor::start(&path, &BudgetSettings::default());
    let mut told = 0;
    for at in 0..1_000 {
        told += sensor.see(&[7; 10], START + at * SECOND, 1e-6).len();
    }
    sensor.keeping.end();
    let reader = Reader::open(&path).expect("a store");
    let found = reader
        .incidents(&IncidentFilter::default())
        .expect("incidents");
    let [entry] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!((entry.alert.count, entry.state), (10_000, State::Open));
    // Ten, forty, ... 2,560, and when it becomes graver: a handful for ten thousand.
    assert!((5..=12).contains(&entry.told), "told {} times", entry.told);
    assert_eq!(entry.told, told as u64);
    let life = reader.events(&entry.alert.id).expect("a life");
    assert_eq!(life.len() as u64, entry.told);
    // Each flow counts in the profiles, those that are kept are found by the incident.
    let hosts = reader
        .hosts(&HostFilter {
            order: HostOrder::Flows,
            ..HostFilter::default()
        })
        .expect("hosts");
    let flows: Vec<(&str, u64, u64)> = hosts
        .iter()
        .map(|host| (&*host.host, host.flows, host.incidents))
        .collect();
    assert_eq!(flows, [("10.0.0.1", 10_000, 0), ("10.0.0.7", 10_000, 1)]);
    let profile = reader.host("10.0.0.7").expect("read").expect("known");
    assert_eq!(profile.entry.peers, 1);
    assert_eq!(profile.uses, [("tcp/443".to_owned(), 10_000)]);
    assert!(profile.offers.is_empty());
    let of = FlowFilter {
        incident: Some(entry.alert.id.clone()),
        limit: 20_000,
        ..FlowFilter::default()
    };
    assert_eq!(reader.flow_count(&of, 20_000).expect("counted"), 10_000);
    let twice = reader.flows(&of).expect("flows");
    let mut ids: Vec<_> = twice.iter().map(|flow| flow.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 10_000, "no flow is answered twice");
    let other = FlowFilter {
        host: HostMatch::parse("10.0.0.8").ok(),
        ..FlowFilter::default()
    };
    assert_eq!(reader.flow_count(&other, 10).expect("counted"), 0);
}

/// A prefix that holds both sides of a flow finds it once, in every order and window.
#[test]
fn windows_of_a_search_lie_side_by_side() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let mut sensor = Sensor::start(&path, &BudgetSettings::default());
    for at in 0..50 {
        sensor.see(
            &[at as u32 % 5 + 2],
            START + at * SECOND,
            1e-3 / (at + 1) as f64,
        );
    }
    sensor.keeping.end();
    let reader = Reader::open(&path).expect("a store");
    for text in ["10.0.0.0/8", "10.0.0.3", "10.0.0.1"] {
        let host = HostMatch::parse(text).ok();
        let all = FlowFilter {
            host: host.clone(),
            limit: 1_000,
            ..FlowFilter::default()
        };
        let whole = reader.flows(&all).expect("flows");
        assert!(whole.is_sorted_by(|a, b| a.p_value <= b.p_value));
        assert_eq!(whole.len(), if text.ends_with('3') { 10 } else { 50 });
        let mut pieces = Vec::new();
        for offset in (0..60).step_by(7) {
            let window = FlowFilter {
                limit: 7,
                offset,
                ..all.clone()
            };
            pieces.extend(reader.flows(&window).expect("flows"));
        }
        assert_eq!(pieces, whole, "{text}");
    }
}

/// What an ended sensor left going on is over when the next one starts, and the gap between them is known.
#[test]
fn the_next_sensor_goes_on_with_the_same_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let mut first = Sensor::start(&path, &BudgetSettings::default());
    first.see(&[7], START, 1e-6);
    first.keeping.end();
    let mut second = Sensor::start(&path, &BudgetSettings::default());
    second.see(&[7], START + DAY, 1e-6);
    let entries = until(&path, |reader| {
        let entries = reader.incidents(&IncidentFilter::default()).ok()?;
        (entries.len() == 2).then_some(entries)
    });
    let over: Vec<bool> = entries.iter().map(|entry| entry.over).collect();
    assert_eq!(over, [false, true]);
    second.keeping.end();
    let reader = Reader::open(&path).expect("a store");
    let gaps = reader.gaps(0).expect("gaps");
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0][0] < gaps[0][1]);
}
