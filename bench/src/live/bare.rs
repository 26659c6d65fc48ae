//! The least that an AF_XDP program does: take frames, count them, give them back.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use aya::maps::XskMap;
use xdp::{
    RingConfigBuilder, Umem,
    nic::NicIndex,
    slab::{HeapSlab, Slab as _},
    socket::{PollTimeout, XdpSocketBuilder},
    umem::{FrameSize, UmemCfgBuilder},
};

use super::{Received, Running, device};
use crate::netns::Pair;

/// As the sensor's capture has them.
const FRAMES: u32 = 16_384;
const RING: u32 = 8_192;
const BATCH: usize = 256;
const QUEUES: u32 = 2;

/// A thread for each queue.
pub(super) struct Loop {
    _program: device::Receiver,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Result<Counted, String>>>,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    packets: u64,
    dropped: u64,
    ring_full: u64,
}

impl Loop {
    pub(super) fn start(
        mut program: device::Receiver,
        pair: &Pair,
    ) -> Result<Self, Box<dyn Error>> {
        let stop = Arc::new(AtomicBool::new(false));
        let map = program.ebpf.map_mut("sockets").ok_or("no sockets")?;
        let mut map = XskMap::try_from(map)?;
        let interface = pair.b.index("veth-b");
        let mut threads = Vec::new();
        for queue in 0..QUEUES {
            let ends = pair
                .b
                .within(|| Ends::open(interface, queue).map_err(|error| error.to_string()))?;
            map.set(queue, ends.socket.raw_fd(), 0)?;
            let stop = Arc::clone(&stop);
            threads.push(thread::spawn(move || {
                ends.run(&stop).map_err(|error| error.to_string())
            }));
        }
        Ok(Self {
            _program: program,
            stop,
            threads,
        })
    }
}

impl Running for Loop {
    fn finish(self: Box<Self>) -> Result<Received, Box<dyn Error>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Counted::default();
        for thread in self.threads {
            let counted = thread.join().map_err(|_| "a receive loop panicked")??;
            sum.packets += counted.packets;
            sum.dropped += counted.dropped;
            sum.ring_full += counted.ring_full;
        }
        let lost = [
            ("af_xdp dropped", sum.dropped),
            ("af_xdp ring full", sum.ring_full),
        ];
        Ok(Received {
            seen: None,
            handled: Some(sum.packets),
            scored: None,
            lost: BTreeMap::from_iter(lost.into_iter().filter(|(_, packets)| *packets > 0)),
        })
    }
}

/// The socket before the memory it writes to: dropped in this order.
struct Ends {
    socket: xdp::socket::XdpSocket,
    rings: xdp::WakableRings,
    memory: Umem,
}

impl Ends {
    fn open(interface: u32, queue: u32) -> Result<Self, Box<dyn Error>> {
        let mut memory = Umem::map(
            UmemCfgBuilder {
                frame_size: FrameSize::TwoK,
                frame_count: FRAMES,
                ..UmemCfgBuilder::default()
            }
            .build()?,
        )?;
        let mut builder = XdpSocketBuilder::new()?;
        let rings = RingConfigBuilder {
            rx_count: RING,
            tx_count: 0,
            fill_count: FRAMES,
            completion_count: 1,
        };
        let (mut rings, flags) = builder.build_wakable_rings(&memory, rings.build()?)?;
        // SAFETY: `memory` is dropped after the socket.
        unsafe {
            rings
                .fill_ring
                .enqueue(&mut memory, FRAMES as usize, false)?
        };
        let socket = builder.bind(NicIndex::new(interface), queue, flags)?;
        Ok(Self {
            socket,
            rings,
            memory,
        })
    }

    fn run(mut self, stop: &AtomicBool) -> Result<Counted, Box<dyn Error>> {
        let mut counted = Counted::default();
        let mut slab = HeapSlab::with_capacity(BATCH);
        let ring = self.rings.rx_ring.as_mut().ok_or("no receive ring")?;
        loop {
            // SAFETY: each packet is given back below.
            let packets = unsafe { ring.recv(&self.memory, &mut slab) };
            if packets == 0 {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                self.socket
                    .poll_read(PollTimeout::new(Some(Duration::from_millis(100))))?;
                continue;
            }
            counted.packets += packets as u64;
            while let Some(packet) = slab.pop_back() {
                self.memory.free_packet(packet);
            }
            // SAFETY: `memory` is dropped after the socket.
            unsafe {
                self.rings
                    .fill_ring
                    .enqueue(&mut self.memory, packets, false)?
            };
        }
        let lost = self.socket.statistics()?;
        counted.dropped = lost.rx_dropped;
        counted.ring_full = lost.rx_ring_full;
        Ok(counted)
    }
}
