//! Protocols by number and by name, and what stands where TCP has ports.

use std::borrow::Cow;

/// [`super::FlowRecord::protocol`] of ARP: its EtherType (IEEE 802 numbers).
pub const ARP: u16 = 0x0806;

/// Every number that [`super::FlowRecord::protocol`] answers.
pub fn protocol_numbers() -> impl Iterator<Item = u16> {
    (0..=u16::from(u8::MAX)).chain([ARP])
}

/// Lower-case name of the protocols that a person knows by name; the others go by their number.
pub const fn protocol_name(protocol: u16) -> Option<&'static str> {
    Some(match protocol {
        ARP => "arp",
        1 => "icmp",
        2 => "igmp",
        4 => "ipip",
        6 => "tcp",
        17 => "udp",
        41 => "ipv6",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "ipv6-icmp",
        88 => "eigrp",
        89 => "ospf",
        103 => "pim",
        112 => "vrrp",
        115 => "l2tp",
        132 => "sctp",
        136 => "udplite",
        _ => return None,
    })
}

/// The name, or the number where a person knows none.
pub fn protocol_text(protocol: u16) -> Cow<'static, str> {
    protocol_name(protocol).map_or_else(|| Cow::Owned(protocol.to_string()), Cow::Borrowed)
}

/// The number of a protocol by its name, or as it is written.
pub fn protocol_number(text: &str) -> Option<u16> {
    let written = text.parse().ok();
    protocol_numbers()
        .find(|number| protocol_name(*number) == Some(text) || written == Some(*number))
}

/// Whether flows of this protocol have ports: TCP, UDP, DCCP, SCTP, UDP-Lite.
#[inline]
pub const fn has_ports(protocol: u16) -> bool {
    matches!(protocol, 6 | 17 | 33 | 132 | 136)
}

/// Whether it is ICMP, of either version: type and code stand where others have ports, as Zeek does it.
#[inline]
pub const fn is_icmp(protocol: u16) -> bool {
    matches!(protocol, 1 | 58)
}

/// What a flow asks for, by protocol and port of the responder, or by ICMP type: `tcp/443`, `icmp type 8`, `gre`.
pub fn service_text(protocol: u16, port_or_type: u16) -> String {
    let name = protocol_text(protocol);
    if has_ports(protocol) {
        format!("{name}/{port_or_type}")
    } else if is_icmp(protocol) {
        format!("{name} type {port_or_type}")
    } else {
        name.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for number in protocol_numbers() {
            assert_eq!(protocol_number(&protocol_text(number)), Some(number));
            assert_eq!(protocol_number(&number.to_string()), Some(number));
        }
        for wrong in ["", "tpc", "300", "-1"] {
            assert_eq!(protocol_number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn services_are_ports_or_types_or_protocols() {
        assert_eq!(service_text(6, 443), "tcp/443");
        assert_eq!(service_text(33, 5001), "33/5001");
        assert_eq!(service_text(58, 135), "ipv6-icmp type 135");
        assert_eq!(service_text(47, 0), "gre");
        assert_eq!(service_text(ARP, 1), "arp");
    }
}
