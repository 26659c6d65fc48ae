//! Frames with known content: whatever the parser has to tell apart, and the truth beside it.

use proptest::prelude::*;
use sensor_ebpf::frame::icmp_ports;

use super::reference::{Facts, v4_mapped};

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Tag protocol and tag control, outermost first.
    tags: Vec<(u16, u16)>,
    ip: Ip,
    transport: Transport,
    payload: Vec<u8>,
    /// Bytes behind the IP packet, as Ethernet pads short frames.
    padding: usize,
}

#[derive(Clone, Debug)]
enum Ip {
    V4 {
        source: [u8; 4],
        destination: [u8; 4],
        ttl: u8,
        options: usize,
        /// More fragments, and the offset in units of 8 bytes.
        fragment: Option<(bool, u16)>,
    },
    V6 {
        source: [u8; 16],
        destination: [u8; 16],
        ttl: u8,
        extensions: Vec<Extension>,
        fragment: Option<(bool, u16)>,
    },
}

#[derive(Clone, Debug)]
enum Extension {
    /// Hop-by-hop (only ever the first), routing or destination options, with its length in units of 8 bytes less 1.
    Options(u8, u8),
    /// Authentication, with its length in units of 4 bytes less 2.
    Authentication(u8),
}

#[derive(Clone, Debug)]
enum Transport {
    Tcp {
        ports: (u16, u16),
        options: usize,
        flags: u8,
        window: u16,
    },
    Udp((u16, u16)),
    UdpLite((u16, u16)),
    Sctp((u16, u16)),
    Icmp(u8, u8),
    Icmpv6(u8, u8),
    Other(u8),
}

impl Transport {
    fn protocol(&self) -> u8 {
        match self {
            Self::Tcp { .. } => 6,
            Self::Udp(_) => 17,
            Self::UdpLite(_) => 136,
            Self::Sctp(_) => 132,
            Self::Icmp(..) => 1,
            Self::Icmpv6(..) => 58,
            Self::Other(number) => *number,
        }
    }

    fn header(&self) -> Vec<u8> {
        let ports = |(source, destination): (u16, u16), length: usize| {
            let mut header = source.to_be_bytes().to_vec();
            header.extend(destination.to_be_bytes());
            header.resize(length, 0x5a);
            header
        };
        match *self {
            Self::Tcp {
                ports: pair,
                options,
                flags,
                window,
            } => {
                let mut header = ports(pair, 20 + options * 4);
                header[12] = ((5 + options) as u8) << 4;
                header[13] = flags;
                header[14..16].copy_from_slice(&window.to_be_bytes());
                header
            }
            Self::Udp(pair) | Self::UdpLite(pair) => ports(pair, 8),
            Self::Sctp(pair) => ports(pair, 12),
            Self::Icmp(kind, code) | Self::Icmpv6(kind, code) => vec![kind, code, 1, 2, 3, 4, 5, 6],
            Self::Other(_) => Vec::new(),
        }
    }

    fn ports(&self) -> (u16, u16) {
        match *self {
            Self::Tcp { ports, .. }
            | Self::Udp(ports)
            | Self::UdpLite(ports)
            | Self::Sctp(ports) => ports,
            Self::Icmp(kind, code) | Self::Icmpv6(kind, code) => {
                icmp_ports(self.protocol(), kind, code)
            }
            Self::Other(_) => (0, 0),
        }
    }
}

