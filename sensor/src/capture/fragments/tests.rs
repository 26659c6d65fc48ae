use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use sensor_ebpf::{flow::FlowCounters, frame::Parsed};

use super::*;
use crate::capture::{Accountant, Epoch, link::LinkType};

const HEADER: [u8; 14] = [2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 8, 0];

/// One fragment of a packet, as it is made here and as an oracle sees it.
#[derive(Clone, Debug)]
struct Made {
    v6: bool,
    vlan: u16,
    hosts: [u8; 2],
    protocol: u8,
    identification: u32,
    /// In units of eight bytes.
    offset: u16,
    more: bool,
    source_port: u16,
    payload: usize,
    time: TimeNs,
}

impl Made {
    fn frame(&self) -> Vec<u8> {
        let mut segment = vec![0; self.payload];
        if self.offset == 0 {
            let mut transport = Vec::new();
            transport.extend(self.source_port.to_be_bytes());
            transport.extend([0, 80]);
            transport.resize(if self.protocol == 6 { 20 } else { 8 }, 0);
            if self.protocol == 6 {
                transport[12] = 0x50;
                transport[13] = 0x18;
            }
            transport.extend(&segment);
            segment = transport;
        } else {
            // What would be ports and flags, were this a first fragment.
            segment.iter_mut().for_each(|byte| *byte = 0xff);
        }
        let mut frame = HEADER[..12].to_vec();
        if self.vlan > 0 {
            frame.extend([0x81, 0]);
            frame.extend(self.vlan.to_be_bytes());
        }
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((8 + segment.len() as u16).to_be_bytes());
            frame.extend([44, 64]);
            for host in self.hosts {
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
            }
            frame.extend([self.protocol, 0]);
            frame.extend((self.offset << 3 | u16::from(self.more)).to_be_bytes());
            frame.extend(self.identification.to_be_bytes());
        } else {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + segment.len() as u16).to_be_bytes());
            frame.extend((self.identification as u16).to_be_bytes());
            frame.extend((u16::from(self.more) << 13 | self.offset).to_be_bytes());
            frame.extend([64, self.protocol, 0, 0]);
            for host in self.hosts {
                frame.extend([10, 0, 0, host]);
            }
        }
        frame.extend(&segment);
        frame
    }
}

const DATAGRAM: Made = Made {
    v6: false,
    vlan: 0,
    hosts: [1, 2],
    protocol: 17,
    identification: 7,
    offset: 0,
    more: true,
    source_port: 4000,
    payload: 64,
    time: 1_000,
};

fn later(of: &Made, offset: u16, more: bool) -> Made {
    Made {
        offset,
        more,
        ..of.clone()
    }
}

/// What an accountant makes of frames that all lie in one epoch, or are counted as late in it.
fn count(made: &[Made], follow: bool) -> Epoch {
    let mut accountant = Accountant::new(1 << 16).following_fragments(follow);
    for one in made {
        let frame = one.frame();
        accountant.count_frame(&Record {
            // Times that say when fragments came may be minutes apart; where they count does not matter here.
            time: one.time,
            link: LinkType::ETHERNET,
            wire_length: frame.len() as u32,
            frame: &frame,
        });
    }
    let mut epoch = Epoch::default();
    accountant.finish(&mut epoch);
    assert_eq!(epoch.ledger.unaccounted(), 0);
    epoch
}

fn by_key(epoch: &Epoch) -> HashMap<FlowKey, &FlowCounters> {
    epoch.flows.iter().map(|(key, one)| (*key, one)).collect()
}

/// Packets of flows that have ports, and of those that are later fragments.
fn packets(epoch: &Epoch) -> [u64; 2] {
    [0, 1].map(|later| {
        let of = (epoch.flows.iter()).filter(|(key, _)| key.form == later);
        of.map(|(_, counters)| counters.packets()).sum()
    })
}

