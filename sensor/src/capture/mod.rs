//! Where packets come from. Every source, the kernel program as much as a capture file, hands over the same
//! thing: one [`Epoch`] after the other, each with the per-flow deltas of 2^29 ns of packet time.

use sensor_ebpf::{
    flow::{FlowCounters, FlowKey},
    maps::Ledger,
};

/// What one epoch of packet time contributed, whichever source it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Index of the epoch: packet time `>>` [`sensor_ebpf::flow::EPOCH_SHIFT`].
    pub index: u64,
    /// Deltas, at most one per flow, sorted by (time of first packet, key): what follows does not depend on
    /// the order in which a hash table was read.
    pub flows: Vec<(FlowKey, FlowCounters)>,
    /// Where the packets of this epoch went (a delta, not a running total).
    pub ledger: Ledger,
}

/// What a call of [`Capture::next_epoch`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The epoch was filled. Indexes strictly increase; a replay skips epochs without packets, a live source
    /// hands them over empty, so that time moves on.
    Epoch,
    /// The source has ended (end of file, or a stop was asked for); the epoch was not touched.
    End,
}

/// A source of epochs.
pub trait Capture {
    /// Blocks until the next epoch is complete and moves its content into `epoch`, reusing its allocation.
    ///
    /// # Errors
    /// Only what the environment did: the device went away, a file cannot be read. Bad packets are in the ledger.
    fn next_epoch(&mut self, epoch: &mut Epoch) -> Result<Progress, CaptureError>;
}

/// Why a capture cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A file cannot be opened or read.
    #[error("{path}: {source}")]
    Io {
        /// The file, `-` for standard input.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}