impl Plan {
    /// The frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut frame = vec![0x02; 12];
        for (kind, control) in &self.tags {
            frame.extend(kind.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend(match self.ip {
            Ip::V4 { .. } => [0x08, 0x00],
            Ip::V6 { .. } => [0x86, 0xdd],
        });
        let mut behind = if self.is_later_fragment() {
            Vec::new()
        } else {
            self.transport.header()
        };
        behind.extend(&self.payload);
        match &self.ip {
            Ip::V4 {
                source,
                destination,
                ttl,
                options,
                fragment,
            } => {
                let header = 20 + options * 4;
                let (more, offset) = fragment.unwrap_or((false, 0));
                frame.extend([0x40 | (header / 4) as u8, 0]);
                frame.extend(((header + behind.len()) as u16).to_be_bytes());
                frame.extend([0x12, 0x34]);
                frame.extend((u16::from(more) << 13 | offset).to_be_bytes());
                frame.extend([*ttl, self.transport.protocol(), 0, 0]);
                frame.extend(source);
                frame.extend(destination);
                frame.resize(frame.len() + options * 4, 0x01);
            }
            Ip::V6 {
                source,
                destination,
                ttl,
                extensions,
                fragment,
            } => {
                let (first, chain) = chain(extensions, *fragment, self.transport.protocol());
                frame.extend([0x60, 0, 0, 0]);
                frame.extend(((chain.len() + behind.len()) as u16).to_be_bytes());
                frame.extend([first, *ttl]);
                frame.extend(source);
                frame.extend(destination);
                frame.extend(chain);
            }
        }
        frame.extend(behind);
        frame.resize(frame.len() + self.padding, 0);
        frame
    }

    /// What every parser should find in it.
    pub(crate) fn facts(&self) -> Facts {
        let later = self.is_later_fragment();
        let (ports, header) = if later {
            ((0, 0), 0)
        } else {
            (self.transport.ports(), self.transport.header().len())
        };
        let (tcp_flags, window) = match self.transport {
            Transport::Tcp { flags, window, .. } if !later => (flags, window),
            _ => (0, 0),
        };
        let (source, destination, ttl, headers) = match &self.ip {
            Ip::V4 {
                source,
                destination,
                ttl,
                options,
                ..
            } => (
                v4_mapped(*source),
                v4_mapped(*destination),
                *ttl,
                20 + options * 4,
            ),
            Ip::V6 {
                source,
                destination,
                ttl,
                extensions,
                fragment,
            } => (
                *source,
                *destination,
                *ttl,
                40 + chain(extensions, *fragment, 0).1.len(),
            ),
        };
        Facts {
            source: (source, ports.0),
            destination: (destination, ports.1),
            protocol: self.transport.protocol(),
            is_later_fragment: later,
            is_arp: false,
            ip_length: (headers + header + self.payload.len()) as u32,
            payload_length: self.payload.len() as u32,
            tcp_flags,
            window,
            ttl,
            vlan: self.tags.first().map_or(0, |(_, control)| control & 0x0fff),
        }
    }

    fn is_later_fragment(&self) -> bool {
        let (Ip::V4 { fragment, .. } | Ip::V6 { fragment, .. }) = &self.ip;
        fragment.is_some_and(|(_, offset)| offset != 0)
    }
}

/// The first next-header number and the bytes of a chain of extension headers that leads to `last`. The fragment
/// header comes last: everything behind it is in the fragment.
fn chain(extensions: &[Extension], fragment: Option<(bool, u16)>, last: u8) -> (u8, Vec<u8>) {
    let mut numbers: Vec<u8> = extensions
        .iter()
        .map(|extension| match extension {
            Extension::Options(number, _) => *number,
            Extension::Authentication(_) => 51,
        })
        .collect();
    if fragment.is_some() {
        numbers.push(44);
    }
    numbers.push(last);
    let mut bytes = Vec::new();
    for (extension, next) in extensions.iter().zip(&numbers[1..]) {
        let (units, length) = match extension {
            Extension::Options(_, units) => (*units, (usize::from(*units) + 1) * 8),
            Extension::Authentication(units) => (*units, (usize::from(*units) + 2) * 4),
        };
        let start = bytes.len();
        bytes.extend([*next, units]);
        bytes.resize(start + length, 0);
    }
    if let Some((more, offset)) = fragment {
        bytes.extend([last, 0]);
        bytes.extend((offset << 3 | u16::from(more)).to_be_bytes());
        bytes.extend([0, 0, 0, 7]);
    }
    (numbers[0], bytes)
}

fn fragment() -> impl Strategy<Value = Option<(bool, u16)>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some((true, 0))),
        1 => Just(Some((false, 0))),
        2 => (any::<bool>(), 1u16..0x2000).prop_map(Some),
    ]
}

fn extensions() -> impl Strategy<Value = Vec<Extension>> {
    let later = prop_oneof![
        (prop_oneof![Just(43u8), Just(60)], 0u8..4)
            .prop_map(|(n, units)| Extension::Options(n, units)),
        (1u8..6).prop_map(Extension::Authentication),
    ];
    (
        proptest::option::weighted(0.3, (0u8..3).prop_map(|units| Extension::Options(0, units))),
        proptest::collection::vec(later, 0..4),
    )
        .prop_map(|(first, later)| first.into_iter().chain(later).collect())
}

