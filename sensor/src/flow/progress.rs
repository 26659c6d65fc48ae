//! What an epoch's delta meant for its flow.

use sensor_ebpf::flow::{FlowCounters, Side, seen};

/// Bits of [`Change::what`]: what a flow did for the first time in this epoch.
pub mod change {
    /// The flow (or its record, after an active timeout) began.
    pub const BEGAN: u8 = 1 << 0;
    /// The originator sent its first SYN.
    pub const ATTEMPTED: u8 = 1 << 1;
    /// The responder sent its first packet.
    pub const ANSWERED: u8 = 1 << 2;
    /// The originator answered the responder's part of a handshake that it had begun with SYN.
    pub const ESTABLISHED: u8 = 1 << 3;
    /// The responder sent RST before anything else.
    pub const REJECTED: u8 = 1 << 4;
    /// The record goes on from one that the active timeout closed: [`BEGAN`] is not set again.
    pub const CONTINUED: u8 = 1 << 5;
    /// The flow got no place in a pressed table, and its originator is one of too many to be remembered.
    pub const SOURCE_UNKEPT: u8 = 1 << 6;
    /// The same of its responder.
    pub const DESTINATION_UNKEPT: u8 = 1 << 7;
}

/// What one delta of an epoch meant for its flow: what the context needs to absorb the delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Index of the delta in [`crate::capture::Epoch::flows`].
    pub delta: u32,
    /// Originator side of its flow.
    pub originator: u8,
    /// [`change`] bits.
    pub what: u8,
}

/// Whether a flow of `protocol` that has `reached` so much is half open: one side was not heard, or the handshake is not done.
pub(super) fn is_half_open(protocol: u8, counters: &FlowCounters, reached: u8) -> bool {
    const TCP: u8 = 6;
    if protocol == TCP && reached & change::ATTEMPTED != 0 {
        return reached & change::ESTABLISHED == 0;
    }
    counters.halves.iter().any(|half| half.packets == 0)
}

/// How far a flow has come: [`change`] bits that follow from its counters.
pub(super) fn reached(counters: &FlowCounters, originator: Side) -> u8 {
    let (orig, resp) = (
        &counters.halves[originator],
        &counters.halves[1 - originator],
    );
    let opened = seen::SYN_ACK | seen::DATA;
    let mut what = 0;
    if orig.seen & seen::SYN != 0 {
        what |= change::ATTEMPTED;
    }
    if resp.packets > 0 {
        what |= change::ANSWERED;
        let acknowledged = orig.seen & (seen::PURE_ACK | seen::DATA) != 0;
        if what & change::ATTEMPTED != 0 && resp.seen & opened != 0 && acknowledged {
            what |= change::ESTABLISHED;
        }
        if resp.seen & seen::RST != 0 && resp.seen & opened == 0 {
            what |= change::REJECTED;
        }
    }
    what
}
