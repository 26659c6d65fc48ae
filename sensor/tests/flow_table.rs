//! Properties of the flow table over invented traffic: nothing is lost, nothing depends on order.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use sensor::{
    capture::Epoch,
    flow::{FlowEndReason, FlowRecord, Settings, Table},
};
use sensor_ebpf::{
    account,
    flow::{FlowCounters, FlowKey, TimeNs, epoch_of, quality},
    frame::Packet,
};

/// One packet of invented traffic: few hosts and ports, so that flows meet, close and come again.
#[derive(Clone, Copy, Debug)]
struct Event {
    /// Since the packet before, nanoseconds.
    pause: u64,
    host: u8,
    port: u8,
    answer: bool,
    flags: u8,
    length: u16,
    cpu: u8,
}

fn event() -> impl Strategy<Value = Event> {
    let pause = prop_oneof![
        6 => 0_u64..200_000_000,
        2 => 0_u64..3_000_000_000,
        1 => 0_u64..400_000_000_000,
    ];
    let flags = prop_oneof![4 => Just(0x10_u8), 3 => Just(0x02), 2 => Just(0x12), 2 => Just(0x11), 1 => Just(0x04)];
    (
        pause,
        0_u8..4,
        0_u8..3,
        any::<bool>(),
        flags,
        40_u16..1500,
        0_u8..2,
    )
        .prop_map(|(pause, host, port, answer, flags, length, cpu)| Event {
            pause,
            host,
            port,
            answer,
            flags,
            length,
            cpu,
        })
}

fn address(last: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last]
}

fn packet(event: Event) -> Packet {
    let key = FlowKey {
        addresses: [address(event.host), address(200)],
        ports: [40_000 + u16::from(event.port), 9_000],
        protocol: 6,
        later_fragment: 0,
        pad: [0; 2],
    };
    Packet {
        key,
        sender: usize::from(event.answer),
        ip_length: u32::from(event.length),
        payload_length: u32::from(event.length) - 40,
        tcp_flags: event.flags,
        ttl: 64,
        window: 1024,
        vlan: 0,
    }
}

/// The epochs that a capture would hand over.
fn epochs(
    events: &[Event],
    mut order: impl FnMut(&mut Vec<(FlowKey, FlowCounters)>),
) -> Vec<Epoch> {
    let mut by_epoch: BTreeMap<u64, Vec<(Packet, TimeNs)>> = BTreeMap::new();
    let mut time = 1_700_000_000_000_000_000;
    for &event in events {
        time += event.pause;
        by_epoch
            .entry(epoch_of(time))
            .or_default()
            .push((packet(event), time));
    }
    by_epoch
        .into_iter()
        .map(|(index, packets)| {
            let mut deltas: BTreeMap<FlowKey, FlowCounters> = BTreeMap::new();
            for (packet, time) in packets {
                account::add(
                    deltas.entry(packet.key).or_insert(FlowCounters::EMPTY),
                    &packet,
                    time,
                );
            }
            let mut flows: Vec<_> = deltas.into_iter().collect();
            flows.sort_by_key(|(key, counters)| (counters.first(), *key));
            order(&mut flows);
            Epoch {
                index,
                flows,
                ..Epoch::default()
            }
        })
        .collect()
}

/// All records, in the order in which they are handed out, with the boundary of each.
fn run(settings: &Settings, epochs: &[Epoch]) -> Vec<FlowRecord> {
    let mut table = Table::new(settings.clone());
    let (mut changes, mut due) = (Vec::new(), Vec::new());
    for epoch in epochs {
        let mut last = 0;
        while let Some(boundary) = table.advance(epoch.index, &mut due) {
            assert!(boundary >= last && boundary < epoch.index);
            last = boundary;
        }
        table.merge(epoch, &mut changes, &mut due);
        assert_eq!(changes.len(), epoch.flows.len());
        assert!(table.len() <= settings.capacity as usize);
    }
    table.flush(FlowEndReason::ForcedEnd, &mut due);
    assert!(table.is_empty());
    let stats = table.stats();
    assert_eq!(stats.begun, stats.ended.iter().sum::<u64>());
    assert_eq!(
        stats.ended.iter().sum::<u64>(),
        due.iter().filter(|record| record.is_final()).count() as u64
    );
    due
}

fn settings() -> impl Strategy<Value = Settings> {
    let timeout = |longest: u64| {
        prop_oneof![
            Just(None),
            (1..longest).prop_map(|s| Some(Duration::from_secs(s)))
        ]
    };
    (
        timeout(200),
        timeout(600),
        timeout(10),
        1_u32..16,
        any::<bool>(),
    )
        .prop_map(
            |(idle_timeout, active_timeout, close_linger, capacity, checkpoints)| Settings {
                idle_timeout,
                active_timeout,
                close_linger,
                capacity,
                checkpoints,
            },
        )
}

