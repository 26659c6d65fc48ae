//! Bidirectional flows: the table that merges epochs into records, and decides when a flow is due for scoring.

use sensor_ebpf::flow::{FlowCounters, FlowKey, Side, TimeNs};

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
