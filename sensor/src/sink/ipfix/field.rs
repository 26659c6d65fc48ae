//! Fields of a data record: which element each is, and how its value is written.
//!
//! Numbers and types are those of IANA's registry (<https://www.iana.org/assignments/ipfix>). Lengths of packets are
//! `unsigned64` there and written in two bytes, as RFC 7011 §6.2 allows: no packet is longer.

use sensor_ebpf::flow::{Half, Side, TimeNs};

use super::template::Element;
use crate::flow::FlowRecord;

/// What a field is about. The first are of one direction, the others of the whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Bytes,
    Packets,
    PayloadBytes,
    LengthMin,
    LengthMax,
    TtlMin,
    TtlMax,
    TcpFlags,

    FlowId,
    StartMilliseconds,
    EndMilliseconds,
    StartNanoseconds,
    EndNanoseconds,
    Source4,
    Destination4,
    Source6,
    Destination6,
    SourcePort,
    DestinationPort,
    Icmp4,
    Icmp6,
    Protocol,
    EtherType,
    EndReason,
    Direction,
    Interface,
    Vlan,
    CustomerVlan,
}

/// A field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) what: What,
    /// Whether it is about what the destination sent.
    pub(super) reverse: bool,
}

/// A flow, or one direction of it, as a record tells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg<'a> {
    pub(super) record: &'a FlowRecord,
    /// Side of the key that is the record's source.
    pub(super) source: Side,
    pub(super) start: TimeNs,
    pub(super) end: TimeNs,
}

/// `biflowDirection`: the source began the conversation, or its destination did (RFC 5103 §6.3).
const INITIATOR: u8 = 1;
const REVERSE_INITIATOR: u8 = 2;

impl<'a> Leg<'a> {
    /// Both directions.
    pub(super) const fn whole(record: &'a FlowRecord) -> Self {
        Self {
            record,
            source: record.originator,
            start: record.start(),
            end: record.last(),
        }
    }

    /// What one side sent.
    pub(super) const fn of_side(record: &'a FlowRecord, source: Side) -> Self {
        let half = &record.counters.halves[source];
        Self {
            record,
            source,
            start: half.first,
            end: half.last,
        }
    }

    const fn half(&self, reverse: bool) -> &'a Half {
        &self.record.counters.halves[if reverse {
            1 - self.source
        } else {
            self.source
        }]
    }
}

impl Field {
    /// The element.
    pub(super) const fn element(self) -> Element {
        let (id, bytes) = match self.what {
            What::Bytes => (1, 8),
            What::Packets => (2, 8),
            What::Protocol => (4, 1),
            What::TcpFlags => (6, 2),
            What::SourcePort => (7, 2),
            What::Source4 => (8, 4),
            What::Interface => (10, 4),
            What::DestinationPort => (11, 2),
            What::Destination4 => (12, 4),
            What::LengthMin => (25, 2),
            What::LengthMax => (26, 2),
            What::Source6 => (27, 16),
            What::Destination6 => (28, 16),
            What::Icmp4 => (32, 2),
            What::TtlMin => (52, 1),
            What::TtlMax => (53, 1),
            What::Vlan => (58, 2),
            What::EndReason => (136, 1),
            What::Icmp6 => (139, 2),
            What::FlowId => (148, 8),
            What::StartMilliseconds => (152, 8),
            What::EndMilliseconds => (153, 8),
            What::StartNanoseconds => (156, 8),
            What::EndNanoseconds => (157, 8),
            What::Direction => (239, 1),
            What::EtherType => (256, 2),
            What::CustomerVlan => (245, 2),
            What::PayloadBytes => (401, 8),
        };
        Element {
            id,
            bytes,
            reverse: self.reverse,
        }
    }

