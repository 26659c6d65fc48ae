//! When all that was sent has come through: a test compares what both sides have seen, and a busy machine takes its time.

use crate::{netns::Pair, process::soon};

/// What had come to the hook of `veth-b`, or been lost on the way there, when this was made.
pub(crate) struct Arrivals<'a> {
    pair: &'a Pair,
    before: u64,
}

/// An interface counts a packet as received when its program is through with it (`veth_xdp_rcv`), so with a program on it.
fn through(pair: &Pair) -> u64 {
    pair.b.counter("veth-b", "rx_packets") + pair.lost_before_hook()
}

impl<'a> Arrivals<'a> {
    /// Counts from here on. To the packet only where nobody sends but the test ([`Pair::hush`]).
    pub(crate) fn from_now(pair: &'a Pair) -> Self {
        Self {
            pair,
            before: through(pair),
        }
    }

    /// How many came through since.
    pub(crate) fn so_far(&self) -> u64 {
        through(self.pair) - self.before
    }

    /// Waits until `sent` packets came through.
    pub(crate) fn wait_for(&self, sent: u64) {
        assert!(
            soon(|| self.so_far() >= sent),
            "{} of {sent} packets came through",
            self.so_far()
        );
    }
}
