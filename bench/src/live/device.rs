//! The receiving end of the veth pair: its own counts, and the small programs that others are measured beside.

use std::error::Error;

use aya::{
    Ebpf,
    programs::{Xdp, XdpMode},
};

use crate::netns::{Namespace, Pair};

/// What an interface counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Packets its XDP program ran on.
    pub(crate) packets: u64,
    /// Packets it dropped: a veth because its ring was full, before XDP, or because a redirect failed, after.
    pub(crate) dropped: u64,
}

impl Counts {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets - before.packets,
            dropped: self.dropped - before.dropped,
        }
    }
}

/// What the interface has counted so far.
pub(crate) fn counts(namespace: &Namespace, interface: &str) -> Counts {
    Counts {
        packets: namespace.counter(interface, "rx_packets"),
        dropped: namespace.counter(interface, "rx_dropped"),
    }
}

/// CPU time of this process so far, all threads.
pub(super) fn cpu_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is writable for a timespec.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "every Linux has this clock");
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A program of `c/traffic.bpf.c` on veth-b; it goes when this is dropped.
pub(crate) struct Receiver {
    pub(crate) ebpf: Ebpf,
}

impl Receiver {
    pub(crate) fn attach(
        object: &[u8],
        pair: &Pair,
        program: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let attached: Result<Ebpf, String> = pair.b.within(|| {
            let mut ebpf = Ebpf::load(object).map_err(|error| error.to_string())?;
            let xdp: &mut Xdp = ebpf
                .program_mut(program)
                .and_then(|program| program.try_into().ok())
                .ok_or_else(|| format!("no program {program}"))?;
            xdp.load().map_err(|error| error.to_string())?;
            xdp.attach("veth-b", XdpMode::Driver)
                .map_err(|error| error.to_string())?;
            Ok(ebpf)
        });
        Ok(Self { ebpf: attached? })
    }
}
