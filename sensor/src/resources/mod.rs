//! The box itself: spikes of processor, memory, disk reads and network, against what is usual here.
//!
//! A detector of its own beside that of flows: a sensor whose box is busy with something else sees less, and what keeps it
//! busy may be what one looks for (a miner, an archive being packed, a scan from within). Read once a second on a thread of
//! its own, never by the packet path; Linux only, elsewhere there is nothing to read and nothing is told.
//!
//! A leaf: it knows no stage. Time is given to it.

mod baseline;
mod busy;
mod detector;
mod proc;
#[cfg(test)]
mod tests;
mod watch;

pub use self::{
    baseline::Usual,
    busy::Busy,
    detector::{Detector, Phase, Settings, Spike},
    proc::{Counters, Sample, read},
    watch::{Tick, Watch},
};

/// What is watched.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Processor time of all but this process, as a share of all processors.
    Cpu,
    /// Memory that is not available to others, as a share of all.
    Memory,
    /// Bytes read from disks in a second.
    DiskRead,
    /// Bytes that arrive and leave in a second.
    Network,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::DiskRead, Self::Network];

    /// Name for files and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::DiskRead => "disk_read",
            Self::Network => "network",
        }
    }

    /// Name of an incident of it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Cpu => "processor spike",
            Self::Memory => "memory spike",
            Self::DiskRead => "disk read spike",
            Self::Network => "network spike",
        }
    }

    /// Whether it is a share of the whole; else it is a rate without a bound.
    pub const fn is_share(self) -> bool {
        matches!(self, Self::Cpu | Self::Memory)
    }

    /// A value for people: `42 %`, `180 MB/s`.
    pub fn show(self, value: f64) -> String {
        if self.is_share() {
            return format!("{:.0} %", value * 100.0);
        }
        let (number, unit) = match value {
            value if value < 1e3 => return format!("{value:.0} B/s"),
            value if value < 1e6 => (value / 1e3, "kB/s"),
            value if value < 1e9 => (value / 1e6, "MB/s"),
            value => (value / 1e9, "GB/s"),
        };
        if number < 9.95 {
            format!("{number:.1} {unit}")
        } else {
            format!("{number:.0} {unit}")
        }
    }
}
