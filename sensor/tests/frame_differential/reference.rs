//! What `etherparse` says of a frame, in the terms of our parser.
//!
//! The comparison, field by field: addresses (of ARP the protocol addresses), protocol behind the IPv6 extension headers, ports (ICMP: type and
//! code, ARP: operation), whether it is a later fragment, or ARP, IP length, payload length, TCP flags and window, TTL, outer VLAN id. Or that
//! the frame carries no IP, or that it is malformed.
//!
//! `etherparse` slices what is *there*; we count by what the headers *state*, so that a cut capture counts like the
//! full one. Where the two questions differ the reference takes the header fields (never the slice's length) from
//! `etherparse`, and where `etherparse` has no answer it is [`Verdict::Silent`] with a reason. Those reasons:
//!
//! * the transport header is cut by the capture (what we make of cut frames has a test of its own);
//! * protocols of which `etherparse` has no header: SCTP, DCCP, UDP-Lite (its generator knows the truth instead), and
//!   the extension headers Mobility, HIP and Shim6;
//! * hop-by-hop options that are not the first extension header: RFC 8200 §4.1 lets a receiver accept them, we do;
//! * MACsec, which we do not look into;
//! * ARP that is cut, of which `etherparse` tells nothing;
//! * ICMP timestamps longer or shorter than 20 bytes, which `etherparse` refuses and we count.
//!
//! Two decisions of ours are not `etherparse`'s, and are part of the reference: a third VLAN tag and a ninth
//! extension header are refused (the kernel's verifier wants a bound; a ninth that is the fragment header of a later
//! fragment is taken, for nothing has to be followed behind it), and AH behind IPv4 is a protocol of its own and not an
//! extension header (as in every flow monitor).

use etherparse::{
    ArpHardwareId, ArpPacketSlice, Icmpv4Slice, Icmpv6Slice, IpAuthHeaderSlice, IpNumber,
    Ipv6FragmentHeaderSlice, Ipv6RawExtHeaderSlice, LaxIpPayloadSlice, LaxIpv4Slice, LaxIpv6Slice,
    LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, LenSource, TcpHeaderSlice, UdpHeaderSlice, err,
    ether_type, ip_number,
};
use sensor_ebpf::frame::{IPV6_EXTENSIONS_MAX, Parsed, TAGS_MAX, arp_ports, icmp_ports};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) source: ([u8; 16], u16),
    pub(crate) destination: ([u8; 16], u16),
    pub(crate) protocol: u8,
    pub(crate) is_later_fragment: bool,
    pub(crate) is_arp: bool,
    pub(crate) ip_length: u32,
    pub(crate) payload_length: u32,
    pub(crate) tcp_flags: u8,
    pub(crate) window: u16,
    pub(crate) ttl: u8,
    pub(crate) vlan: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Flow(Facts),
    NotIp,
    Malformed,
    /// No opinion, and why.
    Silent(&'static str),
}

/// Our parser's result in the same terms.
pub(crate) fn ours(parsed: Parsed) -> Verdict {
    match parsed {
        Parsed::NotIp | Parsed::Probe => Verdict::NotIp,
        Parsed::Malformed(_) => Verdict::Malformed,
        Parsed::Flow(packet) => {
            let end = |side: usize| (packet.key.addresses[side], packet.key.ports[side]);
            assert!(end(0) <= end(1), "the key is canonical: {packet:?}");
            assert_eq!(packet.key.series, 0);
            Verdict::Flow(Facts {
                source: end(packet.sender),
                destination: end(1 - packet.sender),
                protocol: packet.key.protocol,
                is_later_fragment: packet.key.is_later_fragment(),
                is_arp: packet.key.is_arp(),
                ip_length: packet.ip_length,
                payload_length: packet.payload_length,
                tcp_flags: packet.tcp_flags,
                window: packet.window,
                ttl: packet.ttl,
                vlan: packet.vlan,
            })
        }
    }
}

