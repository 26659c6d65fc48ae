//! Where packets come from. Every source, the kernel program as much as a capture file, hands over the same
//! thing: one [`Epoch`] after the other, each with the per-flow deltas of 2^29 ns of packet time.

mod accountant;
mod blocks;
mod container;
mod copies;
mod fragments;
pub mod frames;
pub mod input;
pub mod libpcap;
pub mod link;
pub mod looped;
mod merge;
mod pcap;
pub mod pcap_writer;
mod pcapng;
pub mod pcapng_writer;
pub mod replay;
mod stop;
mod whole_blocks;
#[cfg(target_os = "linux")]
pub mod xdp;
#[cfg(target_os = "linux")]
pub mod xsk;

use std::cmp::Ordering;

pub use accountant::{Accountant, Found};
pub use container::{Damage, Record};
pub use copies::{Copies, CopyCounts, CopySettings};
pub use fragments::{FragmentCounts, Fragments, Home};
use sensor_ebpf::{
    flow::{FlowCounters, FlowKey},
    maps::Ledger,
};
pub use stop::Stop;

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
    /// What became of later fragments, where they are followed (a delta too).
    pub fragments: FragmentCounts,
}

/// The order of deltas that an [`Epoch`] promises.
pub(crate) fn order(a: &(FlowKey, FlowCounters), b: &(FlowKey, FlowCounters)) -> Ordering {
    (a.1.first(), &a.0).cmp(&(b.1.first(), &b.0))
}

/// Whether deltas are in that order.
pub(crate) fn is_sorted(flows: &[(FlowKey, FlowCounters)]) -> bool {
    flows.is_sorted_by(|a, b| order(a, b).is_le())
}

/// Puts deltas into that order. Sources that count in time order mostly have it already.
pub(crate) fn sort(flows: &mut [(FlowKey, FlowCounters)]) {
    if !is_sorted(flows) {
        flows.sort_unstable_by(order);
    }
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

/// Why a capture cannot begin or go on. Each is one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A file cannot be opened or read.
    #[error("{path}: {}", explain(source))]
    Io {
        /// The file, `-` for standard input.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file without a byte.
    #[error("{path}: empty file, not a capture")]
    Empty {
        /// The file.
        path: String,
    },
    /// The first bytes are those of no capture format.
    #[error(
        "{path}: not a capture (pcap or pcapng, also .gz and .zst); it looks like {looks_like}"
    )]
    NotACapture {
        /// The file.
        path: String,
        /// A guess at what it is.
        looks_like: &'static str,
    },
    /// A capture in which not even the header can be read.
    #[error("{path}: damaged capture, nothing readable in it: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong, and where.
        what: String,
    },
    /// Live capture through libpcap failed.
    #[error(transparent)]
    Libpcap(#[from] libpcap::LibpcapError),
    /// The kernel side failed.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Xdp(#[from] xdp::XdpError),
    /// A folder without captures.
    #[error(
        "{path}: no capture in this folder (looked for .pcap, .pcapng, .cap, also .gz and .zst)"
    )]
    NoCaptures {
        /// The folder.
        path: String,
    },
}

impl CaptureError {
    /// What the program exits with (sysexits.h): 66 where an input file is the reason, 69 where there is no way to
    /// capture, 77 where the permission to do so is missing.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. }
            | Self::Empty { .. }
            | Self::NotACapture { .. }
            | Self::Damaged { .. }
            | Self::NoCaptures { .. } => 66,
            Self::Libpcap(error) => error.exit_code(),
            #[cfg(target_os = "linux")]
            Self::Xdp(error) => error.exit_code(),
        }
    }
}

fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "no permission to read it; run as a user who may, or change its mode".to_owned()
        }
        _ => error.to_string(),
    }
}
