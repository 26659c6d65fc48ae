//! What the flow stage hands on.

use std::{fmt, net::IpAddr};

use sensor_ebpf::flow::{FlowCounters, FlowKey, Half, Side, TimeNs};

use super::{ARP, ConnState, community_id, has_ports, ip_address, is_icmp, state};

/// Why a flow record was closed: IPFIX `flowEndReason`, information element 136 (RFC 5102 §5.11.3).
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlowEndReason {
    /// No packet for the idle timeout.
    IdleTimeout = 1,
    /// Longer than the active timeout; what follows is a new record.
    ActiveTimeout = 2,
    /// RST, or FIN from both sides, and the linger is over.
    EndOfFlow = 3,
    /// The sensor was told to stop, or the capture ended.
    ForcedEnd = 4,
    /// The table was full and this flow had been idle longest.
    LackOfResources = 5,
}

impl FlowEndReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::IdleTimeout,
        Self::ActiveTimeout,
        Self::EndOfFlow,
        Self::ForcedEnd,
        Self::LackOfResources,
    ];

    /// Name for people, files and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle-timeout",
            Self::ActiveTimeout => "active-timeout",
            Self::EndOfFlow => "end-of-flow",
            Self::ForcedEnd => "forced-end",
            Self::LackOfResources => "lack-of-resources",
        }
    }
}

impl fmt::Display for FlowEndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the table knows of a record that it hands out, for those who keep something for each live flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Place of the flow: no two live flows have the same, and it is below the table's capacity. It says nothing of the
    /// flow itself.
    pub slot: u32,
    /// Whether the record is, but for what it says of its end, the one that was handed out last for this flow.
    pub unchanged: bool,
}

impl Note {
    /// Of a record that comes from no table.
    pub const NONE: Self = Self {
        slot: u32::MAX,
        unchanged: false,
    };
}

/// One bidirectional flow, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// Stable id: a hash of key and start time, so that the same packets give the same id live and in a replay.
    pub id: u64,
    /// Canonical key.
    pub key: FlowKey,
    /// Side of the key that is the originator: by SYN, then by well-known port, then by first packet.
    pub originator: Side,
    /// Counters since the flow began, by side of the key.
    pub counters: FlowCounters,
    /// `None` while the flow lives (a checkpoint), otherwise why it ended.
    pub end: Option<FlowEndReason>,
    /// How often this flow was due before: 0 the first time.
    pub checkpoint: u32,
    /// End of the epoch in which this record became due: "now", for everything that follows.
    pub due: TimeNs,
}

impl FlowRecord {
    /// Side of the key that is the responder.
    #[inline]
    pub const fn responder(&self) -> Side {
        1 - self.originator
    }

    /// What the originator sent.
    #[inline]
    pub const fn orig(&self) -> &Half {
        &self.counters.halves[self.originator]
    }

    /// What the responder sent.
    #[inline]
    pub const fn resp(&self) -> &Half {
        &self.counters.halves[1 - self.originator]
    }

    /// Address of the originator.
    pub fn source(&self) -> IpAddr {
        ip_address(&self.key.addresses[self.originator])
    }

    /// Address of the responder.
    pub fn destination(&self) -> IpAddr {
        ip_address(&self.key.addresses[self.responder()])
    }

    /// Port of the originator; for ICMP its type.
    #[inline]
    pub const fn source_port(&self) -> u16 {
        self.key.ports[self.originator]
    }

    /// Port of the responder; for ICMP the type of the answer, or the code where the type has no answer.
    #[inline]
    pub const fn destination_port(&self) -> u16 {
        self.key.ports[1 - self.originator]
    }

    /// Ports of originator and responder, or the ICMP type and code in their place; `None` where the protocol has neither, of
    /// later fragments and of ARP.
    #[inline]
    pub const fn ports(&self) -> Option<[u16; 2]> {
        let protocol = self.protocol();
        if (has_ports(protocol) || is_icmp(protocol)) && self.key.is_whole() {
            Some([self.source_port(), self.destination_port()])
        } else {
            None
        }
    }

    /// Time of the first packet of either side.
    #[inline]
    pub const fn start(&self) -> TimeNs {
        self.counters.first()
    }

    /// Time of the last packet of either side.
    #[inline]
    pub const fn last(&self) -> TimeNs {
        self.counters.last()
    }

    /// ICMP type and code of what this side sent; `None` for other protocols and for later fragments.
    ///
    /// Of a type that has an answer the key holds the answer's type in place of the code. All of these are defined with code 0
    /// alone (RFC 792, RFC 4443), so that is what they are said to have.
    pub fn icmp_of(&self, side: Side) -> Option<(u8, u8)> {
        if !is_icmp(self.protocol()) || !self.key.is_whole() {
            return None;
        }
        let code = match community_id::is_one_way(&self.key) {
            true => self.key.ports[1 - side],
            false => 0,
        };
        // Both come from single bytes of the packet.
        Some((self.key.ports[side] as u8, code as u8))
    }

    /// The flow's protocol as one number: IANA's of an IP protocol; of ARP, which has none, its EtherType. EtherTypes begin
    /// at 1,536.
    #[inline]
    pub const fn protocol(&self) -> u16 {
        if self.key.is_arp() {
            ARP
        } else {
            self.key.protocol as u16
        }
    }

    /// Whether this is the flow's last record, not a checkpoint.
    #[inline]
    pub const fn is_final(&self) -> bool {
        self.end.is_some()
    }

    /// Community ID v1 with seed 0, for example `1:LQU9qZlK+B5F3KDmev6m5PMibrg=`. Empty for ARP: it is defined for IP.
    pub fn community_id(&self) -> String {
        if self.key.is_arp() {
            return String::new();
        }
        community_id::v1(&self.key, self.originator)
    }

    /// What it is told and found by: [`Self::community_id`], or, for ARP, `arp/` and who asked for whom.
    pub fn name(&self) -> String {
        community_id::name(&self.key, self.originator)
    }

    /// Zeek's `conn_state`.
    pub fn conn_state(&self) -> ConnState {
        state::conn_state(self.key.protocol, self.orig(), self.resp())
    }

    /// The letters of Zeek's `history`, as a set: originator in capitals, responder in small letters, each in a
    /// fixed order, since counters do not remember the order in time.
    pub fn history(&self) -> String {
        state::history(self.orig(), self.resp())
    }
}
