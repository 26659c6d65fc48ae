//! The flow table against nDPI's reader: 214 captures of many protocols, per-flow packets and bytes.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use sensor::{
    capture::{
        Capture, Epoch, Progress, input,
        link::{self, LinkType},
        replay,
    },
    flow::{FlowEndReason, FlowRecord, Settings, Table, ip_address, protocol_name},
};
use sensor_ebpf::{flow::FlowKey, frame::Parsed};

/// Protocol and the two endpoints in order; the counters of each.
type Flows = BTreeMap<(String, [Endpoint; 2]), [Count; 2]>;

/// As text: nDPI's way of writing IPv6 addresses (`ndpi_patchIPv6Address`) turns every `:0:` into `::`, so
/// that some of them cannot be read back. Ours are written the same way instead.
type Endpoint = (String, u16);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    packets: u64,
    bytes: u64,
}

fn add(flows: &mut Flows, protocol: &str, mut ends: [Endpoint; 2], mut counts: [Count; 2]) {
    if ends[0] > ends[1] {
        ends.reverse();
        counts.reverse();
    }
    let sums = flows.entry((protocol.to_uppercase(), ends)).or_default();
    for (sum, count) in sums.iter_mut().zip(counts) {
        sum.packets += count.packets;
        sum.bytes += count.bytes;
    }
}

fn endpoint(text: &str) -> Endpoint {
    let (address, port) = text.rsplit_once(':').expect("address:port");
    let address = address.trim_start_matches('[').trim_end_matches(']');
    (address.to_owned(), port.parse().expect("port"))
}

fn oracle(folder: &Path) -> BTreeMap<String, Flows> {
    let text = fs::read_to_string(folder.join("flows.csv")).expect("flows.csv");
    let mut captures: BTreeMap<String, Flows> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let field: Vec<&str> = line.split(',').collect();
        let number = |at: usize| field[at].parse::<u64>().expect("a number");
        let counts = [
            Count {
                packets: number(5),
                bytes: number(6),
            },
            Count {
                packets: number(7),
                bytes: number(8),
            },
        ];
        let flows = captures.entry(field[0].to_owned()).or_default();
        add(
            flows,
            field[1],
            [endpoint(field[2]), endpoint(field[4])],
            counts,
        );
    }
    captures
}

/// Captures in which nDPI looks inside the tunnels, and the bytes of a tunnelled frame that are not of the inner packet.
/// In all others it counts tunnels like any protocol, and so do we unless asked.
const INSIDE: [(&str, u64); 5] = [
    // Ethernet, IPv6, and 48 bytes behind the end of the packet that both IP headers state.
    ("4in6tunnel.pcap", 14 + 40 + 48),
    // Ethernet, IPv4, UDP, GTP-U with an extension header.
    ("dtls.pcap", 14 + 20 + 8 + 16),
    // Ethernet, VLAN tag, IPv4, PPTP's GRE with both numbers, PPP.
    ("gre.pcapng", 18 + 20 + 16 + 4),
    ("ipv6_in_gtp.pcap", 14 + 20 + 8 + 16),
    ("rtmp.pcap", 14 + 20 + 8 + 16),
];

/// Every flow of the capture, nothing expired.
fn records(capture: &Path, inside_tunnels: bool) -> Vec<FlowRecord> {
    let settings = replay::Settings {
        inside_tunnels,
        ..replay::Settings::default()
    };
    let mut replay = replay::Replay::open(&[capture.to_path_buf()], settings).expect("opens");
    let mut table = Table::new(Settings {
        checkpoints: false,
        ..Settings::no_expiry()
    });
    let (mut epoch, mut changes, mut due) = (Epoch::default(), Vec::new(), Vec::new());
    while replay.next_epoch(&mut epoch).expect("reads") == Progress::Epoch {
        assert_eq!(
            table.advance(epoch.index, &mut due),
            None,
            "nothing expires"
        );
        table.merge(&epoch, &mut changes, &mut due);
    }
    assert!(due.is_empty());
    table.flush(FlowEndReason::ForcedEnd, &mut due);
    due
}