/// An IPv4 address as keys hold it.
pub(crate) fn v4_mapped(address: [u8; 4]) -> [u8; 16] {
    let mut mapped = [0; 16];
    mapped[10..12].fill(0xff);
    mapped[12..].copy_from_slice(&address);
    mapped
}

/// What `etherparse` says of an Ethernet frame.
pub(crate) fn ethernet(frame: &[u8]) -> Verdict {
    match LaxSlicedPacket::from_ethernet(frame) {
        Ok(packet) => {
            let kind = u16::from_be_bytes([frame[12], frame[13]]);
            behind_link(&packet, kind)
        }
        Err(_) => Verdict::Malformed,
    }
}

/// What `etherparse` says of what stands behind an EtherType.
pub(crate) fn behind_ether_type(kind: u16, rest: &[u8]) -> Verdict {
    behind_link(
        &LaxSlicedPacket::from_ether_type(etherparse::EtherType(kind), rest),
        kind,
    )
}

/// What `etherparse` says of an IP packet without link header.
pub(crate) fn ip(packet: &[u8]) -> Verdict {
    match LaxSlicedPacket::from_ip(packet) {
        Ok(packet) => network(&packet, 0),
        Err(_) => Verdict::Malformed,
    }
}

fn behind_link(packet: &LaxSlicedPacket<'_>, first_kind: u16) -> Verdict {
    let mut kind = etherparse::EtherType(first_kind);
    let mut vlan = None;
    for (tags, extension) in packet.link_exts.iter().enumerate() {
        match extension {
            LaxLinkExtSlice::Macsec(_) => return Verdict::Silent("MACsec"),
            LaxLinkExtSlice::Vlan(_) if tags == TAGS_MAX => return Verdict::Malformed,
            LaxLinkExtSlice::Vlan(tag) => {
                vlan = vlan.or(Some(tag.vlan_identifier().value()));
                kind = tag.ether_type();
            }
        }
    }
    let vlan = vlan.unwrap_or(0);
    match kind {
        ether_type::MACSEC => Verdict::Silent("MACsec"),
        // A tag that is cut, or one too many.
        ether_type::VLAN_TAGGED_FRAME
        | ether_type::PROVIDER_BRIDGING
        | ether_type::VLAN_DOUBLE_TAGGED_FRAME => Verdict::Malformed,
        ether_type::IPV4 | ether_type::IPV6 => match &packet.net {
            // It goes by the version in the header; the EtherType has to agree.
            Some(LaxNetSlice::Ipv4(_)) if kind != ether_type::IPV4 => Verdict::Malformed,
            Some(LaxNetSlice::Ipv6(_)) if kind != ether_type::IPV6 => Verdict::Malformed,
            _ => network(packet, vlan),
        },
        ether_type::ARP => match &packet.net {
            Some(_) => network(packet, vlan),
            None => Verdict::Silent("ARP cut by the capture"),
        },
        _ => Verdict::NotIp,
    }
}

fn arp(packet: &ArpPacketSlice<'_>, vlan: u16) -> Verdict {
    let about = (packet.hw_addr_type(), packet.proto_addr_type());
    if about != (ArpHardwareId::ETHERNET, ether_type::IPV4) {
        return Verdict::NotIp;
    }
    let (Ok(sender), Ok(target)) = (
        packet.sender_protocol_addr().try_into(),
        packet.target_protocol_addr().try_into(),
    ) else {
        return Verdict::Malformed;
    };
    if packet.sender_hw_addr().len() != 6 {
        return Verdict::Malformed;
    }
    let ports = arp_ports(packet.operation().0);
    Verdict::Flow(Facts {
        source: (v4_mapped(sender), ports.0),
        destination: (v4_mapped(target), ports.1),
        protocol: 0,
        is_later_fragment: false,
        is_arp: true,
        ip_length: packet.slice().len() as u32,
        payload_length: 0,
        tcp_flags: 0,
        window: 0,
        ttl: 0,
        vlan,
    })
}

