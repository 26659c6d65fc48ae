//! ARP (RFC 826): who asks whom for an IPv4 address over Ethernet.
//!
//! A packet belongs to the flow between the two protocol addresses in it, like one of IP. What hardware has which address is
//! not kept.

use super::{
    Layer, Malformed, NoFlow, Packet, ether_type,
    network::{Address, set_addresses},
};
use crate::flow::form;

/// Length of an ARP packet about IPv4 over Ethernet.
pub const ARP_BYTES: usize = 28;

/// The operation of who asks; who answers has the next.
pub const ARP_REQUEST: u16 = 1;

/// Hardware type of Ethernet (IANA, ARP parameters).
const ETHERNET: u16 = 1;
/// Bytes of an Ethernet address, then of an IPv4 address.
const ADDRESS_BYTES: u16 = 0x0604;

/// The operation in place of ports, as ICMP's type: with that of the answer, so that a request and its reply are one flow, and
/// what the answering side asks in turn is another.
#[inline(always)]
pub const fn arp_ports(operation: u16) -> (u16, u16) {
    const REPLY: u16 = 2;
    match operation {
        ARP_REQUEST => (ARP_REQUEST, REPLY),
        REPLY => (REPLY, ARP_REQUEST),
        _ => (operation, 0),
    }
}

/// Parses an ARP packet. What is not about IPv4 over Ethernet is not ours.
#[inline(always)]
pub(super) fn parse(layer: Layer<'_>, packet: &mut Packet) -> Result<(), NoFlow> {
    let Some(start) = layer.at.header::<6>() else {
        return Err(Malformed::Arp.into());
    };
    if start.u16(0) != ETHERNET || start.u16(2) != ether_type::IPV4 {
        return Err(NoFlow::NotIp);
    }
    let Some(header) = layer.at.header::<ARP_BYTES>() else {
        return Err(Malformed::Arp.into());
    };
    if header.u16(4) != ADDRESS_BYTES {
        return Err(Malformed::Arp.into());
    }
    packet.ip_length = ARP_BYTES as u32;
    packet.payload_length = 0;
    packet.ttl = 0;
    packet.tcp_flags = 0;
    packet.window = 0;
    let (sender, target) = (header.raw_u32(14), header.raw_u32(24));
    let (asks, answers) = arp_ports(header.u16(6));
    // Who asks for his own address asks whether he is alone with it (RFC 5227 §3): then the operation decides, as ports do.
    let swapped = if sender == target {
        asks > answers
    } else {
        u32::from_be(sender) > u32::from_be(target)
    };
    set_addresses(
        packet,
        Address::v4_mapped(sender),
        Address::v4_mapped(target),
        swapped,
    );
    let ports = if swapped {
        [answers, asks]
    } else {
        [asks, answers]
    };
    packet.key.set_ports(ports, 0, form::ARP);
    Ok(())
}
