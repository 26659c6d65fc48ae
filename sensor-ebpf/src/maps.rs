//! Names, sizes and layout of the BPF maps, and the conservation ledger.

use crate::frame::{MALFORMED_REASONS, Packet};

/// Name of the array of flow tables, one per CPU and epoch parity.
pub const FLOW_TABLES: &str = "FLOW_TABLES";
/// Name of the per-CPU array of [`HookState`]s, indexed by [`hook_index`].
pub const HOOK_STATES: &str = "HOOK_STATES";
/// Name of the ring buffer by which the program wakes the agent before a flow table is full.
pub const BELL: &str = "BELL";
/// Name of the load-time constant that says how often: each time `inserted & BELL_MASK == 0`.
pub const BELL_MASK: &str = "BELL_MASK";
/// Size of the bell. It holds next to nothing, and has to be whole pages, of whatever size they are.
pub const BELL_BYTES: usize = 65_536;
/// Name of the load-time constant that is added to CLOCK_MONOTONIC.
pub const CLOCK_OFFSET: &str = "CLOCK_OFFSET";
/// Name of the load-time constant that takes packet times from the frame (tests).
pub const CLOCK_FROM_FRAME: &str = "CLOCK_FROM_FRAME";
/// Name of the load-time constant that drops after counting.
pub const TAP: &str = "TAP";
/// Name of the XDP program.
pub const PROGRAM_INGRESS: &str = "flow_ingress";
/// Name of the TC program.
pub const PROGRAM_EGRESS: &str = "flow_egress";

/// Tables the object declares room for; the loader lowers it to the machine's CPUs.
pub const TABLES_MAX: usize = 1024;
/// Flows in one table as the object declares it; the agent creates the tables and may choose another size.
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

/// What a hook keeps on each CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HookState {
    /// Where the packets went.
    pub ledger: Ledger,
    /// Flows this hook has added to this CPU's tables of this parity, ever.
    pub inserted: u64,
    /// The packet being counted. It passes through memory because there the verifier forgets how it was parsed,
    /// and checks the accounting once instead of once for every way through the parser.
    pub packet: Packet,
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

/// Flags of every flow table: none, so that its memory is there from the beginning. A table that allocates
/// (`BPF_F_NO_PREALLOC`) costs a third more per packet over 20,000 flows, because its elements lie scattered, and loses flows to
/// `ENOMEM` when new ones come faster than the kernel refills its caches: under attack. The kernel refuses to put tables
/// with other flags into the array.
pub const FLOW_TABLE_FLAGS: u32 = 0;

/// The ledger of one CPU and hook, or summed: where each packet seen at the hook went. Packets on the wire.
///
/// `seen == counted + overflow_full + overflow_memory + overflow_other + not_ip + probe + Σ malformed + sampled_out`, always.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Packets at the hook.
    pub seen: u64,
    /// Counted in a flow.
    pub counted: u64,
    /// Not counted in a flow: the table was full (`E2BIG`).
    pub overflow_full: u64,
    /// Not counted in a flow: the kernel had no memory for an element (`ENOMEM`).
    pub overflow_memory: u64,
    /// Not counted in a flow: any other error of the insert (`EBUSY`, missing slot).
    pub overflow_other: u64,
    /// Left out by sampling, when sampling is on.
    pub sampled_out: u64,
    /// Frames that carry no IP.
    pub not_ip: u64,
    /// The sensor's own probe frames ([`crate::frame::ether_type::PROBE`]).
    pub probe: u64,
    /// Malformed frames by [`crate::frame::Malformed`].
    pub malformed: [u64; MALFORMED_REASONS],
    /// IP bytes of the packets in the three overflow counters.
    pub overflow_bytes: u64,
}

const _: () = assert!(size_of::<Ledger>() == 16 * 8);

impl Ledger {
    /// Packets that are in no counter: 0, or a defect.
    pub const fn unaccounted(&self) -> i64 {
        let mut sum = self.counted
            + self.overflow_full
            + self.overflow_memory
            + self.overflow_other
            + self.sampled_out
            + self.not_ip
            + self.probe;
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
        self.overflow_memory += other.overflow_memory;
        self.overflow_other += other.overflow_other;
        self.sampled_out += other.sampled_out;
        self.not_ip += other.not_ip;
        self.probe += other.probe;
        for (sum, more) in self.malformed.iter_mut().zip(other.malformed) {
            *sum += more;
        }
        self.overflow_bytes += other.overflow_bytes;
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
            overflow_memory: self.overflow_memory - earlier.overflow_memory,
            overflow_other: self.overflow_other - earlier.overflow_other,
            sampled_out: self.sampled_out - earlier.sampled_out,
            not_ip: self.not_ip - earlier.not_ip,
            probe: self.probe - earlier.probe,
            malformed,
            overflow_bytes: self.overflow_bytes - earlier.overflow_bytes,
        }
    }

    /// Packets that overflowed, for whatever reason.
    pub const fn overflow(&self) -> u64 {
        self.overflow_full + self.overflow_memory + self.overflow_other
    }

    /// Packets rejected because they carry no IP or are malformed.
    pub fn rejected(&self) -> u64 {
        self.not_ip + self.malformed.iter().sum::<u64>()
    }
}

// SAFETY: `repr(C)`, only integers, of which every bit pattern is one.
#[cfg(all(target_os = "linux", not(target_arch = "bpf")))]
unsafe impl aya::Pod for HookState {}