fn network(packet: &LaxSlicedPacket<'_>, vlan: u16) -> Verdict {
    let facts = match &packet.net {
        Some(LaxNetSlice::Ipv4(slice)) => ipv4(slice, vlan),
        Some(LaxNetSlice::Ipv6(slice)) => ipv6(slice, packet.stop_err.as_ref(), vlan),
        Some(LaxNetSlice::Arp(packet)) => return arp(packet, vlan),
        None => return Verdict::Malformed,
    };
    match facts {
        Ok((facts, None)) => Verdict::Flow(facts),
        Ok((facts, Some(payload))) => transport(facts, &payload),
        Err(verdict) => verdict,
    }
}

/// The facts so far, and what is behind the IP header unless that is a later fragment or a foreign header.
type Network<'a> = Result<(Facts, Option<LaxIpPayloadSlice<'a>>), Verdict>;

fn ipv4<'a>(slice: &LaxIpv4Slice<'a>, vlan: u16) -> Network<'a> {
    let header = slice.header();
    let header_length = header.slice().len() as u32;
    let payload = slice.payload().clone();
    let extensions = slice.extensions().auth.map_or(0, |auth| auth.slice().len());
    let ip_length = match u32::from(header.total_len()) {
        0 => header_length + (extensions + payload.payload.len()) as u32,
        stated => stated,
    };
    if ip_length < header_length {
        return Err(Verdict::Malformed);
    }
    let facts = Facts {
        source: (v4_mapped(header.source()), 0),
        destination: (v4_mapped(header.destination()), 0),
        protocol: header.protocol().0,
        is_later_fragment: header.fragments_offset().value() != 0,
        is_arp: false,
        ip_length,
        payload_length: ip_length - header_length,
        tcp_flags: 0,
        window: 0,
        ttl: header.ttl(),
        vlan,
    };
    let is_last = facts.is_later_fragment || header.protocol() == ip_number::AUTH;
    Ok((facts, (!is_last).then_some(payload)))
}

fn ipv6<'a>(
    slice: &LaxIpv6Slice<'a>,
    stop: Option<&(err::packet::SliceError, err::Layer)>,
    vlan: u16,
) -> Network<'a> {
    let header = slice.header();
    let extensions = slice.extensions();
    let payload = slice.payload().clone();
    let mut facts = Facts {
        source: (header.source(), 0),
        destination: (header.destination(), 0),
        protocol: header.next_header().0,
        is_later_fragment: false,
        is_arp: false,
        ip_length: 0,
        payload_length: match u32::from(header.payload_length()) {
            0 => (extensions.slice().len() + payload.payload.len()) as u32,
            stated => stated,
        },
        tcp_flags: 0,
        window: 0,
        ttl: header.hop_limit(),
        vlan,
    };
    facts.ip_length = facts.payload_length + 40;
    // Walked by hand: its own iterator (0.21) reads behind the end where the last header is cut.
    let mut rest = extensions.slice();
    let mut count = 0;
    while !rest.is_empty() {
        let (next, length, offset) = extension(IpNumber(facts.protocol), rest)?;
        if count == IPV6_EXTENSIONS_MAX && offset == 0 {
            return Err(Verdict::Malformed);
        }
        count += 1;
        facts.protocol = next.0;
        facts.payload_length -= length as u32;
        rest = &rest[length..];
        if offset != 0 {
            facts.is_later_fragment = true;
            return Ok((facts, None));
        }
    }
    if matches!(facts.protocol, 135 | 139 | 140) {
        return Err(Verdict::Silent(
            "extension header that etherparse does not know",
        ));
    }
    match stop {
        Some((err::packet::SliceError::Ipv6Exts(error), _))
            if *error == err::ipv6_exts::HeaderError::HopByHopNotAtStart =>
        {
            Err(Verdict::Silent("hop-by-hop options not at the start"))
        }
        // Only what concerns extension headers: those are still extension headers that it could not step over.
        Some(_) if is_extension(IpNumber(facts.protocol)) => Err(Verdict::Malformed),
        _ => Ok((facts, Some(payload))),
    }
}

