//! Flows of made-up frames, sent by test runs with live frames: millions of packets from few system calls.

use std::{
    os::fd::AsFd as _,
    thread,
    time::{Duration, Instant},
};

use sensor::capture::xdp::bpf;

use crate::{
    netns::{Pair, pause, pin},
    program,
};

/// Where the frames go that the stack of `b` is to pass over: to nobody there.
pub(crate) const NOBODY: [u8; 6] = [0x02, 0, 0, 0, 0, 2];
/// Where they go that it would count if it got them: to everybody.
pub(crate) const EVERYBODY: [u8; 6] = [0xff; 6];

/// A minimal Ethernet, IPv4 and UDP frame to port 9, which becomes the flows.
pub(crate) fn frame(to: [u8; 6]) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend([0x02, 0, 0, 0, 0, 1, 0x08, 0x00]);
    frame.extend([0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([10, 77, 1, 0, 10, 77, 0, 2]);
    frame.extend([4, 0, 0, 9, 0, 26, 0, 0]);
    frame.resize(14 + 46, 0);
    frame
}

/// How many flows are sent, and how.
#[derive(Clone, Copy)]
pub(crate) struct Sending {
    pub(crate) flows: u32,
    /// Of each flow, one in every round.
    pub(crate) packets: u32,
    /// CPUs that send, each flows of its own into a queue of its own.
    pub(crate) lanes: u32,
    /// Packets of one system call.
    pub(crate) burst: u32,
    /// From the beginning of one call to that of the next, which takes what it takes.
    pub(crate) every: Duration,
}

impl Sending {
    /// A round in one call, from both CPUs, as fast as can be.
    pub(crate) fn at_once(flows: u32, packets: u32) -> Self {
        Self {
            flows,
            packets,
            lanes: 2,
            burst: flows / 2,
            every: Duration::ZERO,
        }
    }

    /// Sends out of veth-a; gives the number of packets.
    pub(crate) fn send(self, pair: &Pair, frame: &[u8]) -> u64 {
        let (interface, own) = (pair.a.index("veth-a"), self.flows / self.lanes);
        thread::scope(|scope| {
            for lane in 0..self.lanes {
                scope.spawn(move || {
                    pair.a.within(|| {
                        pin(lane as usize);
                        let program = program::flow_maker(interface, own, lane, self.lanes);
                        let program = program.expect("load the flow maker");
                        for _ in 0..own * self.packets / self.burst {
                            let begun = Instant::now();
                            bpf::inject(program.as_fd(), frame, self.burst).expect("inject");
                            pause(self.every.saturating_sub(begun.elapsed()));
                        }
                    });
                });
            }
        });
        u64::from(self.flows) * u64::from(self.packets)
    }
}
