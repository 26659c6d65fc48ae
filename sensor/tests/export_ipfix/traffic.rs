//! Flows to export: any there can be, and those of a capture.

use std::path::Path;

use proptest::prelude::*;
use sensor::{
    flow::{FlowEndReason, FlowRecord},
    pipeline,
};
use sensor_ebpf::flow::{FlowCounters, FlowKey, Half, form};

fn half() -> impl Strategy<Value = Half> {
    let counts = (
        prop_oneof![Just(0), 1..5_u64, any::<u64>()],
        any::<u64>(),
        any::<u64>(),
        prop::array::uniform8(prop_oneof![Just(0_u32), any::<u32>()]),
    );
    let sizes = (
        any::<u16>(),
        any::<u16>(),
        any::<u8>(),
        any::<u8>(),
        0..4096_u16,
    );
    // Until 2100, in nanoseconds.
    let times = (0..4_102_444_800_000_000_000_u64, 0..1_000_000_000_000_u64);
    (counts, sizes, times).prop_map(
        |((packets, ip_bytes, payload_bytes, flags), sizes, times)| {
            if packets == 0 {
                return Half::EMPTY;
            }
            Half {
                packets,
                ip_bytes,
                payload_bytes,
                flags,
                length_min: sizes.0,
                length_max: sizes.1,
                ttl_min: sizes.2,
                ttl_max: sizes.3,
                inner_vlan: sizes.4,
                first: times.0,
                last: times.0 + times.1,
                ..Half::EMPTY
            }
        },
    )
}

fn address(v6: bool) -> impl Strategy<Value = [u8; 16]> {
    any::<[u8; 16]>().prop_map(move |mut bytes| {
        if v6 {
            bytes[0] |= 0x20;
        } else {
            bytes[..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        }
        bytes
    })
}

/// Any flow that a table can hand out, and many that it cannot.
pub(crate) fn flow() -> impl Strategy<Value = FlowRecord> {
    let key = any::<bool>().prop_flat_map(|v6| {
        let addresses = [address(v6), address(v6)];
        let protocol = prop_oneof![
            Just(6_u8),
            Just(17),
            Just(1),
            Just(58),
            Just(132),
            any::<u8>()
        ];
        let ports = prop_oneof![
            any::<[u16; 2]>(),
            any::<[u8; 2]>().prop_map(|p| p.map(u16::from))
        ];
        // ARP is about IPv4, and has no protocol.
        let form = (0..=form::ARP).prop_map(move |form| if v6 { form % form::ARP } else { form });
        (addresses, ports, protocol, form, any::<u16>())
    });
    let rest = (
        [half(), half()],
        0..2_usize,
        prop_oneof![Just(0_u16), 1..4095_u16],
        any::<u32>(),
        any::<u64>(),
        0..5_usize,
    );
    (key, rest).prop_map(|(key, (halves, originator, vlan, interface, id, end))| {
        let (addresses, mut ports, mut protocol, form, series) = key;
        if form == form::ARP {
            protocol = 0;
        }
        if matches!(protocol, 1 | 58) {
            ports = ports.map(|port| port & 0xff);
        }
        FlowRecord {
            id,
            key: FlowKey {
                addresses,
                ports,
                protocol,
                form,
                series,
            },
            originator,
            counters: FlowCounters {
                vlan,
                interface,
                halves,
                ..FlowCounters::EMPTY
            },
            end: Some(FlowEndReason::ALL[end]),
            checkpoint: 0,
            due: 0,
        }
    })
}

/// Every flow of the captures, once it has ended.
pub(crate) fn flows_of(captures: &[&Path]) -> Vec<FlowRecord> {
    let inputs: Vec<_> = captures.iter().map(|path| path.to_path_buf()).collect();
    let mut flows = Vec::new();
    let pass = pipeline::flows(
        &inputs,
        &pipeline::Settings::default(),
        &mut |_| {},
        &mut |batch| {
            let ended = batch.iter().filter(|(record, _)| record.is_final());
            flows.extend(ended.map(|(record, _)| record.clone()));
            Ok(())
        },
    );
    pass.expect("a capture that can be read");
    assert!(!flows.is_empty());
    flows
}

/// The capture that is part of the project.
pub(crate) fn demo() -> Vec<FlowRecord> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/office.pcap.zst");
    flows_of(&[&path])
}
