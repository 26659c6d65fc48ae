//! What people do is heeded: by what is stored, by a sensor that goes on, and by its budget.

use std::time::Instant;

use sensor::{
    score::{BudgetSettings, HostMatch, Rate},
    sink::store::{Actions, IncidentFilter, NewSuppression, Reader, State},
};

use super::{
    made::{DAY, SECOND, START},
    sensor::{Sensor, until},
};

fn state_of(reader: &Reader, host: &str) -> Option<State> {
    let wanted = IncidentFilter {
        host: HostMatch::parse(host).ok(),
        ..IncidentFilter::default()
    };
    let entries = reader.incidents(&wanted).expect("incidents");
    entries.first().map(|entry| entry.state)
}

fn suppression(host: &str) -> NewSuppression {
    NewSuppression {
        host: HostMatch::parse(host).ok(),
        reason: "a test".to_owned(),
        by: "somebody".to_owned(),
        ..NewSuppression::default()
    }
}

#[test]
fn a_suppression_of_another_process_is_heeded_and_can_be_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let mut sensor = Sensor::start(&path, &BudgetSettings::default());
    assert_eq!(sensor.see(&[7], START, 1e-6).len(), 1);
    until(&path, |reader| state_of(reader, "10.0.0.7"));
    // A connection of its own, as a command or the dashboard has it.
    let mut actions = Actions::open(&path).expect("a store");
    let made = actions.suppress(&suppression("10.0.0.0/29")).expect("made");
    assert_eq!(made.incidents, 1, "what is stored is suppressed, too");
    let began = Instant::now();
    while sensor.keeping.board.get().mutes.is_empty() {
        assert!(began.elapsed().as_secs() < 60, "the sensor did not notice");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    println!("a sensor noticed after {:?}", began.elapsed());
    // Neither a new incident inside the prefix nor the growth of the one that was told is told; one outside is.
    assert!(sensor.see(&[6; 10], START + SECOND, 1e-6).is_empty());
    assert!(sensor.see(&[7; 100], START + SECOND, 1e-6).is_empty());
    assert_eq!(
        sensor.see(&[9], START + SECOND, 1e-6),
        [(true, "10.0.0.9".to_owned())]
    );
    until(&path, |reader| {
        let states = ["10.0.0.6", "10.0.0.7", "10.0.0.9"].map(|host| state_of(reader, host));
        (states
            == [
                Some(State::Suppressed),
                Some(State::Suppressed),
                Some(State::Open),
            ])
        .then_some(())
    });
    let reader = Reader::open(&path).expect("a store");
    assert_eq!(reader.suppressions(false).expect("read")[0].incidents, 2);
    // Taken back: both are open, and the one that nobody was told of is told now.
    assert_eq!(actions.unsuppress(made.id, "somebody").expect("removed"), 2);
    assert_eq!(state_of(&reader, "10.0.0.6"), Some(State::Open));
    let began = Instant::now();
    while !sensor.keeping.board.get().mutes.is_empty() {
        assert!(began.elapsed().as_secs() < 60, "the sensor did not notice");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    assert_eq!(
        sensor.turn(START + 3 * SECOND),
        [(true, "10.0.0.6".to_owned())]
    );
    assert!(
        actions.unsuppress(made.id, "somebody").is_err(),
        "it is gone"
    );
}

#[test]
fn what_somebody_deals_with_is_told_again_only_if_it_becomes_graver() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let mut sensor = Sensor::start(&path, &BudgetSettings::default());
    sensor.see(&[7], START, 1e-4);
    let id = until(&path, |reader| {
        let entries = reader.incidents(&IncidentFilter::default()).ok()?;
        entries.first().map(|entry| entry.alert.id.clone())
    });
    let mut actions = Actions::open(&path).expect("a store");
    assert_eq!(
        actions
            .acknowledge(std::slice::from_ref(&id), "somebody", "I know")
            .expect("done"),
        1
    );
    assert_eq!(
        actions
            .acknowledge(std::slice::from_ref(&id), "somebody", "")
            .expect("done"),
        0
    );
    actions
        .close(&["0123456789abcdef".to_owned()], "somebody", "")
        .expect_err("no such incident");
    until(&path, |_| {
        sensor
            .keeping
            .board
            .get()
            .handled
            .contains_key(&id)
            .then_some(())
    });
    // Fourfold and fourfold again, as grave as before: quiet.
    for at in 1..6 {
        let told = sensor.see(&[7; 4], START + at * SECOND, 1e-4);
        assert!(told.is_empty(), "{told:?}");
    }
    // Far rarer: graver.
    let told = sensor.see(&[7; 40], START + 9 * SECOND, 1e-9);
    assert_eq!(told, [(false, "10.0.0.7".to_owned())]);
    until(&path, |reader| {
        let entry = reader.incident(&id).ok()??;
        (entry.state == State::Open && entry.alert.count == 61).then_some(())
    });
    let reader = Reader::open(&path).expect("a store");
    let life: Vec<String> = reader
        .events(&id)
        .expect("read")
        .into_iter()
        .map(|event| event.what)
        .collect();
    assert_eq!(
        life,
        [
            "told",
            "acknowledged",
            "open again: graver",
            "told again: graver"
        ]
    );
}

