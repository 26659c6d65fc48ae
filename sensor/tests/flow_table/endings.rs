//! The ways in which a flow ends, and when it is due while it lives.

use sensor::flow::{FlowEndReason, Settings};

use crate::traffic::{Event, address, epochs, run};

const TCP_SYN: u8 = 0x02;
const TCP_SYN_ACK: u8 = 0x12;
const TCP_ACK: u8 = 0x10;
const TCP_FIN_ACK: u8 = 0x11;
const TCP_RST: u8 = 0x04;

fn step(pause_ms: u64, answer: bool, flags: u8) -> Event {
    Event {
        pause: pause_ms * 1_000_000,
        host: 1,
        port: 1,
        answer,
        flags,
        length: 40,
        cpu: 0,
    }
}

fn finals(settings: &Settings, events: &[Event]) -> Vec<(FlowEndReason, u64, &'static str)> {
    run(settings, &epochs(events, |_| {}))
        .iter()
        .filter_map(|record| {
            Some((
                record.end?,
                record.counters.packets(),
                record.conn_state().name(),
            ))
        })
        .collect()
}

fn quiet() -> Settings {
    Settings {
        checkpoints: false,
        ..Settings::default()
    }
}

#[test]
fn each_way_of_ending_has_its_reason() {
    use FlowEndReason::{ActiveTimeout, EndOfFlow, ForcedEnd, IdleTimeout};
    let handshake = [
        step(0, false, TCP_SYN),
        step(1, true, TCP_SYN_ACK),
        step(1, false, TCP_ACK),
    ];
    let with = |more: &[Event]| [&handshake[..], more].concat();

    let closed = with(&[
        step(1, false, TCP_FIN_ACK),
        step(1, true, TCP_FIN_ACK),
        step(9_000, false, TCP_SYN),
    ]);
    assert_eq!(
        finals(&quiet(), &closed),
        [(EndOfFlow, 5, "SF"), (ForcedEnd, 1, "S0")]
    );

    // The port is used again before the linger is over.
    let reused = with(&[step(1, true, TCP_RST), step(1_000, false, TCP_SYN)]);
    assert_eq!(
        finals(&quiet(), &reused),
        [(EndOfFlow, 4, "RSTR"), (ForcedEnd, 1, "S0")]
    );

    // A straggler within the linger belongs to the closed flow.
    let straggler = with(&[step(1, true, TCP_RST), step(1_000, false, TCP_ACK)]);
    assert_eq!(finals(&quiet(), &straggler), [(ForcedEnd, 5, "RSTR")]);

    let idle = with(&[step(119_900, false, TCP_ACK), step(121_000, false, TCP_ACK)]);
    assert_eq!(
        finals(&quiet(), &idle),
        [(IdleTimeout, 4, "S1"), (ForcedEnd, 1, "OTH")]
    );

    // Kept alive each minute for an hour and a bit: cut twice.
    let long: Vec<_> = with(&vec![step(60_000, false, TCP_ACK); 61]);
    let records = finals(&quiet(), &long);
    assert_eq!(
        records.iter().map(|record| record.0).collect::<Vec<_>>(),
        [ActiveTimeout, ActiveTimeout, ForcedEnd]
    );
    assert_eq!(records.iter().map(|record| record.1).sum::<u64>(), 64);
    assert_eq!(
        finals(
            &Settings {
                checkpoints: false,
                ..Settings::no_expiry()
            },
            &long
        ),
        [(ForcedEnd, 64, "S1")]
    );
}

#[test]
fn a_continued_record_keeps_its_originator() {
    // The originator has the higher port and the responder speaks first after the cut.
    let mut events = vec![step(0, false, TCP_SYN), step(1, true, TCP_SYN_ACK)];
    events.extend([step(60_000, true, TCP_ACK); 40]);
    let records = run(&quiet(), &epochs(&events, |_| {}));
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].originator, records[1].originator);
    assert_ne!(records[0].id, records[1].id);
}

#[test]
fn a_full_table_ends_the_flow_that_was_idle_longest() {
    let settings = Settings {
        capacity: 2,
        emergency: None,
        ..quiet()
    };
    let from = |host, pause_ms| Event {
        host,
        ..step(pause_ms, false, TCP_ACK)
    };
    let events = [from(1, 0), from(2, 1_000), from(1, 1_000), from(3, 1_000)];
    let records = run(&settings, &epochs(&events, |_| {}));
    assert_eq!(records[0].end, Some(FlowEndReason::LackOfResources));
    assert_eq!(records[0].key.addresses[0], address(2));
}

#[test]
fn a_living_flow_is_due_at_eight_packets_or_after_a_second_and_then_as_it_doubles() {
    let settings = Settings::default();
    // One packet: due once after a second, and when it ends.
    let lone = run(&settings, &epochs(&[step(0, false, TCP_SYN)], |_| {}));
    assert_eq!(lone.len(), 1, "flushed before a second was over");
    let lone = run(
        &settings,
        &epochs(
            &[
                step(0, false, TCP_SYN),
                Event {
                    host: 2,
                    ..step(60_000, false, TCP_SYN)
                },
            ],
            |_| {},
        ),
    );
    let first = &lone[0];
    assert!(!first.is_final() && first.checkpoint == 0);
    let age = first.due - first.start();
    assert!((1_000_000_000..1_700_000_000).contains(&age), "{age}");

    // A packet each 100 ms for 102.4 s: 8, 16, ... 1024 packets, a checkpoint at each doubling.
    let steady = vec![step(100, false, TCP_ACK); 1024];
    let records = run(&settings, &epochs(&steady, |_| {}));
    let checkpoints: Vec<_> = records.iter().filter(|record| !record.is_final()).collect();
    assert!(
        (7..=9).contains(&checkpoints.len()),
        "{}",
        checkpoints.len()
    );
    assert!(
        checkpoints
            .iter()
            .zip(0..)
            .all(|(record, count)| record.checkpoint == count)
    );
    assert!(checkpoints.is_sorted_by_key(|record| record.counters.packets()));
}

#[test]
fn a_slow_flow_is_due_each_time_its_age_has_doubled() {
    // A packet each 5 s, for 40 minutes, and no end but the capture's.
    let settings = Settings {
        checkpoints: true,
        ..Settings::no_expiry()
    };
    let records = run(
        &settings,
        &epochs(&vec![step(5_000, false, TCP_ACK); 480], |_| {}),
    );
    let start = records[0].start();
    let checkpoints: Vec<_> = records.iter().filter(|record| !record.is_final()).collect();
    let age = |at: usize| checkpoints[at].due - start;
    assert!(age(0) < 2_000_000_000);
    for at in 1..checkpoints.len() {
        let packets = |at: usize| checkpoints[at].counters.packets();
        let grown = packets(at) >= 2 * packets(at - 1) || age(at) >= 2 * age(at - 1);
        assert!(grown, "checkpoint {at} came too early");
        // Not a packet later than it was due.
        let last_time = age(at) - 5_000_000_000;
        let (due_packets, due_age) = ((2 * packets(at - 1)).max(8), 2 * age(at - 1));
        assert!(
            packets(at) - 1 < due_packets && last_time < due_age,
            "checkpoint {at} came too late"
        );
    }
    assert!(
        (9..=14).contains(&checkpoints.len()),
        "{}",
        checkpoints.len()
    );
}