/// Next header, length and fragment offset of an extension header.
fn extension(number: IpNumber, bytes: &[u8]) -> Result<(IpNumber, usize, u16), Verdict> {
    match number {
        ip_number::IPV6_FRAG => Ipv6FragmentHeaderSlice::from_slice(bytes)
            .map(|fragment| {
                let offset = fragment.fragment_offset().value();
                (fragment.next_header(), fragment.slice().len(), offset)
            })
            .map_err(|_| Verdict::Malformed),
        ip_number::AUTH => IpAuthHeaderSlice::from_slice(bytes)
            .map(|auth| (auth.next_header(), auth.slice().len(), 0))
            .map_err(|_| Verdict::Malformed),
        _ => Ipv6RawExtHeaderSlice::from_slice(bytes)
            .map(|raw| (raw.next_header(), raw.slice().len(), 0))
            .map_err(|_| Verdict::Malformed),
    }
}

fn is_extension(number: IpNumber) -> bool {
    matches!(
        number,
        ip_number::IPV6_HOP_BY_HOP
            | ip_number::IPV6_ROUTE
            | ip_number::IPV6_DEST_OPTIONS
            | ip_number::IPV6_FRAG
            | ip_number::AUTH
    )
}

/// The header behind IP. `etherparse` does not open the first fragment of a packet by itself, so this asks it for the
/// header.
fn transport(mut facts: Facts, payload: &LaxIpPayloadSlice<'_>) -> Verdict {
    let bytes = payload.payload;
    // Cut by the capture and not by what the IP header states.
    let is_cut =
        payload.len_source == LenSource::Slice && (bytes.len() as u32) < facts.payload_length;
    let failed = if is_cut {
        Verdict::Silent("transport header cut by the capture")
    } else {
        Verdict::Malformed
    };
    let header_length = match IpNumber(facts.protocol) {
        ip_number::TCP => match TcpHeaderSlice::from_slice(bytes) {
            Ok(tcp) => {
                facts.source.1 = tcp.source_port();
                facts.destination.1 = tcp.destination_port();
                facts.window = tcp.window_size();
                let flags = [
                    tcp.fin(),
                    tcp.syn(),
                    tcp.rst(),
                    tcp.psh(),
                    tcp.ack(),
                    tcp.urg(),
                    tcp.ece(),
                    tcp.cwr(),
                ];
                for (bit, flag) in flags.into_iter().enumerate() {
                    facts.tcp_flags |= u8::from(flag) << bit;
                }
                tcp.slice().len()
            }
            Err(_) => return failed,
        },
        ip_number::UDP => match UdpHeaderSlice::from_slice(bytes) {
            Ok(udp) => {
                facts.source.1 = udp.source_port();
                facts.destination.1 = udp.destination_port();
                8
            }
            Err(_) => return failed,
        },
        ip_number::ICMP => match Icmpv4Slice::from_slice(bytes) {
            Ok(icmp) => {
                let ports = icmp_ports(facts.protocol, icmp.type_u8(), icmp.code_u8());
                (facts.source.1, facts.destination.1) = ports;
                8
            }
            Err(_) if bytes.len() >= 8 => {
                return Verdict::Silent("ICMP timestamp of another length");
            }
            Err(_) => return failed,
        },
        ip_number::IPV6_ICMP => match Icmpv6Slice::from_slice(bytes) {
            Ok(icmp) => {
                let ports = icmp_ports(facts.protocol, icmp.type_u8(), icmp.code_u8());
                (facts.source.1, facts.destination.1) = ports;
                8
            }
            Err(_) => return failed,
        },
        ip_number::SCTP | ip_number::DCCP | ip_number::UDP_LITE => {
            return Verdict::Silent("transport that etherparse does not know");
        }
        _ => 0,
    };
    facts.payload_length -= header_length as u32;
    Verdict::Flow(facts)
}
