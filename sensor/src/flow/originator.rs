//! Which side of a flow began it.

use sensor_ebpf::flow::{FlowCounters, FlowKey, Side, seen};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// The side that began the flow: by SYN, else by request type (ICMP, ARP) or service port, else by first packet.
///
/// A sensor that starts in the middle of a conversation sees no SYN; the service port then tells better than the
/// packet it happens to see first.
pub(super) fn originator(key: &FlowKey, counters: &FlowCounters) -> Side {
    let by_protocol = match key.protocol {
        _ if key.is_arp() => by_request(key, &[1]),
        TCP => by_syn(counters).or_else(|| by_service(key)),
        UDP | SCTP => by_service(key),
        ICMP => by_request(key, &[8, 10, 13, 15, 17, 37]),
        ICMPV6 => by_request(key, &[128, 130, 133, 135, 139, 144]),
        _ => None,
    };
    by_protocol.unwrap_or_else(|| by_first_packet(counters))
}

fn by_syn(counters: &FlowCounters) -> Option<Side> {
    let [a, b] = counters.halves.each_ref().map(|half| half.seen);
    let only = |one: bool, other: bool| match (one, other) {
        (true, false) => Some(0),
        (false, true) => Some(1),
        _ => None,
    };
    only(a & seen::SYN != 0, b & seen::SYN != 0)
        .or_else(|| only(b & seen::SYN_ACK != 0, a & seen::SYN_ACK != 0))
}

/// A port below 1024 (RFC 6335 §6, system ports) or of a service that everybody runs above it.
fn is_service(port: u16) -> bool {
    // In ascending order; what is missing falls back to the first packet.
    const REGISTERED: [u16; 28] = [
        1080, 1194, 1433, 1521, 1701, 1723, 1812, 1813, 1883, 1900, 2049, 2404, 3128, 3268, 3306,
        3389, 3478, 4789, 5060, 5061, 5353, 5355, 5432, 5672, 5900, 5985, 6379, 8080,
    ];
    (1..1024).contains(&port) || REGISTERED.binary_search(&port).is_ok()
}

fn by_service(key: &FlowKey) -> Option<Side> {
    match key.ports.map(is_service) {
        [true, false] => Some(1),
        [false, true] => Some(0),
        _ => None,
    }
}

/// The side whose type asks a question; its counterpart is the other "port" (RFC 792, RFC 4443, RFC 4861; RFC 826).
fn by_request(key: &FlowKey, requests: &[u16]) -> Option<Side> {
    match key.ports.map(|kind| requests.contains(&kind)) {
        [true, false] => Some(0),
        [false, true] => Some(1),
        _ => None,
    }
}

fn by_first_packet(counters: &FlowCounters) -> Side {
    usize::from(counters.halves[1].first < counters.halves[0].first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(protocol: u8, ports: [u16; 2], seen: [u16; 2], first: [u64; 2]) -> Side {
        let key = FlowKey {
            addresses: [[1; 16], [2; 16]],
            ports,
            protocol,
            form: 0,
            series: 0,
        };
        let mut counters = FlowCounters::EMPTY;
        for side in 0..2 {
            counters.halves[side].seen = seen[side];
            counters.halves[side].first = first[side];
        }
        originator(&key, &counters)
    }

    #[test]
    fn syn_beats_port_beats_order() {
        // The server connects out from its service port (active FTP data): SYN decides.
        assert_eq!(
            flow(TCP, [20, 40_000], [seen::SYN, seen::SYN_ACK], [5, 6]),
            0
        );
        // Only the answer to a SYN was seen.
        assert_eq!(flow(TCP, [40_000, 50_000], [seen::SYN_ACK, 0], [5, 6]), 1);
        // In the middle of a conversation the server spoke first.
        assert_eq!(
            flow(TCP, [443, 50_000], [seen::DATA, seen::DATA], [5, 6]),
            1
        );
        assert_eq!(
            flow(TCP, [50_000, 3389], [seen::DATA, seen::DATA], [9, 6]),
            0
        );
        // Simultaneous open, and two ports that say nothing: the first packet.
        assert_eq!(
            flow(TCP, [50_000, 40_000], [seen::SYN, seen::SYN], [9, 6]),
            1
        );
        assert_eq!(flow(UDP, [53, 53], [0, 0], [5, 6]), 0);
        assert_eq!(flow(UDP, [40_000, 53], [0, 0], [7, 6]), 0);
    }

    #[test]
    fn icmp_requests_come_from_the_asking_side() {
        assert_eq!(flow(ICMP, [8, 0], [0, 0], [9, 6]), 0);
        assert_eq!(flow(ICMP, [0, 8], [0, 0], [5, 6]), 1);
        assert_eq!(flow(ICMPV6, [136, 135], [0, 0], [5, 6]), 1);
        // Destination unreachable, port unreachable: no counterpart, so whoever sent it.
        assert_eq!(flow(ICMP, [3, 3], [0, 0], [u64::MAX, 6]), 1);
    }
}
