//! Names, sizes and layout of the BPF maps, and the conservation ledger.

use crate::frame::{MALFORMED_REASONS, Packet, tunnel::Scratch};
#[cfg(doc)]
use crate::table::{Entry, Fill, Line, SECRETS, Size, Slotted};

/// Name of the array that says which flow table is in use on a CPU in epochs of a parity: [`Slotted`]s by [`table_index`].
pub const FLOW_SLOTS: &str = "FLOW_SLOTS";
/// Name of the array of the tables' indexes: [`Line`]s, so many for each slot.
pub const FLOW_INDEX: &str = "FLOW_INDEX";
/// Name of the array of how full each table is: [`Fill`]s.
pub const FLOW_FILLS: &str = "FLOW_FILLS";
/// Name of the array of the flows themselves: [`Entry`]s, so many for each table.
pub const FLOWS: &str = "FLOWS";
/// Name of the load-time constant that is the [`Size`] of all tables.
pub const TABLE_SIZE: &str = "TABLE_SIZE";
/// Name of the load-time constant that keys the hash: [`SECRETS`] random numbers.
pub const TABLE_SECRETS: &str = "TABLE_SECRETS";
/// Name of the per-CPU array of [`HookState`]s, indexed by [`hook_index`].
pub const HOOK_STATES: &str = "HOOK_STATES";
/// Name of the ring buffer by which the program wakes the agent before a flow table is full.
pub const BELL: &str = "BELL";
/// Name of the load-time constant that says how often: each time `entries & BELL_MASK == 0`.
pub const BELL_MASK: &str = "BELL_MASK";
/// Size of the bell. It holds next to nothing, and has to be whole pages, of whatever size they are.
pub const BELL_BYTES: usize = 65_536;
/// Name of the load-time constant that is added to CLOCK_MONOTONIC.
pub const CLOCK_OFFSET: &str = "CLOCK_OFFSET";
/// Name of the load-time constant that takes packet times from the frame (tests).
pub const CLOCK_FROM_FRAME: &str = "CLOCK_FROM_FRAME";
/// Name of the map of AF_XDP sockets that taps hand frames over to, indexed by slot: [`TAPS`] of the interface plus receive queue.
pub const XSKS: &str = "XSKS";
/// Sockets, and with them receive queues, that all taps together may have.
pub const XSKS_MAX: usize = 256;
/// Name of the map from a tap's interface index to its first slot in [`XSKS`]. A tap that is not in it has no sockets.
pub const TAPS: &str = "TAPS";
/// Taps that may have sockets.
pub const TAPS_MAX: usize = 64;
/// Name of the map of the interfaces whose arriving packets are counted: interface index to [`SEEN_BY_XDP`] or [`SEEN_BY_TC`].
pub const WATCHED_INTERFACES: &str = "WATCHED_INTERFACES";
/// Arriving packets are counted at XDP.
pub const SEEN_BY_XDP: u32 = 0;
/// Arriving packets are counted at TC, by the same program that counts leaving ones.
pub const SEEN_BY_TC: u32 = 1;
/// Interfaces that can be watched at once.
pub const WATCHED_INTERFACES_MAX: usize = 1024;
/// Name of the load-time constant that makes flows those inside of tunnels.
pub const DECAP: &str = "DECAP";
/// Name of the load-time constant that holds a [`Counting`].
pub const COUNTING: &str = "COUNTING";
/// Name of the map of watched flows: [`crate::flow::FlowKey`] to packets (`i64`) that are still to be copied.
pub const WATCH: &str = "WATCH";
/// Flows that can be watched at once.
pub const WATCH_MAX: usize = 8192;
/// Name of the ring buffer that copies of packets go through: an [`EvidenceHeader`] and so many bytes of the frame as it says.
pub const EVIDENCE: &str = "EVIDENCE";
/// Size of [`EVIDENCE`] as the object declares it; the loader makes it small where nothing is copied.
pub const EVIDENCE_RING_BYTES: usize = 1 << 22;
/// Name of the load-time constant that says how many bytes of a packet are copied at most; 0 copies none, and costs nothing.
pub const EVIDENCE_BYTES: &str = "EVIDENCE_BYTES";
/// The most it may be.
pub const EVIDENCE_BYTES_MAX: usize = 2048;
/// Name of the load-time constant that says how many packets are copied of each flow in each epoch, watched or not.
pub const FIRST_PACKETS: &str = "FIRST_PACKETS";
/// Name of the XDP program of a host's interface: counts, and lets pass.
pub const PROGRAM_INGRESS: &str = "flow_ingress";
/// Name of the XDP program of a tap, a mirror port that must not reach the stack: hands frames over to AF_XDP where there is
/// a socket for the queue, else counts; then drops.
pub const PROGRAM_TAP: &str = "flow_tap";
/// Name of the TC program.
pub const PROGRAM_EGRESS: &str = "flow_egress";