fn ip() -> impl Strategy<Value = Ip> {
    prop_oneof![
        (any::<[[u8; 4]; 2]>(), any::<u8>(), 0usize..=10, fragment()).prop_map(
            |([source, destination], ttl, options, fragment)| Ip::V4 {
                source,
                destination,
                ttl,
                options,
                fragment
            }
        ),
        (
            any::<[[u8; 16]; 2]>(),
            any::<u8>(),
            extensions(),
            fragment()
        )
            .prop_map(
                |([source, destination], ttl, extensions, fragment)| Ip::V6 {
                    source,
                    destination,
                    ttl,
                    extensions,
                    fragment
                }
            ),
    ]
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        4 => (any::<(u16, u16)>(), 0usize..=10, any::<u8>(), any::<u16>()).prop_map(
            |(ports, options, flags, window)| Transport::Tcp { ports, options, flags, window }
        ),
        3 => any::<(u16, u16)>().prop_map(Transport::Udp),
        1 => any::<(u16, u16)>().prop_map(Transport::UdpLite),
        1 => any::<(u16, u16)>().prop_map(Transport::Sctp),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(kind, code)| Transport::Icmp(kind, code)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(kind, code)| Transport::Icmpv6(kind, code)),
        // IGMP, GRE, ESP, OSPF, "no next header", unassigned.
        1 => prop_oneof![Just(2u8), Just(47), Just(50), Just(59), Just(89), Just(253)]
            .prop_map(Transport::Other),
    ]
}

/// Well-formed frames.
pub(crate) fn plans() -> impl Strategy<Value = Plan> {
    let tag = (
        prop_oneof![Just(0x8100u16), Just(0x88a8), Just(0x9100)],
        any::<u16>(),
    );
    (
        proptest::collection::vec(tag, 0..=2),
        ip(),
        transport(),
        proptest::collection::vec(any::<u8>(), 1..64),
        0usize..20,
    )
        .prop_map(|(tags, ip, transport, payload, padding)| Plan {
            tags,
            ip,
            transport,
            payload,
            padding,
        })
}

/// IPv6 packets with this many extension headers, the fragment header among them.
pub(crate) fn chained(extensions: usize, fragment: Option<(bool, u16)>) -> Plan {
    let options = extensions - usize::from(fragment.is_some());
    Plan {
        tags: Vec::new(),
        ip: Ip::V6 {
            source: [1; 16],
            destination: [2; 16],
            ttl: 64,
            extensions: vec![Extension::Options(60, 0); options],
            fragment,
        },
        transport: Transport::Udp((7, 9)),
        payload: vec![0; 32],
        padding: 0,
    }
}

/// ARP packets about IPv4 over Ethernet, and others that differ in a field or two; tagged, padded or cut.
pub(crate) fn arp() -> impl Strategy<Value = Hex> {
    let about = prop_oneof![
        6 => Just([0u8, 1, 8, 0, 6, 4]),
        1 => (any::<prop::sample::Index>(), 0u8..9).prop_map(|(at, byte)| {
            let mut about = [0, 1, 8, 0, 6, 4];
            about[at.index(6)] = byte;
            about
        }),
    ];
    let tags = proptest::collection::vec(any::<u16>(), 0..=3);
    let operation = prop_oneof![Just(1u16), Just(2), any::<u16>()];
    let addresses = (
        any::<[u8; 6]>(),
        any::<[u8; 4]>(),
        any::<[u8; 6]>(),
        any::<[u8; 4]>(),
    );
    (tags, about, operation, addresses, 0usize..60).prop_map(
        |(tags, about, operation, (sender_hardware, sender, target_hardware, target), behind)| {
            let mut frame = vec![2; 12];
            for tag in tags {
                frame.extend([0x81, 0]);
                frame.extend(tag.to_be_bytes());
            }
            frame.extend([8, 6]);
            let start = frame.len();
            frame.extend(about);
            frame.extend(operation.to_be_bytes());
            frame.extend(sender_hardware);
            frame.extend(sender);
            frame.extend(target_hardware);
            frame.extend(target);
            frame.resize(start + behind, 0);
            Hex(frame)
        },
    )
}

/// Bytes that a failing test prints as one line.
#[derive(Clone)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Well-formed frames with a few bytes changed, mostly in the headers.
pub(crate) fn mutated() -> impl Strategy<Value = Hex> {
    let change = (
        any::<prop::sample::Index>(),
        prop_oneof![
            Just(0u8),
            Just(0xff),
            Just(0x45),
            Just(0x60),
            Just(44),
            any::<u8>()
        ],
    );
    (plans(), proptest::collection::vec(change, 1..6)).prop_map(|(plan, changes)| {
        let mut frame = plan.frame();
        let headers = frame.len().min(120);
        for (at, byte) in changes {
            let at = 12 + at.index(headers - 12);
            frame[at] = byte;
        }
        Hex(frame)
    })
}
