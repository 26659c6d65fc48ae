//! Makes a large capture out of a small one, for benchmarks: the same traffic again and again, each time later and
//! between other hosts. The result is an ordinary pcap file, so that other tools can be measured on the same bytes.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use sensor_ebpf::{
    flow::TimeNs,
    frame::{ether_type, protocol},
};

use super::{
    CaptureError, input,
    link::LinkType,
    pcap_writer::{PcapWriter, Resolution},
};

/// Packet time between two rounds: longer than the idle timeout, so that no flow reaches from one into the next.
const PAUSE_NS: u64 = 600_000_000_000;

/// Why a capture could not be looped.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// The input cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The output cannot be written.
    #[error("writing the looped capture: {0}")]
    Write(#[from] io::Error),
    /// Only Ethernet captures can be looped.
    #[error("{}: link type {link}; only Ethernet captures can be looped", path.display())]
    LinkType {
        /// The capture.
        path: PathBuf,
        /// Its link type.
        link: u16,
    },
}

/// Writes `input` to `out` again and again until there are `packets` packets, and returns how many there are (0
/// for an input without a packet).
///
/// In round k the third octet of every unicast IPv4 address (the last 16 bits of every unicast IPv6 address) is XORed
/// with k: hosts stay in their private or public ranges and pairs stay pairs. Checksums are kept right.
///
/// # Errors
/// Input that cannot be read or is not Ethernet, output that cannot be written or would reach the year 2106.
pub fn write<W: Write>(input: &Path, packets: u64, out: W) -> Result<u64, LoopError> {
    let mut writer = PcapWriter::new(out, LinkType::ETHERNET, Resolution::Nanoseconds)?;
    let (mut written, mut shift) = (0, 0);
    let mut frame = Vec::new();
    for round in 0u16.. {
        let before = written;
        let (mut first, mut last): (TimeNs, TimeNs) = (TimeNs::MAX, 0);
        let mut failure = None;
        input::frames(input, |record| {
            if written == packets || failure.is_some() {
                return;
            }
            if record.link != LinkType::ETHERNET {
                failure = Some(LoopError::LinkType {
                    path: input.to_owned(),
                    link: record.link.0,
                });
                return;
            }
            first = first.min(record.time);
            last = last.max(record.time);
            frame.clear();
            frame.extend_from_slice(record.frame);
            move_hosts(&mut frame, round);
            match writer.write(
                record.time.saturating_add(shift),
                record.wire_length,
                &frame,
            ) {
                Ok(()) => written += 1,
                Err(error) => failure = Some(error.into()),
            }
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        if written == packets || written == before {
            break;
        }
        shift += last - first + PAUSE_NS;
    }
    writer.finish()?;
    Ok(written)
}

/// Changes the hosts of one Ethernet frame; what is not IP, or too short, stays as it is.
fn move_hosts(frame: &mut [u8], round: u16) {
    let mut at = 12;
    loop {
        let Some(kind) = frame.get(at..at + 2) else {
            return;
        };
        let behind = at + 2;
        match u16::from_be_bytes([kind[0], kind[1]]) {
            ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD => at += 4,
            ether_type::IPV4 => return move_ipv4(&mut frame[behind..], round),
            ether_type::IPV6 => return move_ipv6(&mut frame[behind..], round),
            _ => return,
        }
    }
}

fn move_ipv4(packet: &mut [u8], round: u16) {
    if packet.len() < 20 {
        return;
    }
    let mut delta = Checksum::default();
    for at in [12, 16] {
        // Multicast and broadcast are no hosts.
        if packet[at] < 224 {
            delta.xor(packet, at + 2, round << 8);
        }
    }
    delta.apply(packet, 10);
    let header_bytes = usize::from(packet[0] & 0x0f) * 4;
    let is_first = u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff == 0;
    if is_first && let Some(at) = checksum_at(packet[9]) {
        delta.apply(packet, header_bytes + at);
    }
}

fn move_ipv6(packet: &mut [u8], round: u16) {
    if packet.len() < 40 {
        return;
    }
    let mut delta = Checksum::default();
    for at in [8, 24] {
        if packet[at] != 0xff {
            delta.xor(packet, at + 14, round);
        }
    }
    // Behind extension headers the checksum is left alone: nothing that loops captures reads it.
    let at = match packet[6] {
        protocol::ICMPV6 => Some(2),
        other => checksum_at(other),
    };
    if let Some(at) = at {
        delta.apply(packet, 40 + at);
    }
}

/// Where a transport header has a checksum that covers the addresses.
fn checksum_at(protocol: u8) -> Option<usize> {
    match protocol {
        protocol::TCP => Some(16),
        protocol::UDP => Some(6),
        _ => None,
    }
}

/// A change of an Internet checksum (RFC 1624): `HC' = ~(~HC + Σ(~m + m'))`.
#[derive(Default)]
struct Checksum {
    sum: u32,
}

impl Checksum {
    /// XORs the 16-bit word at `at` with `mask` and remembers the difference.
    fn xor(&mut self, packet: &mut [u8], at: usize, mask: u16) {
        let old = u16::from_be_bytes([packet[at], packet[at + 1]]);
        let new = old ^ mask;
        packet[at..at + 2].copy_from_slice(&new.to_be_bytes());
        self.sum += u32::from(!old) + u32::from(new);
    }

    fn apply(&self, packet: &mut [u8], at: usize) {
        let Some(field) = packet.get_mut(at..at + 2) else {
            return;
        };
        let old = u16::from_be_bytes([field[0], field[1]]);
        // A UDP checksum of 0 means that there is none.
        if old == 0 {
            return;
        }
        let mut sum = self.sum + u32::from(!old);
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        field.copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(bytes: &[u8]) -> u16 {
        let mut sum: u32 = bytes
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn moved_hosts_keep_their_checksums_right() {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00]);
        let mut header = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0];
        header.extend([192, 168, 1, 5, 10, 20, 30, 40]);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(&header);
        frame.extend([0, 53, 0, 54, 0, 8, 0xab, 0xcd]);
        for round in [0, 1, 7, 255] {
            let mut moved = frame.clone();
            move_hosts(&mut moved, round);
            assert_eq!(checksum(&moved[14..34]), 0, "round {round}");
            assert_eq!(moved[28], 1 ^ round as u8);
            assert_eq!(moved[29], 5);
            // The pseudo-header changed by as much as the transport checksum did.
            let covered = |frame: &[u8]| checksum(&[&frame[26..34], &frame[34..]].concat());
            assert_eq!(covered(&moved), covered(&frame), "round {round}");
        }
    }
}