/// Slots the object declares, two for each CPU; the loader lowers it to the machine's.
pub const SLOTS_MAX: usize = 1024;
/// Tables for each CPU: one for each parity, and a spare.
pub const TABLES_PER_CPU: usize = 3;
/// Flows in one table at most, unless somebody wants it otherwise. The object declares one table of them; the loader makes
/// as many as there have to be.
pub const FLOWS_PER_TABLE: usize = 65_536;

/// Index of the flow table that a packet on `cpu` in `epoch` is counted in.
#[inline(always)]
pub const fn table_index(cpu: u32, epoch: u64) -> u32 {
    cpu * 2 + (epoch & 1) as u32
}

/// Where a packet was seen. The discriminant is part of [`hook_index`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// XDP, before the stack.
    Ingress = 0,
    /// TC or TCX, after the stack.
    Egress = 1,
}

/// What stands in front of the copy of a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvidenceHeader {
    /// The time the packet was counted with.
    pub time: u64,
    /// Index of the interface.
    pub interface: u32,
    /// [`Hook`] it was seen at.
    pub hook: u32,
    /// Length of the frame, of which a super-packet has many times a wire's.
    pub frame_length: u32,
    /// Bytes of it that follow.
    pub captured: u32,
}

/// Room for one copy on its way to the ring.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// In front.
    pub header: EvidenceHeader,
    /// The frame's first bytes.
    pub bytes: [u8; EVIDENCE_BYTES_MAX],
}

const _: () = assert!(size_of::<EvidenceHeader>() == 24);
const _: () = assert!(size_of::<Evidence>() == 24 + EVIDENCE_BYTES_MAX);

/// Bytes a tap puts in front of a frame that it hands over: the packet's time, nanoseconds since the Unix epoch, in the byte
/// order of the machine (`bpf_xdp_adjust_meta`).
pub const HANDED_OVER_META_BYTES: usize = 8;

/// How often a packet counts that is forwarded from one watched interface to another, and so passes two hooks.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Counting {
    /// Once, where it arrives. Where it leaves, it is in [`Ledger::counted_before`].
    #[default]
    FirstHook = 0,
    /// At each hook it passes.
    Both = 1,
    /// Once for each interface, whose flows are apart from those of the others ([`crate::flow::FlowKey::series`]).
    PerInterface = 2,
}

/// What a hook keeps on each CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HookState {
    /// Where the packets went.
    pub ledger: Ledger,
    /// Packets copied to [`EVIDENCE`].
    pub copied: u64,
    /// Packets that were to be copied and found the ring full.
    pub copies_lost: u64,
    /// The packet being counted. It passes through memory because there the verifier forgets how it was parsed,
    /// and checks the accounting once instead of once for every way through the parser.
    pub packet: Packet,
    /// For looking inside of tunnels.
    pub tunnels: Scratch,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];
}

/// Number of elements of [`HOOK_STATES`].
pub const HOOK_STATES_LENGTH: usize = Hook::ALL.len() * 2;

/// Index in [`HOOK_STATES`] for a packet seen at `hook` in `epoch`: by parity, like the flow tables, so that the
/// ledger of an epoch that is over stands still and balances to the packet.
#[inline(always)]
pub const fn hook_index(hook: Hook, epoch: u64) -> u32 {
    hook as u32 * 2 + (epoch & 1) as u32
}

/// Flags of the arrays of the tables (`BPF_F_MMAPABLE`): the agent has them in its own memory.
pub const TABLE_FLAGS: u32 = 1 << 10;

