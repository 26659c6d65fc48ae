//! One socket, its rings and its memory.

use std::{
    fmt, io,
    os::fd::{AsRawFd as _, BorrowedFd},
    time::Duration,
};

use sensor_ebpf::{flow::TimeNs, maps::HANDED_OVER_META_BYTES};
use xdp::{
    Packet, RingConfigBuilder, Umem, WakableRings,
    nic::NicIndex,
    slab::{HeapSlab, Slab as _},
    socket::{PollTimeout, SocketError, XdpSocket, XdpSocketBuilder},
    umem::{FrameSize, UmemCfgBuilder},
};

use super::{Losses, Settings};

/// Frames taken at a time.
const BATCH: usize = 256;
/// Room that is ours before each frame: the kernel writes its time there, and no further.
const HEADROOM_BYTES: u32 = 64;

/// What a frame of 2 KB has room for.
const SHORT_FRAME_BYTES: u32 = 2048 - xdp::libc::xdp::XDP_PACKET_HEADROOM as u32 - HEADROOM_BYTES;

const _: () = assert!(HANDED_OVER_META_BYTES <= HEADROOM_BYTES as usize);

/// Why there is no socket on a queue.
#[derive(Debug)]
pub struct Unbound {
    what: &'static str,
    source: io::Error,
}

impl Unbound {
    /// Without XDP there is nothing to hand frames over.
    pub(super) fn without_xdp() -> Self {
        Self {
            what: "hand frames over",
            source: io::Error::new(io::ErrorKind::Unsupported, "there is no XDP here"),
        }
    }

    /// In a few words, for people and for metrics.
    pub fn reason(&self) -> String {
        match self.source.raw_os_error() {
            Some(libc::EOPNOTSUPP) => "the driver cannot".to_owned(),
            Some(libc::EBUSY) => "another socket has the queue".to_owned(),
            Some(libc::EPERM | libc::EACCES) => "no permission".to_owned(),
            None => self.source.to_string(),
            _ => self.to_string(),
        }
    }

    /// Whether a permission is missing.
    pub fn is_denied(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }
}

impl fmt::Display for Unbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)
    }
}

impl std::error::Error for Unbound {}

fn unbound(what: &'static str) -> impl FnOnce(SocketError) -> Unbound {
    move |error| Unbound {
        what,
        source: match error {
            SocketError::SocketCreation(source)
            | SocketError::Bind(source)
            | SocketError::SetSockOpt { inner: source, .. }
            | SocketError::GetSockOpt { inner: source, .. }
            | SocketError::RingMap { inner: source, .. } => source,
        },
    }
}

/// Frames that were taken and not given back; belongs to the thread that takes them.
pub(super) struct Taken(HeapSlab);

impl Taken {
    pub(super) fn new() -> Self {
        Self(HeapSlab::with_capacity(BATCH))
    }
}

/// The receiving end of one queue. The fields are dropped in this order: the memory goes last, because the kernel writes to it for as
/// long as there is a socket.
pub(super) struct Queue {
    socket: XdpSocket,
    rings: WakableRings,
    memory: Umem,
    busy_poll: bool,
}

impl Queue {
    pub(super) fn open(
        interface: u32,
        queue: u32,
        longest_frame: u32,
        zero_copy: bool,
        settings: &Settings,
    ) -> Result<Self, Unbound> {
        let invalid = |what| {
            move |error: xdp::error::Error| Unbound {
                what,
                source: io::Error::new(io::ErrorKind::InvalidInput, error.to_string()),
            }
        };
        let frames = settings.frames.next_power_of_two().clamp(64, 1 << 20);
        let memory = UmemCfgBuilder {
            frame_size: if longest_frame > SHORT_FRAME_BYTES {
                FrameSize::FourK
            } else {
                FrameSize::TwoK
            },
            head_room: HEADROOM_BYTES,
            frame_count: frames,
            ..UmemCfgBuilder::default()
        };
        let memory = memory.build().map_err(invalid("frame memory"))?;
        let mut memory = Umem::map(memory).map_err(|source| Unbound {
            what: "map frame memory",
            source,
        })?;
        let rings = RingConfigBuilder {
            // As many as there are frames: what there is memory for, the ring has room for.
            rx_count: frames,
            tx_count: 0,
            fill_count: frames,
            completion_count: 1,
        };
        let rings = rings.build().map_err(invalid("rings"))?;
        let mut builder = XdpSocketBuilder::new().map_err(unbound("AF_XDP socket"))?;
        let (mut rings, mut flags) = builder
            .build_wakable_rings(&memory, rings)
            .map_err(unbound("rings"))?;
        if zero_copy {
            flags.force_zerocopy();
        } else {
            flags.force_copy();
        }
        // SAFETY: the memory is dropped after the socket, as a whole or as a field of `Self`.
        let filled = unsafe { rings.fill_ring.enqueue(&mut memory, frames as usize, false) };
        debug_assert!(filled.is_ok_and(|filled| filled == frames as usize));
        let socket = builder
            .bind(NicIndex::new(interface), queue, flags)
            .map_err(unbound("bind"))?;
        let this = Self {
            socket,
            rings,
            memory,
            busy_poll: settings.busy_poll,
        };
        if settings.busy_poll {
            this.prefer_busy_poll().map_err(|source| Unbound {
                what: "busy polling",
                source,
            })?;
        }
        Ok(this)
    }

