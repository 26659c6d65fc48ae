//! Invented traffic, and a whole run of the table over it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sensor::{
    capture::Epoch,
    flow::{Aggregate, FlowEndReason, FlowRecord, Settings, Table},
};
use sensor_ebpf::{
    account,
    flow::{FlowCounters, FlowKey, TimeNs, epoch_of},
    frame::Packet,
};

/// One packet of invented traffic: few hosts and ports, so that flows meet, close and come again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// Since the packet before, nanoseconds.
    pub(crate) pause: u64,
    pub(crate) host: u8,
    pub(crate) port: u8,
    pub(crate) answer: bool,
    pub(crate) flags: u8,
    pub(crate) length: u16,
    pub(crate) cpu: u8,
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
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

pub(crate) fn address(last: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last]
}

pub(crate) fn packet(event: Event) -> Packet {
    let key = FlowKey {
        addresses: [address(event.host), address(200)],
        ports: [40_000 + u16::from(event.port), 9_000],
        protocol: 6,
        form: 0,
        series: 0,
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
        inner_vlan: 0,
    }
}

/// The epochs that a capture would hand over.
pub(crate) fn epochs(
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
pub(crate) fn run(settings: &Settings, epochs: &[Epoch]) -> Vec<FlowRecord> {
    run_pressed(settings, epochs).0
}

/// The same, and what got no record of its own.
pub(crate) fn run_pressed(
    settings: &Settings,
    epochs: &[Epoch],
) -> (Vec<FlowRecord>, Vec<Aggregate>) {
    let mut rest = Vec::new();
    let mut table = Table::new(settings.clone());
    let (mut changes, mut due) = (Vec::new(), Vec::new());
    for epoch in epochs {
        let mut last = 0;
        while let Some(boundary) = table.advance(epoch.index, &mut due) {
            assert!(boundary >= last && boundary < epoch.index);
            last = boundary;
        }
        table.merge(epoch, &mut changes, &mut due);
        table.aggregates(&mut rest);
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
    (due, rest)
}