    /// Writes the value.
    #[inline]
    pub(super) fn put(self, leg: &Leg<'_>, out: &mut Vec<u8>) {
        let record = leg.record;
        let key = &record.key;
        let (source, destination) = (leg.source, 1 - leg.source);
        let half = leg.half(self.reverse);
        // The least of nothing is the greatest number there is; a collector is told 0.
        let any = half.packets > 0;
        match self.what {
            What::Bytes => out.extend(half.ip_bytes.to_be_bytes()),
            What::Packets => out.extend(half.packets.to_be_bytes()),
            What::PayloadBytes => out.extend(half.payload_bytes.to_be_bytes()),
            What::LengthMin => out.extend(if any { half.length_min } else { 0 }.to_be_bytes()),
            What::LengthMax => out.extend(half.length_max.to_be_bytes()),
            What::TtlMin => out.push(if any { half.ttl_min } else { 0 }),
            What::TtlMax => out.push(half.ttl_max),
            What::TcpFlags => out.extend(tcp_flags(half).to_be_bytes()),
            What::FlowId => out.extend(record.id.to_be_bytes()),
            What::StartMilliseconds => out.extend(milliseconds(leg.start)),
            What::EndMilliseconds => out.extend(milliseconds(leg.end)),
            What::StartNanoseconds => out.extend(nanoseconds(leg.start)),
            What::EndNanoseconds => out.extend(nanoseconds(leg.end)),
            What::Source4 => out.extend_from_slice(&key.addresses[source][12..]),
            What::Destination4 => out.extend_from_slice(&key.addresses[destination][12..]),
            What::Source6 => out.extend_from_slice(&key.addresses[source]),
            What::Destination6 => out.extend_from_slice(&key.addresses[destination]),
            What::SourcePort => out.extend(key.ports[source].to_be_bytes()),
            What::DestinationPort => out.extend(key.ports[destination].to_be_bytes()),
            What::Icmp4 | What::Icmp6 => {
                let (icmp_type, code) = record.icmp_of(source).unwrap_or_default();
                out.extend([icmp_type, code]);
            }
            What::Protocol => out.push(key.protocol),
            What::EtherType => out.extend(record.protocol().to_be_bytes()),
            What::EndReason => out.push(record.end.map_or(0, |end| end as u8)),
            What::Direction => out.push(match source == record.originator {
                true => INITIATOR,
                false => REVERSE_INITIATOR,
            }),
            What::Interface => out.extend(record.counters.interface.to_be_bytes()),
            What::Vlan => out.extend(record.counters.vlan.to_be_bytes()),
            What::CustomerVlan => out.extend(record.counters.inner_vlan().to_be_bytes()),
        }
    }
}

/// `tcpControlBits`: the flags that any packet had, at their places in the TCP header.
fn tcp_flags(half: &Half) -> u16 {
    let bit = |(bit, count): (usize, &u32)| u16::from(*count > 0) << bit;
    half.flags.iter().enumerate().map(bit).sum()
}

/// `dateTimeMilliseconds` (RFC 7011 §6.1.8).
fn milliseconds(time: TimeNs) -> [u8; 8] {
    (time / 1_000_000).to_be_bytes()
}

/// `dateTimeNanoseconds` (RFC 7011 §6.1.10): an NTP time stamp, seconds since 1900 and a fraction of 2^32.
///
/// The fraction is rounded up, so that who rounds down gets the same nanosecond back.
fn nanoseconds(time: TimeNs) -> [u8; 8] {
    const FROM_1900_TO_1970_SECONDS: u64 = 2_208_988_800;
    let seconds = time / 1_000_000_000 + FROM_1900_TO_1970_SECONDS;
    let fraction = ((time % 1_000_000_000) << 32).div_ceil(1_000_000_000);
    // Beyond 2036 the seconds begin anew, as NTP's era does.
    (seconds << 32 | fraction).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_come_back() {
        let at = |time: TimeNs| {
            let ntp = u64::from_be_bytes(nanoseconds(time));
            let seconds = (ntp >> 32) - 2_208_988_800;
            seconds * 1_000_000_000 + (((ntp & 0xffff_ffff) * 1_000_000_000) >> 32)
        };
        for time in [
            0,
            1,
            2,
            999_999_999,
            1_000_000_000,
            1_763_733_600_123_456_789,
        ] {
            assert_eq!(at(time), time);
        }
        for step in 0..10_000 {
            let time = 1_763_733_600_000_000_000 + step * 99_991;
            assert_eq!(at(time), time);
        }
    }
}
