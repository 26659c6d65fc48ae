//! AF_XDP: packets of a tap, handed over by the kernel program and counted here.
//!
//! ```text
//!   queue 0 ─▶ flow_tap ─▶ socket, frames ─▶ worker: parse, count ─┐
//!   queue 1 ─▶ flow_tap ─▶ socket, frames ─▶ worker: parse, count ─┴▶ one epoch
//! ```
//!
//! Each receive queue has a socket, memory and a thread of its own; they share nothing. The program writes the time of each
//! packet in front of it, so an epoch holds the same packets, with the same times, as if the kernel had counted them. What the
//! program handed over either comes out of a socket or is in one of the socket's own counters ([`Losses`]).

mod balance;
mod capture;
mod queue;
mod worker;

use std::{
    fmt, io,
    os::fd::BorrowedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

pub use capture::{AfXdp, Bound, Offered, offered};
use queue::Queue;
pub use queue::Unbound;

use sensor_ebpf::flow::FlowKey;

use super::{Copies, CopyCounts, CopySettings, Epoch, Record, Stop};
use crate::capabilities;

/// How sockets are set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Frames of memory for each queue, a power of two: what may arrive while the worker is busy elsewhere. Each takes 2 KB, 4 KB
    /// where the interface takes long packets.
    pub frames: u32,
    /// Copy mode even where the driver can write to our memory.
    pub copy: bool,
    /// Have the worker drive the driver, and never sleep: less latency for a whole CPU for each queue.
    pub busy_poll: bool,
    /// Flows counted in an epoch by each worker; packets of further ones go to the overflow counters.
    pub flows_per_epoch: usize,
    /// Whether flows are those inside of tunnels and not those on the wire.
    pub inside_tunnels: bool,
    /// Whether later fragments count in the flow of their first, and not by address pair. Each queue follows its own: cards and the kernel
    /// choose the queue of all fragments by addresses alone, the first one's too.
    pub follow_fragments: bool,
    /// Which packets are copied for evidence, if any. What may wait is shared out among the queues.
    pub copies: Option<CopySettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            frames: 16_384,
            copy: false,
            busy_poll: false,
            inside_tunnels: false,
            follow_fragments: false,
            copies: None,
            flows_per_epoch: 1 << 18,
        }
    }
}

/// How frames come to the sockets of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The driver writes them into our memory.
    ZeroCopy,
    /// The kernel copies them, for this reason.
    Copy(String),
}

impl Binding {
    /// The name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ZeroCopy => "af_xdp_zero_copy",
            Self::Copy(_) => "af_xdp_copy",
        }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroCopy => f.write_str("AF_XDP, zero-copy"),
            Self::Copy(reason) => write!(f, "AF_XDP, copied ({reason})"),
        }
    }
}

/// Packets that were handed over to sockets and not received, by the sockets' own counters (`struct xdp_statistics`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// The ring of received frames was full: the worker was too slow.
    pub ring_full: u64,
    /// There was no frame to write to: the worker had not given enough back.
    pub no_frame: u64,
    /// For any other reason: above all longer than a frame.
    pub other: u64,
}

impl Losses {
    /// All of them.
    pub const fn sum(&self) -> u64 {
        self.ring_full + self.no_frame + self.other
    }

    fn add(&mut self, other: &Self) {
        self.ring_full += other.ring_full;
        self.no_frame += other.no_frame;
        self.other += other.other;
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            ring_full: self.ring_full.saturating_sub(before.ring_full),
            no_frame: self.no_frame.saturating_sub(before.no_frame),
            other: self.other.saturating_sub(before.other),
        }
    }
}

/// What a worker hands over at the end of an epoch.
struct Batch {
    epoch: Epoch,
    losses: Losses,
}

/// A thread that panics ends the capture; until that is noticed its copies are as good as any.
fn locked(copies: &Mutex<Copies>) -> MutexGuard<'_, Copies> {
    copies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Epochs that may wait to be taken. A worker that is further ahead waits, and then the ring fills: a loss with a name.
const BATCHES_AHEAD: usize = 8;

/// The sockets of one interface, and their workers.
struct Tap {
    /// How its sockets are bound.
    binding: Binding,
    /// Sockets that wait for their workers to begin.
    idle: Vec<Queue>,
    workers: Vec<Worker>,
}

/// The watch list of a worker and its copies: the worker holds the lock while it goes through a batch of frames, and never while it waits
/// for anything.
type Shared = Arc<Mutex<Copies>>;

struct Worker {
    batches: Receiver<Batch>,
    /// Epochs that were merged: their memory goes back.
    spent: SyncSender<Epoch>,
    /// Of an epoch that is not due yet.
    held: Option<Batch>,
    copies: Option<Shared>,
    thread: Option<thread::JoinHandle<io::Result<()>>>,
}

