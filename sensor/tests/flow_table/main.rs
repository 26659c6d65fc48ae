//! Properties of the flow table over invented traffic: nothing is lost, nothing depends on order.

mod endings;
mod traffic;

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use sensor::{
    capture::Epoch,
    flow::{Emergency, FlowEndReason, FlowRecord, Settings},
};
use sensor_ebpf::{
    account,
    flow::{FlowCounters, FlowKey, epoch_of, quality},
};

use crate::traffic::{epochs, event, packet, run, run_pressed};

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
                emergency: None,
            },
        )
}

fn sorted_by_start(records: &[FlowRecord]) -> bool {
    records
        .chunk_by(|a, b| a.due == b.due)
        .all(|boundary| boundary.is_sorted_by_key(|record| (record.start(), record.key)))
}

/// With the epochs in which nothing came, as a live source hands them over.
fn with_empty(skipping: &[Epoch]) -> Vec<Epoch> {
    let mut stepping: Vec<Epoch> = Vec::new();
    for epoch in skipping {
        if let Some(last) = stepping.last() {
            let empty = |index| Epoch {
                index,
                ..Epoch::default()
            };
            let missing: Vec<_> = (last.index + 1..epoch.index).map(empty).collect();
            stepping.extend(missing);
        }
        stepping.push(epoch.clone());
    }
    stepping
}

/// As [`settings`], with a table that comes under pressure at once.
fn pressed() -> impl Strategy<Value = Settings> {
    (settings(), 1_u32..4, 1_u64..100, 10_u64..200).prop_map(
        |(settings, half_open, emergency, idle)| Settings {
            idle_timeout: Some(Duration::from_secs(idle)),
            emergency: Some(Emergency {
                half_open,
                idle_timeout: Duration::from_secs(emergency),
            }),
            ..settings
        },
    )
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

    /// Under pressure each packet is in a final record or in an aggregate, whatever the order of the deltas, and whether
    /// epochs without packets are handed over or skipped.
    #[test]
    fn under_pressure_nothing_is_lost_and_nothing_depends_on_order(
        settings in pressed(), events in prop::collection::vec(event(), 1..300)
    ) {
        let skipping = epochs(&events, |_| {});
        let (records, rest) = run_pressed(&settings, &skipping);
        let in_records: u64 = records.iter().filter(|record| record.is_final()).map(|record| record.counters.packets()).sum();
        let in_aggregates: u64 = rest.iter().map(|aggregate| aggregate.packets).sum();
        prop_assert_eq!(in_records + in_aggregates, events.len() as u64);
        let reversed = run_pressed(&settings, &epochs(&events, |flows| flows.reverse()));
        prop_assert_eq!(&(records.clone(), rest.clone()), &reversed);
        let stepping = run_pressed(&settings, &with_empty(&skipping));
        prop_assert_eq!(&(records, rest), &stepping);
    }

    /// A live source hands over empty epochs, a replay skips them.
    #[test]
    fn empty_epochs_change_nothing(settings in settings(), events in prop::collection::vec(event(), 1..100)) {
        let skipping = epochs(&events, |_| {});
        prop_assert_eq!(run(&settings, &skipping), run(&settings, &with_empty(&skipping)));
    }
}
