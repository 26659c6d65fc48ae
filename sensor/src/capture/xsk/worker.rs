//! The thread of one queue: takes frames, counts them, and hands an epoch over when it is over.

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender},
    time::Duration,
};

use sensor_ebpf::flow::{EPOCH_SHIFT, epoch_of};

use super::{
    Batch, Losses, Queue, Settings, Shared, locked,
    queue::{Taken, Told},
};
use crate::capture::{Accountant, Epoch, Stop, container::Record, link::LinkType, xdp::clock};

/// After the end of an epoch, how long until a ring that has nothing more of it has had all of it. The program stamps a packet
/// some microseconds before it is in the ring; a virtual machine may be off the CPU in between.
const GRACE_NS: u64 = 5_000_000;
/// The longest wait: how soon a stop is noticed.
const WAIT_MAX: Duration = Duration::from_millis(50);

pub(super) struct Worker {
    queue: Queue,
    accountant: Accountant,
    /// Index of the interface.
    interface: u32,
    /// What makes the monotonic clock the sensor's.
    offset: u64,
    /// The epoch that is being counted.
    open: u64,
    losses: Losses,
    stop: Stop,
    /// Where packets are copied to, where any are.
    copies: Option<Shared>,
}

impl Worker {
    pub(super) fn new(
        queue: Queue,
        interface: u32,
        offset: u64,
        settings: &Settings,
        stop: Stop,
        copies: Option<Shared>,
    ) -> Self {
        let mut accountant = Accountant::new(settings.flows_per_epoch)
            .inside_tunnels(settings.inside_tunnels)
            .following_fragments(settings.follow_fragments);
        let open = epoch_of(clock::now(offset));
        accountant.open(open);
        Self {
            queue,
            accountant,
            interface,
            offset,
            open,
            losses: Losses::default(),
            stop,
            copies,
        }
    }

    /// Counts until told to stop and the ring is empty, or until nobody wants the epochs any more.
    pub(super) fn run(
        mut self,
        batches: &SyncSender<Batch>,
        spent: &Receiver<Epoch>,
    ) -> io::Result<()> {
        let mut room = Taken::new();
        loop {
            // Read before the ring is: nothing comes after a stop, so an empty ring after that is the end.
            let is_last = self.stop.is_asked();
            let now = clock::now(self.offset);
            let taken = self.take(&mut room, batches, spent)?;
            let Some(taken) = taken else {
                return Ok(());
            };
            if taken > 0 {
                continue;
            }
            if is_last {
                self.hand_over(batches, spent)?;
                return Ok(());
            }
            let over = ((self.open + 1) << EPOCH_SHIFT) + GRACE_NS;
            if now >= over {
                // After a pause (the machine slept) the epochs in between are stepped over.
                let next = epoch_of(now.saturating_sub(GRACE_NS)).max(self.open + 1);
                if !self.hand_over(batches, spent)? {
                    return Ok(());
                }
                self.begin(next);
                continue;
            }
            let left = Duration::from_nanos(over - now) + Duration::from_millis(1);
            self.queue.wait(left.min(WAIT_MAX))?;
        }
    }

    /// Counts one batch of frames. `None` if nobody wants them any more.
    fn take(
        &mut self,
        room: &mut Taken,
        batches: &SyncSender<Batch>,
        spent: &Receiver<Epoch>,
    ) -> io::Result<Option<usize>> {
        let Self {
            queue,
            accountant,
            interface,
            open,
            losses,
            copies,
            ..
        } = self;
        let (mut is_wanted, mut failed) = (true, None);
        // Held from the first frame on; not while an epoch waits to be taken, for who takes it wants the copies too.
        let mut held = None;
        let taken = queue.take(room, |time, frame, told| {
            if accountant.is_due(time) && is_wanted {
                held = None;
                // The first packet of a later epoch: packets of a queue come in the order of their times. A worker that has more to do than
                // time for it comes by here only, and what its socket lost must be told with the epoch.
                let lost = since_last(told, losses).unwrap_or_else(|error| {
                    failed = Some(error);
                    Losses::default()
                });
                is_wanted = send(accountant, *interface, lost, batches, spent);
                *open = epoch_of(time);
                accountant.open(*open);
            }
            let record = Record {
                time,
                link: LinkType::ETHERNET,
                wire_length: frame.len() as u32,
                frame,
            };
            if let Some(copies) = copies.as_deref()
                && let copies = held.get_or_insert_with(|| locked(copies))
                && !copies.is_idle()
            {
                let found = accountant.parse(&record);
                if let Some(key) = found.key() {
                    copies.offer(key, &record);
                }
                accountant.count_parsed(&found, time);
            } else {
                accountant.count_frame(&record);
            }
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(is_wanted.then_some(taken)),
        }
    }

    /// Hands the open epoch over, with what was lost until now; false if nobody wants it any more.
    fn hand_over(
        &mut self,
        batches: &SyncSender<Batch>,
        spent: &Receiver<Epoch>,
    ) -> io::Result<bool> {
        let losses = since_last(self.queue.told(), &mut self.losses)?;
        Ok(send(
            &mut self.accountant,
            self.interface,
            losses,
            batches,
            spent,
        ))
    }

    fn begin(&mut self, epoch: u64) {
        self.open = epoch;
        self.accountant.open(epoch);
    }
}

/// What was lost since it was asked last.
fn since_last(told: Told<'_>, last: &mut Losses) -> io::Result<Losses> {
    let now = told.losses()?;
    let lost = now.since(last);
    *last = now;
    Ok(lost)
}

fn send(
    accountant: &mut Accountant,
    interface: u32,
    losses: Losses,
    batches: &SyncSender<Batch>,
    spent: &Receiver<Epoch>,
) -> bool {
    let mut epoch = spent.try_recv().unwrap_or_default();
    accountant.finish(&mut epoch);
    for (_, counters) in &mut epoch.flows {
        counters.interface = interface;
    }
    batches.send(Batch { epoch, losses }).is_ok()
}