    /// Documentation/networking/napi.rst, "Busy polling".
    fn prefer_busy_poll(&self) -> io::Result<()> {
        const SO_PREFER_BUSY_POLL: libc::c_int = 69;
        const SO_BUSY_POLL_BUDGET: libc::c_int = 70;
        const MICROSECONDS: libc::c_int = 20;
        for (option, value) in [
            (SO_PREFER_BUSY_POLL, 1),
            (libc::SO_BUSY_POLL, MICROSECONDS),
            (SO_BUSY_POLL_BUDGET, BATCH as libc::c_int),
        ] {
            // SAFETY: a live value of the length given.
            let result = unsafe {
                libc::setsockopt(
                    self.socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    option,
                    (&raw const value).cast(),
                    size_of_val(&value) as libc::socklen_t,
                )
            };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket is open for as long as it is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }
    }

    /// Hands each frame that has arrived to `each`, in order, at most one batch of them; gives how many there were.
    #[inline]
    pub(super) fn take(
        &mut self,
        batch: &mut Taken,
        mut each: impl FnMut(TimeNs, &[u8], Told<'_>),
    ) -> io::Result<usize> {
        let Some(ring) = &mut self.rings.rx_ring else {
            return Ok(0);
        };
        // SAFETY: the packets go back to the memory below.
        let taken = unsafe { ring.recv(&self.memory, &mut batch.0) };
        while let Some(mut packet) = batch.0.pop_back() {
            let (time, frame) = split(&mut packet);
            each(time, frame, Told(&self.socket));
            self.memory.free_packet(packet);
        }
        if taken > 0 {
            // No wake-up here: a driver that waits for frames is woken by the wait that follows when nothing arrives any more.
            // SAFETY: the memory is dropped after the socket.
            unsafe {
                self.rings
                    .fill_ring
                    .enqueue(&mut self.memory, taken, false)?
            };
        }
        Ok(taken)
    }

    /// Waits until something has arrived, but not longer than `time`. Wakes the driver where it wants that
    /// (net/xdp/xsk.c, `xsk_poll`).
    pub(super) fn wait(&self, time: Duration) -> io::Result<()> {
        if self.busy_poll {
            // SAFETY: no buffer; the call runs the driver and says that there is nothing to read.
            unsafe {
                libc::recvfrom(
                    self.socket.as_raw_fd(),
                    std::ptr::null_mut(),
                    0,
                    libc::MSG_DONTWAIT,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                )
            };
            return Ok(());
        }
        self.socket
            .poll_read(PollTimeout::new(Some(time)))
            .map(drop)
    }

    /// The socket's own counters.
    pub(super) fn told(&self) -> Told<'_> {
        Told(&self.socket)
    }
}

/// What a socket tells about itself.
#[derive(Clone, Copy)]
pub(super) struct Told<'a>(&'a XdpSocket);

impl Told<'_> {
    /// What was lost since the socket was made.
    pub(super) fn losses(&self) -> io::Result<Losses> {
        let now = self
            .0
            .statistics()
            .map_err(|error| io::Error::other(error.to_string()))?;
        // Without a frame to write to, copy mode counts both (net/xdp/xsk.c, `__xsk_rcv`; xsk_buff_pool.c, `__xp_alloc`). A driver that
        // runs out of frames drops where only its own statistics tell.
        let no_frame = now.rx_dropped.min(now.rx_fill_ring_empty_descs);
        Ok(Losses {
            ring_full: now.rx_ring_full,
            no_frame,
            other: now.rx_dropped - no_frame,
        })
    }
}

/// The time that the program wrote in front of the frame, and the frame.
#[inline(always)]
fn split(packet: &mut Packet) -> (TimeNs, &[u8]) {
    // The room is there: it was asked for when the memory was made.
    let has_time = packet.adjust_head(-(HANDED_OVER_META_BYTES as i32)).is_ok();
    debug_assert!(has_time);
    match packet.split_first_chunk::<HANDED_OVER_META_BYTES>() {
        Some((time, frame)) => (TimeNs::from_ne_bytes(*time), frame),
        None => (0, &[]),
    }
}