/// A key as the oracle writes it.
fn oracle_key(key: &FlowKey) -> (String, [Endpoint; 2]) {
    let name =
        protocol_name(key.protocol.into()).map_or_else(|| key.protocol.to_string(), str::to_owned);
    let end = |side: usize| {
        // The oracle has no ports for ICMP; we have type and code there.
        let port = if matches!(key.protocol, 1 | 58) {
            0
        } else {
            key.ports[side]
        };
        (
            ip_address(&key.addresses[side])
                .to_string()
                .replace(":0:", "::"),
            port,
        )
    };
    (name.to_uppercase(), [end(0), end(1)])
}

fn ours(capture: &Path, inside_tunnels: bool) -> Flows {
    let mut flows = Flows::new();
    for record in records(capture, inside_tunnels) {
        let (protocol, ends) = oracle_key(&record.key);
        let counts = record.counters.halves.map(|half| Count {
            packets: half.packets,
            bytes: half.ip_bytes,
        });
        add(&mut flows, &protocol, ends, counts);
    }
    flows
}

/// Bytes of an IP packet as its header states them, read here once more by hand: from a frame of this link type.
/// Frames are those of the oracle: every one of them is IP or not counted.
fn ip_bytes(link: LinkType, frame: &[u8]) -> u64 {
    let at = |at: usize| u64::from(frame[at]) << 8 | u64::from(frame[at + 1]);
    let mut start = match link.0 {
        1 => 14,
        0 | 108 => 4,
        113 => 16,
        276 => 20,
        101 | 228 | 229 => 0,
        other => panic!("link type {other}"),
    };
    while start >= 14 && matches!(at(start - 2), 0x8100 | 0x88a8 | 0x9100) {
        start += 4;
    }
    match (frame[start] >> 4, at(start + 2), at(start + 4)) {
        // What stands for a super-packet: the frame's length is the only one.
        (4, 0, _) | (6, _, 0) => (frame.len() - start) as u64,
        (4, total, _) => total,
        (6, _, payload) => 40 + payload,
        (version, ..) => panic!("IP version {version}"),
    }
}

/// Takes link headers, tags, padding and trailers off the whole frames that the oracle counts, frame by frame. Answers
/// for which flows.
fn without_link_bytes(path: &Path, expected: &mut Flows) -> BTreeSet<(String, [Endpoint; 2])> {
    let mut plain = BTreeSet::new();
    input::frames(path, |record| {
        let Parsed::Flow(packet) = link::parse(record.link, record.frame) else {
            return;
        };
        let mut overhead = [0; 2];
        overhead[packet.sender] = record.frame.len() as u64 - ip_bytes(record.link, record.frame);
        let (protocol, mut ends) = oracle_key(&packet.key);
        if ends[0] > ends[1] {
            ends.reverse();
            overhead.reverse();
        }
        let key = (protocol, ends);
        if let Some(counts) = expected.get_mut(&key) {
            plain.insert(key);
            for (count, overhead) in counts.iter_mut().zip(overhead) {
                count.bytes = count.bytes.saturating_sub(overhead);
            }
        }
    })
    .expect("reads");
    plain
}

#[test]
fn packets_and_bytes_per_flow_are_those_of_ndpi() {
    let Some(folder) = support::shared("flow-counter-oracle") else {
        return;
    };
    let captures = oracle(&folder);
    assert_eq!(captures.len(), 214);
    assert_eq!(captures.values().map(BTreeMap::len).sum::<usize>(), 3394);
    let mut differing = Vec::new();
    for (name, mut expected) in captures {
        let path = folder.join("pcap").join(&name);
        let plain = without_link_bytes(&path, &mut expected);
        let inside = INSIDE.iter().find(|(capture, _)| *capture == name);
        if let Some((_, overhead)) = inside {
            for (_, counts) in expected.iter_mut().filter(|(key, _)| !plain.contains(*key)) {
                counts
                    .iter_mut()
                    .for_each(|count| count.bytes -= overhead * count.packets);
            }
        }
        let got = ours(&path, inside.is_some());
        if got != expected {
            let missing = expected
                .iter()
                .filter(|(key, count)| got.get(*key) != Some(*count));
            let extra = got
                .iter()
                .filter(|(key, count)| expected.get(*key) != Some(*count));
            differing.push(format!(
                "{name}:\n  nDPI {:?}\n  ours {:?}",
                missing.take(4).collect::<Vec<_>>(),
                extra.take(4).collect::<Vec<_>>()
            ));
        }
    }
    println!(
        "{} of 214 captures agree, packets and bytes per flow",
        214 - differing.len()
    );
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
