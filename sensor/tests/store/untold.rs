//! What the alert budget keeps back is stored, is listed for who asks for it, and moves nothing else out.

use std::sync::Arc;

use sensor::{
    score::{BudgetSettings, Rate, Severity},
    sink::{
        alert::{Alert, Stage, example},
        message::Message,
        store::{Actions, IncidentFilter, IncidentOrder, Limits, Reader, State},
    },
};

use super::{
    made::{DAY, SECOND, START},
    sensor::{Keeping, Sensor, until},
};

fn of(states: &[State]) -> IncidentFilter {
    IncidentFilter {
        states: states.to_vec(),
        limit: 10_000,
        ..IncidentFilter::default()
    }
}

fn hosts(reader: &Reader, states: &[State]) -> Vec<String> {
    let entries = reader.incidents(&of(states)).expect("incidents");
    let mut hosts: Vec<String> = entries.into_iter().map(|entry| entry.alert.host).collect();
    hosts.sort();
    hosts
}

#[test]
fn what_finds_no_room_in_the_budget_is_there_for_who_looks() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let day = Rate {
        alerts: 10,
        period_ns: DAY,
    };
    let settings = BudgetSettings {
        shared: Some(day),
        ..BudgetSettings::default()
    };
    let mut sensor = Sensor::start(&path, &settings);
    let told = sensor.see(&(10..30).collect::<Vec<u32>>(), START, 1e-6);
    assert!((1..20).contains(&told.len()), "{told:?}");
    let untold = 20 - told.len();
    until(&path, |reader| {
        (hosts(reader, &[State::Untold]).len() == untold).then_some(())
    });
    let reader = Reader::open(&path).expect("a store");
    let mut expected: Vec<String> = told.iter().map(|(_, host)| host.clone()).collect();
    expected.sort();
    assert_eq!(hosts(&reader, &[]), expected, "a list says what was told");
    assert_eq!(hosts(&reader, &State::ALL).len(), 20);
    let tally = reader.tally(0).expect("read");
    let counted = tally.iter().filter(|one| one.state == State::Untold);
    assert_eq!(counted.map(|one| one.incidents).sum::<u64>(), untold as u64);
    let entries = reader.incidents(&of(&[State::Untold])).expect("incidents");
    assert!(entries.iter().all(|entry| entry.told == 0));

    // Somebody looks, and deals with one; another becomes so grave that it is told after all.
    let mut actions = Actions::open(&path).expect("a store");
    let ids = [entries[0].alert.id.clone()];
    actions.close(&ids, "somebody", "seen").expect("closed");
    let graver = entries[1].alert.host.clone();
    let number: u32 = graver
        .rsplit('.')
        .next()
        .expect("a part")
        .parse()
        .expect("a number");
    let told = sensor.see(&[number; 400], START + 4 * SECOND, 1e-15);
    assert_eq!(told, [(true, graver.clone())], "critical: there is room");
    until(&path, |reader| {
        (hosts(reader, &[State::Untold]).len() == untold - 2
            && hosts(reader, &[State::Open]).contains(&graver))
        .then_some(())
    });
    assert_eq!(
        hosts(&reader, &[State::Closed]),
        [entries[0].alert.host.clone()]
    );
}

fn alert(number: u64, stage: Stage) -> Alert {
    Alert {
        stage,
        severity: Severity::Low,
        host: format!("10.1.{}.{}", number / 250, number % 250),
        first_ns: START + number * SECOND,
        last_ns: START + number * SECOND,
        flow: None,
        ..example(number)
    }
}

/// However many come, they have a quarter of the room, and the older ones leave: what was told stays.
#[test]
fn a_flood_of_them_is_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let mut keeping = Keeping::within(
        &path,
        Limits {
            incidents: 200,
            ..Limits::default()
        },
    );
    for number in 0..150 {
        keeping.tell(Message::Alert(Arc::new(alert(number, Stage::New))));
    }
    for number in 1000..4000 {
        keeping.tell(Message::Alert(Arc::new(alert(number, Stage::Untold))));
    }
    keeping.end();
    let reader = Reader::open(&path).expect("a store");
    assert_eq!(hosts(&reader, &[State::Open]).len(), 150);
    let newest = IncidentFilter {
        order: IncidentOrder::Last,
        ..of(&[State::Untold])
    };
    let kept = reader.incidents(&newest).expect("incidents");
    assert_eq!(kept.len(), 50);
    assert_eq!(kept[0].alert.id, format!("{:016x}", 3999));
    assert_eq!(kept[49].alert.id, format!("{:016x}", 3950));
}