/// The ledger of one CPU and hook, or summed: where each packet seen at the hook went. Packets on the wire.
///
/// `seen == counted + overflow_full + overflow_other + not_ip + probe + Σ malformed + sampled_out + handed_over
/// + counted_before`, always.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Packets at the hook.
    pub seen: u64,
    /// Counted in a flow.
    pub counted: u64,
    /// Not counted in a flow: the table was full.
    pub overflow_full: u64,
    /// Not counted in a flow: there was no table.
    pub overflow_other: u64,
    /// Left out by sampling, when sampling is on.
    pub sampled_out: u64,
    /// Frames that carry neither IP nor ARP for it.
    pub not_ip: u64,
    /// The sensor's own probe frames ([`crate::frame::ether_type::PROBE`]).
    pub probe: u64,
    /// Malformed frames by [`crate::frame::Malformed`].
    pub malformed: [u64; MALFORMED_REASONS],
    /// IP bytes of the packets in the two overflow counters.
    pub overflow_bytes: u64,
    /// Frames handed over to AF_XDP, whose reader accounts for each of them. It takes them out of this counter as it does.
    pub handed_over: u64,
    /// Not counted here, because they were counted at the hook where they arrived ([`Counting::FirstHook`]).
    pub counted_before: u64,
    /// Of those seen, packets that were found inside of a tunnel, and count there and not for the tunnel. In no sum.
    pub inside_tunnels: u64,
}

const _: () = assert!(size_of::<Ledger>() == 19 * 8);

impl Ledger {
    /// Packets that are in no counter: 0, or a defect.
    pub const fn unaccounted(&self) -> i64 {
        let mut sum = self.counted
            + self.overflow_full
            + self.overflow_other
            + self.sampled_out
            + self.not_ip
            + self.probe
            + self.handed_over
            + self.counted_before;
        let mut reason = 0;
        while reason < MALFORMED_REASONS {
            sum += self.malformed[reason];
            reason += 1;
        }
        self.seen.wrapping_sub(sum) as i64
    }

    /// Adds another CPU, hook or epoch.
    pub fn add(&mut self, other: &Self) {
        self.seen += other.seen;
        self.counted += other.counted;
        self.overflow_full += other.overflow_full;
        self.overflow_other += other.overflow_other;
        self.sampled_out += other.sampled_out;
        self.not_ip += other.not_ip;
        self.probe += other.probe;
        for (sum, more) in self.malformed.iter_mut().zip(other.malformed) {
            *sum += more;
        }
        self.overflow_bytes += other.overflow_bytes;
        self.handed_over += other.handed_over;
        self.counted_before += other.counted_before;
        self.inside_tunnels += other.inside_tunnels;
    }

    /// What has come since an `earlier` reading of the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut malformed = self.malformed;
        for (now, before) in malformed.iter_mut().zip(earlier.malformed) {
            *now -= before;
        }
        Self {
            seen: self.seen - earlier.seen,
            counted: self.counted - earlier.counted,
            overflow_full: self.overflow_full - earlier.overflow_full,
            overflow_other: self.overflow_other - earlier.overflow_other,
            sampled_out: self.sampled_out - earlier.sampled_out,
            not_ip: self.not_ip - earlier.not_ip,
            probe: self.probe - earlier.probe,
            malformed,
            overflow_bytes: self.overflow_bytes - earlier.overflow_bytes,
            handed_over: self.handed_over - earlier.handed_over,
            counted_before: self.counted_before - earlier.counted_before,
            inside_tunnels: self.inside_tunnels - earlier.inside_tunnels,
        }
    }

    /// Packets that overflowed, for whatever reason.
    pub const fn overflow(&self) -> u64 {
        self.overflow_full + self.overflow_other
    }

    /// Packets rejected because they carry neither IP nor ARP, or are malformed.
    pub fn rejected(&self) -> u64 {
        self.not_ip + self.malformed.iter().sum::<u64>()
    }
}

// SAFETY: `repr(C)`, only integers, of which every bit pattern is one.
#[cfg(all(target_os = "linux", not(target_arch = "bpf")))]
unsafe impl aya::Pod for HookState {}