#[test]
fn later_fragments_count_with_their_first_and_by_pair_without_the_option() {
    for (v6, vlan, protocol) in [(false, 0, 17), (true, 0, 17), (false, 30, 6), (true, 30, 6)] {
        let first = Made {
            v6,
            vlan,
            protocol,
            ..DATAGRAM
        };
        let made = [
            first.clone(),
            later(&first, 9, true),
            later(&first, 17, false),
        ];
        let (pair, follow) = (count(&made, false), count(&made, true));
        assert_eq!((packets(&pair), packets(&follow)), ([1, 2], [3, 0]));
        let [(key, counters)] = follow.flows.as_slice() else {
            panic!("one flow: {:?}", follow.flows);
        };
        assert!(key.ports.contains(&80) && key.ports.contains(&4000));
        // What stands in a later fragment where flags would be is payload: it was neither a SYN nor a null packet.
        let alone = count(&made[..1], true);
        assert_eq!(
            counters.halves.map(|half| half.flags),
            alone.flows[0].1.halves.map(|half| half.flags)
        );
        let of_pair = &by_key(&pair)[key];
        assert_eq!(
            counters.halves.map(|half| half.seen),
            of_pair.halves.map(|half| half.seen)
        );
        assert_eq!(
            follow.fragments,
            FragmentCounts {
                followed: 2,
                ..FragmentCounts::default()
            }
        );
        assert_eq!(pair.fragments, FragmentCounts::default());
    }
}

#[test]
fn a_fragment_without_its_first_counts_by_pair() {
    let first = DATAGRAM;
    let second = later(&first, 9, false);
    let without = FragmentCounts {
        without_first: 1,
        ..FragmentCounts::default()
    };
    let strangers = [
        // Of another packet, sender, network, protocol: none of these is its first.
        Made {
            identification: 8,
            ..first.clone()
        },
        Made {
            hosts: [3, 2],
            ..first.clone()
        },
        Made {
            hosts: [2, 1],
            ..first.clone()
        },
        Made {
            vlan: 9,
            ..first.clone()
        },
        Made {
            protocol: 6,
            ..first.clone()
        },
        // A whole packet with the same identification.
        Made {
            more: false,
            ..first.clone()
        },
        // An hour ago, less or more, in a capture.
        Made {
            time: 0,
            ..first.clone()
        },
    ];
    for stranger in strangers {
        let late = Made {
            time: second.time + TIMEOUT_NS,
            ..second.clone()
        };
        let second = if stranger.time == 0 {
            late
        } else {
            second.clone()
        };
        let epoch = count(&[stranger.clone(), second], true);
        assert_eq!(epoch.fragments, without, "{stranger:?}");
        assert_eq!(packets(&epoch), [1, 1]);
    }
    // Too early is by pair, and those that come after the first one are not.
    let last = later(&first, 17, false);
    let epoch = count(&[second, first.clone(), last], true);
    assert_eq!((packets(&epoch), epoch.fragments.followed), ([2, 1], 1));
    // Of IPv6 the next header of later fragments means nothing (RFC 8200 §4.5).
    let first = Made { v6: true, ..first };
    let other = Made {
        protocol: 59,
        ..later(&first, 9, false)
    };
    assert_eq!(count(&[first, other], true).fragments.followed, 1);
}

#[test]
fn an_identification_that_is_used_again_belongs_to_the_later_packet() {
    let (one, two) = (
        DATAGRAM,
        Made {
            source_port: 5000,
            ..DATAGRAM
        },
    );
    let made = [
        one.clone(),
        later(&one, 9, false),
        two.clone(),
        later(&two, 9, false),
    ];
    let epoch = count(&made, true);
    let mut sizes: Vec<u64> = epoch.flows.iter().map(|(_, one)| one.packets()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 2]);
}