/// A budget of two a day is not spent on what is suppressed.
#[test]
fn what_is_suppressed_takes_nothing_from_the_budget() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let budget = BudgetSettings {
        shared: Some(Rate {
            alerts: 2,
            period_ns: DAY,
        }),
        ..BudgetSettings::default()
    };
    let mut sensor = Sensor::start(&path, &budget);
    let mut actions = Actions::open(&path).expect("a store");
    actions.suppress(&suppression("10.0.1.0/24")).expect("made");
    until(&path, |_| {
        (!sensor.keeping.board.get().mutes.is_empty()).then_some(())
    });
    for host in 0..50 {
        assert!(
            sensor
                .see(&[256 + host], START + u64::from(host) * SECOND, 1e-7)
                .is_empty()
        );
    }
    assert_eq!(sensor.budget.stats().muted, 50);
    let told = sensor.see(&[9], START + 60 * SECOND, 1e-6);
    assert_eq!(told, [(true, "10.0.0.9".to_owned())]);
}

/// One host that does a hundred things is told of as often as it may be, and does not crowd out another.
#[test]
fn a_host_has_a_rate_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let budget = BudgetSettings {
        by_host: Some(Rate {
            alerts: 2,
            period_ns: DAY,
        }),
        ..BudgetSettings::default()
    };
    let mut sensor = Sensor::start(&path, &budget);
    let (mut told, mut other) = (0, 0);
    // After half an hour of quiet it is another incident: two hundred in 4.4 days.
    for round in 0..200_u64 {
        let at = START + round * 1900 * SECOND;
        let new = sensor.see(&[7], at, 1e-6);
        told += new.iter().filter(|(new, _)| *new).count();
        if round % 40 == 0 {
            other += sensor.see(&[100 + round as u32], at + SECOND, 1e-6).len();
        }
    }
    assert!((6..=11).contains(&told), "{told} of one host at two a day");
    assert!(other >= 5, "others are told: {other} of 5");
    let mut other = 0;
    let budget = BudgetSettings {
        by_kind: Some(Rate {
            alerts: 4,
            period_ns: 3600 * SECOND,
        }),
        ..BudgetSettings::default()
    };
    let second = folder.path().join("second.sqlite");
    let mut sensor = Sensor::start(&second, &budget);
    for host in 0..100 {
        other += sensor
            .see(&[10 + host], START + u64::from(host), 1e-6)
            .len();
    }
    assert_eq!(
        other, 3,
        "four an hour, one of them kept for what is critical"
    );
    assert!(sensor.budget.stats().limited >= 90 && sensor.budget.waiting() > 0);
    // An hour later the strongest that waits is told.
    assert!(!sensor.turn(START + 3600 * SECOND).is_empty());
}
