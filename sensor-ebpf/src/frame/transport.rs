//! TCP, UDP, SCTP, DCCP, UDP-Lite, ICMP and ICMPv6: ports, flags, and where the payload begins.

use super::{Malformed, Packet, network::Segment, protocol};
use crate::flow::form;

const CUT: Result<(), Malformed> = Err(Malformed::TransportTruncated);

/// Ports and flags of the transport header; for protocols without ports, and in later fragments, all are 0.
#[inline(always)]
pub(super) fn parse(segment: &Segment<'_>, packet: &mut Packet) -> Result<(), Malformed> {
    let at = segment.at.settle();
    packet.tcp_flags = 0;
    packet.window = 0;
    if segment.later_fragment {
        set(packet, segment, (0, 0), 0);
        return Ok(());
    }
    match segment.protocol {
        protocol::TCP => {
            let Some(header) = at.header::<16>() else {
                return CUT;
            };
            let header_length = u32::from(header.u8(12) >> 4) * 4;
            if header_length < 20 || header_length > segment.length {
                return CUT;
            }
            packet.tcp_flags = header.u8(13);
            packet.window = header.u16(14);
            let ports = (header.u16(0), header.u16(2));
            set(packet, segment, ports, header_length);
        }
        protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::DCCP => {
            let header_length = match segment.protocol {
                protocol::SCTP | protocol::DCCP => 12,
                _ => 8,
            };
            let Some(header) = at.header::<4>() else {
                return CUT;
            };
            if header_length > segment.length {
                return CUT;
            }
            let ports = (header.u16(0), header.u16(2));
            set(packet, segment, ports, header_length);
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let Some(header) = at.header::<2>() else {
                return CUT;
            };
            if segment.length < 8 {
                return CUT;
            }
            let ports = icmp_ports(segment.protocol, header.u8(0), header.u8(1));
            set(packet, segment, ports, 8);
        }
        _ => set(packet, segment, (0, 0), 0),
    }
    Ok(())
}

/// Puts the ports into the key in canonical order, and the payload's length.
#[inline(always)]
fn set(
    packet: &mut Packet,
    segment: &Segment<'_>,
    (source, destination): (u16, u16),
    header_length: u32,
) {
    packet.payload_length = segment.length - header_length;
    if segment.tie {
        packet.sender = usize::from(source > destination);
    }
    let ports = if packet.sender == 0 {
        [source, destination]
    } else {
        [destination, source]
    };
    let form = if segment.later_fragment {
        form::LATER_FRAGMENT
    } else {
        form::WHOLE
    };
    packet.key.set_ports(ports, segment.protocol, form);
}

/// ICMP type and code in place of ports, as Zeek and Community ID do: type and the type of the answer where
/// the type has one, so that request and reply are one flow, else type and code.
#[inline(always)]
pub const fn icmp_ports(protocol: u8, kind: u8, code: u8) -> (u16, u16) {
    let counterpart = if protocol == protocol::ICMP {
        match kind {
            0 => 8,
            8 => 0,
            9 => 10,
            10 => 9,
            13 => 14,
            14 => 13,
            15 => 16,
            16 => 15,
            17 => 18,
            18 => 17,
            _ => return (kind as u16, code as u16),
        }
    } else {
        match kind {
            128 => 129,
            129 => 128,
            130 => 131,
            131 => 130,
            133 => 134,
            134 => 133,
            135 => 136,
            136 => 135,
            139 => 140,
            140 => 139,
            144 => 145,
            145 => 144,
            _ => return (kind as u16, code as u16),
        }
    };
    (kind as u16, counterpart)
}
