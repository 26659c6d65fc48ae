//! Names, sizes and layout of the BPF maps, and the conservation ledger.

use crate::frame::MALFORMED_REASONS;

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

    /// Packets that overflowed, for whatever reason.
    pub const fn overflow(&self) -> u64 {
        self.overflow_full + self.overflow_memory + self.overflow_other
    }

    /// Packets rejected because they carry no IP or are malformed.
    pub fn rejected(&self) -> u64 {
        self.not_ip + self.malformed.iter().sum::<u64>()
    }
}
