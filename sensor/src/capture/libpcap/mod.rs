//! Live capture through libpcap (Npcap on Windows): where there is no XDP. Always built on macOS and Windows; on
//! Linux with the cargo feature `libpcap`, so that a Linux build needs no C library.
//!
//! What it cannot do as well as the kernel program: packets cross into user space one by one, the kernel drops
//! those that are not fetched in time (they are counted in [`Report`]), and on Linux it sees packets after GRO and
//! before segmentation, so that several packets of the wire may be one here. Times are whole microseconds.

#[cfg(not(any(feature = "libpcap", not(target_os = "linux"))))]
mod absent;
#[cfg(any(feature = "libpcap", not(target_os = "linux")))]
mod present;

#[cfg(not(any(feature = "libpcap", not(target_os = "linux"))))]
pub use absent::Libpcap;
#[cfg(any(feature = "libpcap", not(target_os = "linux")))]
pub use present::Libpcap;

use super::CopySettings;

/// How to capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Interfaces to watch.
    pub interfaces: Vec<String>,
    /// Flows counted in one epoch; packets of further ones go to the overflow counters.
    pub flows_per_epoch: usize,
    /// Kernel buffer of each interface, in bytes: what may arrive while the sensor is busy elsewhere.
    pub buffer_bytes: u32,
    /// Bytes of each frame that are fetched. Lengths are counted by the headers, but a frame cut within its headers
    /// is malformed.
    pub snap_bytes: u32,
    /// Which packets are copied for evidence, if any.
    pub copies: Option<CopySettings>,
    /// Whether to see frames that are addressed to other hosts, as on a mirror port.
    pub promiscuous: bool,
    /// Whether flows are those inside of tunnels and not those on the wire.
    pub inside_tunnels: bool,
    /// Whether later fragments count in the flow of their first, and not by address pair.
    pub follow_fragments: bool,
}

impl Settings {
    /// The defaults, on these interfaces.
    pub fn on(interfaces: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            interfaces: interfaces.into_iter().map(Into::into).collect(),
            flows_per_epoch: 1 << 20,
            buffer_bytes: 16 << 20,
            snap_bytes: 262_144,
            copies: None,
            promiscuous: true,
            inside_tunnels: false,
            follow_fragments: false,
        }
    }
}

/// What has been captured so far, and what was lost before anybody could count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Frames captured.
    pub packets: u64,
    /// Frames that came after their epoch had been handed over; they are counted in the next.
    pub late_packets: u64,
    /// Frames the kernel dropped because its buffer was full (`ps_drop`).
    pub dropped_by_kernel: u64,
    /// Frames the interface or its driver dropped (`ps_ifdrop`), where the system tells.
    pub dropped_by_interface: u64,
}

/// Why libpcap cannot capture.
#[derive(Debug, thiserror::Error)]
pub enum LibpcapError {
    /// Built without it.
    #[error(
        "this build has no libpcap: build it with `--features libpcap` (needs libpcap-dev), or capture with XDP"
    )]
    Absent,
    /// Nothing to watch.
    #[error("no interface to capture on; name one with --iface")]
    NoInterfaces,
    /// No such interface.
    #[error("interface {name} does not exist; there are: {known}")]
    NoInterface {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Not allowed.
    #[error(
        "capturing on {interface} needs CAP_NET_RAW (or administrator rights): run as root, or grant it with setcap or AmbientCapabilities="
    )]
    Permission {
        /// The interface.
        interface: String,
    },
    /// libpcap says no, before or while capturing.
    #[error("capturing on {interface}: {what}")]
    Failed {
        /// The interface.
        interface: String,
        /// What libpcap said.
        what: String,
    },
}

impl LibpcapError {
    /// What the program exits with: 77 where a permission is missing, 69 where capturing is not possible.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Permission { .. } => 77,
            Self::Absent | Self::NoInterfaces | Self::NoInterface { .. } | Self::Failed { .. } => {
                69
            }
        }
    }
}