#[test]
fn a_flood_of_first_fragments_takes_no_memory_and_is_counted() {
    let mut fragments = Fragments::new(64);
    let frame = |fragments: &mut Fragments, made: &Made| {
        let frame = made.frame();
        let record = Record {
            time: made.time,
            link: LinkType::ETHERNET,
            wire_length: frame.len() as u32,
            frame: &frame,
        };
        let Parsed::Flow(packet) = link::parse(record.link, record.frame) else {
            panic!("no packet");
        };
        fragments.follow(&record, &packet)
    };
    let number = |identification| Made {
        identification,
        ..DATAGRAM
    };
    for identification in 0..1_000 {
        assert_eq!(frame(&mut fragments, &number(identification)), None);
    }
    assert_eq!(
        (fragments.entries.len(), fragments.entries.capacity()),
        (64, 64)
    );
    let known: Vec<u32> = (0..1_000)
        .filter(|one| frame(&mut fragments, &later(&number(*one), 9, false)).is_some())
        .collect();
    assert_eq!(known, (936..1_000).collect::<Vec<_>>());
    let counts = fragments.take_counts();
    assert_eq!(
        (counts.pushed_out, counts.followed, counts.without_first),
        (936, 64, 936)
    );
    // Those whose time is over make room without a word.
    for identification in 0..64 {
        let after = Made {
            time: DATAGRAM.time + TIMEOUT_NS + 1,
            ..number(identification)
        };
        frame(&mut fragments, &after);
    }
    assert_eq!(fragments.take_counts().pushed_out, 0);
}

/// What a receiver would do, in the plainest way: packets of each flow by the first fragment seen before.
fn oracle(made: &[Made]) -> BTreeMap<(bool, u16, [u8; 2], u16), u64> {
    let mut firsts: HashMap<(bool, u16, [u8; 2], u8, u32), u16> = HashMap::new();
    let mut flows = BTreeMap::new();
    for one in made {
        let protocol = if one.v6 { 0 } else { one.protocol };
        let of = (one.v6, one.vlan, one.hosts, protocol, one.identification);
        let port = match (one.offset, one.more) {
            (0, more) => {
                if more {
                    firsts.insert(of, one.source_port);
                }
                one.source_port
            }
            _ => firsts.get(&of).copied().unwrap_or(0),
        };
        // Flows do not know of VLANs.
        *flows.entry((one.v6, 0, one.hosts, port)).or_insert(0) += 1;
    }
    flows
}

fn made() -> impl Strategy<Value = Made> {
    let place = prop_oneof![
        Just((0_u16, true)),
        Just((0, false)),
        (1_u16..40, any::<bool>())
    ];
    (
        any::<bool>(),
        prop_oneof![Just(0_u16), Just(7)],
        (1_u8..3, 3_u8..5),
        0_u32..4,
        place,
        4_000_u16..4_003,
        8_usize..64,
    )
        .prop_map(
            |(v6, vlan, hosts, identification, (offset, more), port, payload)| Made {
                v6,
                vlan,
                hosts: [hosts.0, hosts.1],
                identification,
                offset,
                more,
                source_port: port,
                payload,
                ..DATAGRAM
            },
        )
}

proptest! {
    /// Following moves packets from one flow to another: none is lost, none is counted twice, no byte is.
    #[test]
    fn totals_are_the_same_and_flows_those_of_a_receiver(made in prop::collection::vec(made(), 1..200)) {
        let (pair, follow) = (count(&made, false), count(&made, true));
        prop_assert_eq!(&pair.ledger, &follow.ledger);
        let sums = |epoch: &Epoch| {
            let halves = epoch.flows.iter().flat_map(|(_, counters)| counters.halves);
            halves.fold([0; 4], |[packets, bytes, payload, squares], half| [
                packets + half.packets,
                bytes + half.ip_bytes,
                payload + half.payload_bytes,
                squares + half.length_square_sum,
            ])
        };
        prop_assert_eq!(sums(&pair), sums(&follow));
        let later = made.iter().filter(|one| one.offset > 0).count() as u64;
        prop_assert_eq!(follow.fragments.later(), later);
        prop_assert_eq!(packets(&follow)[1], later - follow.fragments.followed);
        let expected = oracle(&made);
        let mut found = BTreeMap::new();
        for (key, counters) in &follow.flows {
            let v6 = key.addresses[0][0] == 0xfd;
            let hosts = [key.addresses[0][15], key.addresses[1][15]];
            let port = key.ports.into_iter().find(|port| *port != 80).unwrap_or(0);
            *found.entry((v6, 0, hosts, port)).or_insert(0) += counters.packets();
        }
        prop_assert_eq!(found, expected);
    }
}
