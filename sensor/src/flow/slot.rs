//! A live flow in its place in the table.

use sensor_ebpf::flow::{FlowCounters, FlowKey, TimeNs, seen};

use crate::bounded::fixed_hash;

/// A live flow. Five cache lines.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Slot {
    pub(super) counters: FlowCounters,
    pub(super) key: FlowKey,
    pub(super) id: u64,
    /// Packets at which the next checkpoint is due.
    pub(super) next_packets: u64,
    /// Age at which the next checkpoint is due, nanoseconds.
    pub(super) next_age: u64,
    pub(super) checkpoint: u32,
    pub(super) originator: u8,
    /// [`change`] bits reached so far.
    pub(super) reached: u8,
    pub(super) list: u8,
    /// Nothing was added since it was due last.
    pub(super) unchanged: bool,
}

const _: () = assert!(size_of::<Slot>() == 320);

/// The key as words to hash.
#[inline(always)]
pub(super) fn words(key: &FlowKey) -> [u64; 5] {
    let word = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    let [a, b] = &key.addresses;
    let rest = u64::from(key.ports[0])
        | u64::from(key.ports[1]) << 16
        | u64::from(key.protocol) << 32
        | u64::from(key.form) << 40
        | u64::from(key.series) << 48;
    [
        word(&a[..8]),
        word(&a[8..]),
        word(&b[..8]),
        word(&b[8..]),
        rest,
    ]
}

/// The flow's id: the same on every machine.
pub(super) fn flow_id(key: &FlowKey, first: TimeNs) -> u64 {
    let [a, b, c, d, rest] = words(key);
    fixed_hash(&[a, b, c, d, rest, first])
}

/// Whether the connection has been closed: RST from either side or FIN from both.
pub(super) fn is_closing(counters: &FlowCounters) -> bool {
    let [a, b] = counters.halves.each_ref().map(|half| half.seen);
    (a | b) & seen::RST != 0 || a & b & seen::FIN != 0
}

/// Whether either side asks for a new connection.
pub(super) fn has_syn(counters: &FlowCounters) -> bool {
    (counters.halves[0].seen | counters.halves[1].seen) & seen::SYN != 0
}