impl Tap {
    /// Opens a socket on each of the interface's receive queues; all by zero-copy, or all in copy mode.
    ///
    /// # Errors
    /// What stands in the way of copy mode too.
    fn open(
        index: u32,
        queues: u32,
        longest_frame: u32,
        settings: &Settings,
    ) -> Result<Self, Unbound> {
        let open = |zero_copy: bool| {
            (0..queues)
                .map(|queue| Queue::open(index, queue, longest_frame, zero_copy, settings))
                .collect::<Result<Vec<_>, _>>()
        };
        let (binding, idle) = if settings.copy {
            (Binding::Copy("as configured".to_owned()), open(false)?)
        } else {
            match open(true) {
                Ok(queues) => (Binding::ZeroCopy, queues),
                Err(unbound) => (Binding::Copy(unbound.reason()), open(false)?),
            }
        };
        Ok(Self {
            binding,
            idle,
            workers: Vec::new(),
        })
    }

    /// The sockets, in the order of the queues, for the program's map.
    fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.idle.iter().map(Queue::descriptor).collect()
    }

    /// Starts the workers. `offset` makes the monotonic clock the sensor's; `stop` tells them that no packet will follow.
    fn start(
        &mut self,
        index: u32,
        offset: u64,
        settings: &Settings,
        stop: &Stop,
    ) -> io::Result<()> {
        let queues = self.idle.len() as u32;
        for queue in self.idle.drain(..) {
            let copies = settings.copies.map(|all| {
                Arc::new(Mutex::new(Copies::new(CopySettings {
                    waiting_bytes: all.waiting_bytes / queues,
                    ..all
                })))
            });
            let (batches_to, batches) = sync_channel(BATCHES_AHEAD);
            let (spent, spent_to) = sync_channel(BATCHES_AHEAD);
            let worker =
                worker::Worker::new(queue, index, offset, settings, stop.clone(), copies.clone());
            let thread = thread::Builder::new()
                .name(format!("tap-{}", self.workers.len()))
                .spawn(move || {
                    // Its socket is bound: it has begun before the sensor gives up what the beginning needs, and does so itself.
                    if let Err(error) = capabilities::renounce() {
                        log::warn!("a tap's thread keeps its capabilities: {error}");
                    }
                    worker.run(&batches_to, &spent_to)
                })?;
            self.workers.push(Worker {
                batches,
                spent,
                held: None,
                copies,
                thread: Some(thread),
            });
        }
        Ok(())
    }

    /// Has the next packets of a flow copied, of those that come by each queue; `false` if a list is full or there is none.
    fn watch(&self, key: &FlowKey, packets: u32) -> bool {
        self.workers.iter().all(|worker| {
            let copies = worker.copies.as_ref();
            copies.is_some_and(|copies| locked(copies).watch(key, packets))
        })
    }

    /// Has no more packets of a flow copied.
    fn unwatch(&self, key: &FlowKey) {
        for copies in self
            .workers
            .iter()
            .filter_map(|worker| worker.copies.as_ref())
        {
            locked(copies).unwatch(key);
        }
    }

    /// Hands on the packets copied since the last call; how many there were since the start.
    fn copies(&self, each: &mut dyn FnMut(&Record<'_>)) -> CopyCounts {
        let mut counts = CopyCounts::default();
        for copies in self
            .workers
            .iter()
            .filter_map(|worker| worker.copies.as_ref())
        {
            let waiting = {
                let mut copies = locked(copies);
                counts.add(&copies.counts());
                copies.take_out()
            };
            waiting.each(each);
        }
        counts
    }

    /// Adds what the workers counted in `epoch.index` to it, and gives what was lost meanwhile. Waits for workers that are not through
    /// with it.
    ///
    /// # Errors
    /// A worker's socket failed.
    fn merge(&mut self, epoch: &mut Epoch) -> io::Result<Handed> {
        let mut handed = Handed::default();
        for worker in &mut self.workers {
            while let Some(Batch {
                epoch: mut part,
                losses,
            }) = worker.due(epoch.index)?
            {
                let is_through = part.index >= epoch.index;
                handed.received += part.ledger.seen;
                handed.losses.add(&losses);
                epoch.ledger.add(&part.ledger);
                epoch.fragments.add(&part.fragments);
                if !part.flows.is_empty() {
                    handed.parts += 1;
                    epoch.flows.append(&mut part.flows);
                }
                // A worker that ends needs no memory any more.
                let _ = worker.spent.try_send(part);
                if is_through {
                    break;
                }
            }
        }
        Ok(handed)
    }
}

/// What the workers of a tap brought to an epoch.
#[derive(Clone, Copy, Debug, Default)]
struct Handed {
    /// Packets that came out of the sockets.
    received: u64,
    /// Packets that did not.
    losses: Losses,
    /// Workers that had flows.
    parts: u32,
}

impl Handed {
    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.losses.add(&other.losses);
        self.parts += other.parts;
    }
}

impl Worker {
    /// The next batch if it is of this epoch or before.
    fn due(&mut self, epoch: u64) -> io::Result<Option<Batch>> {
        loop {
            if let Some(held) = self.held.take() {
                // An epoch of before this one: the worker began before the capture did.
                if held.epoch.index <= epoch {
                    return Ok(Some(held));
                }
                self.held = Some(held);
                return Ok(None);
            }
            match self.batches.recv() {
                Ok(batch) => self.held = Some(batch),
                Err(_) => return self.ended().map(|()| None),
            }
        }
    }

    /// The thread is over: by itself, or because its socket failed.
    fn ended(&mut self) -> io::Result<()> {
        match self.thread.take().map(thread::JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}
