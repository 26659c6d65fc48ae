//! Community ID v1: one name for a flow across tools (<https://github.com/corelight/community-id-spec>).

use sensor_ebpf::flow::{FlowKey, Side};
use sha1::{Digest, Sha1};

/// The id with seed 0. `originator` matters only for ICMP types without an answer, which are not put in order.
pub(super) fn v1(key: &FlowKey, originator: Side) -> String {
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

fn is_v4(address: &[u8; 16]) -> bool {
    address[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
}

fn has_ports(key: &FlowKey) -> bool {
    matches!(key.protocol, 1 | 6 | 17 | 58 | 132) && key.later_fragment == 0
}

/// ICMP types whose answer has another type are two-way; the specification lists them as Zeek does.
fn is_one_way(key: &FlowKey) -> bool {
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