fn sorted_by_start(records: &[FlowRecord]) -> bool {
    records
        .chunk_by(|a, b| a.due == b.due)
        .all(|boundary| boundary.is_sorted_by_key(|record| (record.start(), record.key)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever ends a flow (timeouts, reuse, a full table), each packet is in exactly one final record.
    #[test]
    fn final_records_hold_every_packet_once(settings in settings(), events in prop::collection::vec(event(), 1..300)) {
        let records = run(&settings, &epochs(&events, |_| {}));
        let mut expected: BTreeMap<FlowKey, [(u64, u64); 2]> = BTreeMap::new();
        for &event in &events {
            let packet = packet(event);
            let sums = &mut expected.entry(packet.key).or_default()[packet.sender];
            *sums = (sums.0 + 1, sums.1 + u64::from(packet.ip_length));
        }
        let mut got: BTreeMap<FlowKey, [(u64, u64); 2]> = BTreeMap::new();
        for record in records.iter().filter(|record| record.is_final()) {
            let sums = got.entry(record.key).or_default();
            for (sums, half) in sums.iter_mut().zip(&record.counters.halves) {
                *sums = (sums.0 + half.packets, sums.1 + half.ip_bytes);
            }
        }
        prop_assert_eq!(got, expected);
        prop_assert!(records.is_sorted_by_key(|record| record.due));
        // Within a flush and a last epoch of the same end the order starts again, so look at all but the flush.
        let flushed = records.iter().position(|record| record.end == Some(FlowEndReason::ForcedEnd));
        prop_assert!(sorted_by_start(&records[..flushed.unwrap_or(records.len())]));
    }

    /// The order in which a hash table of deltas was read changes nothing.
    #[test]
    fn the_order_of_deltas_does_not_matter(
        settings in settings(), events in prop::collection::vec(event(), 1..300), turn in 0_usize..7
    ) {
        let sorted = run(&settings, &epochs(&events, |_| {}));
        let reversed = run(&settings, &epochs(&events, |flows| flows.reverse()));
        let turned = run(&settings, &epochs(&events, |flows| { let by = turn % flows.len(); flows.rotate_left(by); }));
        prop_assert_eq!(&sorted, &reversed);
        prop_assert_eq!(&sorted, &turned);
    }

    /// Packets counted by two CPUs, and their deltas merged, give the records of one CPU where the CPUs' packets do
    /// not overlap in time within an epoch.
    #[test]
    fn two_cpus_count_as_one(settings in settings(), events in prop::collection::vec(event(), 1..200)) {
        let one = epochs(&events, |_| {});
        let mut two = Vec::new();
        let mut time = 1_700_000_000_000_000_000;
        let mut parts: BTreeMap<(u64, FlowKey), [FlowCounters; 2]> = BTreeMap::new();
        for &event in &events {
            time += event.pause;
            let packet = packet(event);
            let cpus = parts.entry((epoch_of(time), packet.key)).or_insert([FlowCounters::EMPTY; 2]);
            // A flow that has moved to CPU 1 stays there for the epoch.
            let cpu = usize::from(event.cpu == 1 || cpus[1].packets() > 0);
            account::add(&mut cpus[cpu], &packet, time);
        }
        for epoch in &one {
            let mut flows: Vec<_> = epoch.flows.iter().map(|(key, _)| {
                let [first, second] = &parts[&(epoch.index, *key)];
                let mut merged = *second;
                account::merge(&mut merged, first);
                (*key, merged)
            }).collect();
            flows.sort_by_key(|(key, counters)| (counters.first(), *key));
            two.push(Epoch { flows, ..epoch.clone() });
        }
        let records = run(&settings, &two);
        prop_assert!(records.iter().all(|record| record.counters.quality & quality::INTERLEAVED == 0));
        prop_assert_eq!(records, run(&settings, &one));
    }

    /// A live source hands over empty epochs, a replay skips them.
    #[test]
    fn empty_epochs_change_nothing(settings in settings(), events in prop::collection::vec(event(), 1..100)) {
        let skipping = epochs(&events, |_| {});
        let mut stepping: Vec<Epoch> = Vec::new();
        for epoch in &skipping {
            if let Some(last) = stepping.last() {
                let empty = |index| Epoch { index, ..Epoch::default() };
                let missing: Vec<_> = (last.index + 1..epoch.index).map(empty).collect();
                stepping.extend(missing);
            }
            stepping.push(epoch.clone());
        }
        prop_assert_eq!(run(&settings, &skipping), run(&settings, &stepping));
    }
}

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
