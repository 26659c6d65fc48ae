//! Community ID v1: one name for a flow across tools (<https://github.com/corelight/community-id-spec>).

use sensor_ebpf::{
    flow::{FlowKey, Side},
    frame::ARP_REQUEST,
};
use sha1::{Digest, Sha1};

use super::ip_address;

/// The id with seed 0. `originator` matters only for ICMP types without an answer, which are not put in order.
pub fn v1(key: &FlowKey, originator: Side) -> String {
    // Key order is the order the specification asks for: by address, then by port.
    let (source, destination) = if is_one_way(key) {
        (originator, 1 - originator)
    } else {
        (0, 1)
    };
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    for side in [source, destination] {
        let address = &key.addresses[side];
        hash.update(if is_v4(address) {
            &address[12..]
        } else {
            &address[..]
        });
    }
    hash.update([key.protocol, 0]);
    if has_ports(key) {
        hash.update(key.ports[source].to_be_bytes());
        hash.update(key.ports[destination].to_be_bytes());
    }
    format!("1:{}", base64(&hash.finalize()))
}

/// What a flow is told and found by: its Community ID, or, for ARP, which has none, `arp/` and who asked for whom.
pub fn name(key: &FlowKey, originator: Side) -> String {
    if !key.is_arp() {
        return v1(key, originator);
    }
    let asks = |side: &Side| key.ports[*side] == ARP_REQUEST;
    let asker = [0, 1].into_iter().find(asks).unwrap_or(originator);
    let [from, to] = [asker, 1 - asker].map(|side| ip_address(&key.addresses[side]));
    format!("arp/{from}/{to}")
}

fn is_v4(address: &[u8; 16]) -> bool {
    address[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
}

fn has_ports(key: &FlowKey) -> bool {
    matches!(key.protocol, 1 | 6 | 17 | 58 | 132) && key.is_whole()
}

/// ICMP types whose answer has another type are two-way; the specification lists them as Zeek does.
pub(super) fn is_one_way(key: &FlowKey) -> bool {
    let paired = |pairs: &[[u16; 2]]| {
        pairs
            .iter()
            .any(|&[a, b]| key.ports == [a, b] || key.ports == [b, a])
    };
    match key.protocol {
        1 => !paired(&[[0, 8], [13, 14], [15, 16], [10, 9], [17, 18]]),
        58 => !paired(&[
            [128, 129],
            [133, 134],
            [135, 136],
            [130, 131],
            [139, 140],
            [144, 145],
        ]),
        _ => false,
    }
}

/// RFC 4648 §4, for the 20 bytes of a SHA-1 digest.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, &byte| word << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            if digit <= chunk.len() {
                text.push(char::from(
                    ALPHABET[(word >> (18 - 6 * digit)) as usize & 63],
                ));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key_address;

    /// What a packet from `source` to `destination` has for an id, by the key its flow would have.
    fn id(protocol: u8, source: (&str, u16), destination: (&str, u16)) -> String {
        let bytes = |text: &str| key_address(text.parse().expect("an address"));
        let mut ends = [
            (bytes(source.0), source.1),
            (bytes(destination.0), destination.1),
        ];
        let swapped = ends[0] > ends[1];
        if swapped {
            ends.reverse();
        }
        let key = FlowKey {
            addresses: ends.map(|end| end.0),
            ports: ends.map(|end| end.1),
            protocol,
            form: 0,
            series: 0,
        };
        v1(&key, usize::from(swapped))
    }

    /// From the specification's own baseline (baseline/baseline_deflt.json) and Zeek's test of the same.
    #[test]
    fn published_vectors() {
        const A: &str = "fe80::200:86ff:fe05:80da";
        const B: &str = "fe80::260:97ff:fe07:69ea";
        const C: &str = "3ffe:507:0:1:200:86ff:fe05:80da";
        let vectors = [
            (
                6,
                ("128.232.110.120", 34855),
                ("66.35.250.204", 80),
                "LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (
                6,
                ("66.35.250.204", 80),
                ("128.232.110.120", 34855),
                "LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (
                17,
                ("192.168.1.52", 54585),
                ("8.8.8.8", 53),
                "d/FP5EW3wiY1vCndhwleRRKHowQ=",
            ),
            (
                132,
                ("192.168.170.8", 7),
                ("192.168.170.56", 7),
                "MP2EtRCAUIZvTw6MxJHLV7N7JDs=",
            ),
            (
                132,
                ("192.168.170.56", 7),
                ("192.168.170.8", 7),
                "MP2EtRCAUIZvTw6MxJHLV7N7JDs=",
            ),
            (
                6,
                ("2001:470:e5bf:dead:4957:2174:e82c:4887", 63943),
                ("2607:f8b0:400c:c03::1a", 25),
                "/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
            ),
            (
                1,
                ("192.168.0.89", 8),
                ("192.168.0.1", 0),
                "X0snYXpgwiv9TZtqg64sgzUn6Dk=",
            ),
            (
                1,
                ("192.168.0.1", 0),
                ("192.168.0.89", 8),
                "X0snYXpgwiv9TZtqg64sgzUn6Dk=",
            ),
            (
                1,
                ("10.0.0.1", 11),
                ("10.0.0.2", 0),
                "YHxtAirCG//0OzkcVAukqKQN9xM=",
            ),
            (
                1,
                ("1.2.3.4", 8),
                ("5.6.7.8", 0),
                "crodRHL2FEsHjbv3UkRrfbs4bZ0=",
            ),
            (58, (A, 135), (B, 136), "dGHyGvjMfljg6Bppwm3bg0LO8TY="),
            (58, (B, 136), (A, 135), "dGHyGvjMfljg6Bppwm3bg0LO8TY="),
            (58, (B, 135), (A, 136), "zavyT/cezQr1fmImYCwYnMXbgck="),
            (
                58,
                ("3ffe:501:1800:2345::2", 3),
                (C, 0),
                "2ObVBgIn28oZvibYZhZMBgh7WdQ=",
            ),
            (
                58,
                ("3ffe:501:410:0:2c0:dfff:fe47:33e", 1),
                (C, 4),
                "hLZd0XGWojozrvxqE0dWB1iM6R0=",
            ),
            (
                58,
                (C, 128),
                ("3ffe:501:0:1001::2", 129),
                "+TW+HtLHvV1xnGhV1lv7XoJrqQg=",
            ),
            (
                58,
                (A, 133),
                ("ff02::2", 134),
                "hO+sN4H+MG5MY/8hIrXPqc4ZQz0=",
            ),
            (
                58,
                (B, 134),
                ("ff02::1", 133),
                "pkvHqCL88/tg1k4cPigmZXUtL00=",
            ),
            (
                46,
                ("10.1.12.1", 0),
                ("10.1.12.2", 0),
                "KHlLkgoJW7ifUTyTSgyVfkFHzKw=",
            ),
            (
                46,
                ("10.1.12.2", 0),
                ("10.1.12.1", 0),
                "KHlLkgoJW7ifUTyTSgyVfkFHzKw=",
            ),
        ];
        for (protocol, source, destination, expected) in vectors {
            assert_eq!(
                id(protocol, source, destination),
                format!("1:{expected}"),
                "{protocol} {source:?} {destination:?}"
            );
        }
    }
}
