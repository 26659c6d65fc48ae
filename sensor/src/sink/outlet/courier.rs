//! From the spool to the receiver.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    Deliver, DeliveryError, Say,
    backoff::Backoff,
    dead::DeadLetters,
    health::Health,
    spool::{Batch, Spool, Taken},
};

/// How long it waits for something to deliver before it lets the receiver's side do its chores.
const IDLE: Duration = Duration::from_secs(1);

/// A thread that delivers.
pub(super) struct Courier {
    pub(super) deliver: Box<dyn Deliver>,
    pub(super) spool: Arc<Spool>,
    pub(super) health: Health,
    pub(super) dead: DeadLetters,
    pub(super) batch: usize,
    pub(super) gather: Duration,
    pub(super) first_retry: Duration,
    pub(super) longest_retry: Duration,
    pub(super) say: Say,
}

/// What became of a batch.
enum Went {
    /// All of it is gone.
    Away,
    /// What is left of it waits, and so does the courier.
    Back(Duration),
    /// The program ends, and the receiver does not take it.
    Undelivered,
}

impl Courier {
    /// Until nothing more comes, or the program ends and the receiver takes no more.
    pub(super) fn run(mut self) {
        let mut backoff = Backoff::new(self.first_retry, self.longest_retry);
        let mut is_stopping = false;
        loop {
            match self.spool.take(self.batch, self.gather, IDLE) {
                Taken::Nothing => self.deliver.idle(),
                Taken::Ended => break,
                Taken::Batch(batch) => match self.bring(&batch, &mut backoff, &mut is_stopping) {
                    Went::Away => {}
                    Went::Back(wait) => {
                        self.spool.give_back(batch);
                        if self.spool.wait_closing(wait) {
                            if std::mem::replace(&mut is_stopping, true) {
                                break;
                            }
                            self.deliver.stopping();
                        }
                    }
                    Went::Undelivered => break,
                },
            }
        }
        self.deliver.finish();
        self.health.level(self.spool.level());
    }

    fn bring(&mut self, batch: &Batch, backoff: &mut Backoff, is_stopping: &mut bool) -> Went {
        let mut left = batch.parcels.as_slice();
        // How many go one by one, since the sink itself failed on one of them.
        let mut alone = 0_usize;
        while !left.is_empty() {
            let most = if alone > 0 { 1 } else { left.len() };
            alone = alone.saturating_sub(1);
            let Some((taken, result)) = self.attempt(&left[..most]) else {
                if most == 1 {
                    left = self.bury("the sink failed on it", left);
                } else {
                    alone = most;
                }
                continue;
            };
            let taken = taken.min(left.len());
            left = &left[taken..];
            self.spool.done(taken);
            if taken > 0 {
                backoff.reset();
                self.succeeded(taken);
            }
            let (why, after) = match result {
                Ok(()) if taken > 0 => continue,
                // Taken is what was said to be taken.
                Ok(()) => ("took nothing, and said no reason".to_owned(), None),
                Err(DeliveryError::Never { why }) => {
                    left = self.bury(&why, left);
                    continue;
                }
                Err(DeliveryError::Wait(wait)) => return Went::Back(wait),
                Err(DeliveryError::Later { why, after }) => (why, after),
            };
            self.failed(&why);
            let wait = after.map_or_else(|| backoff.next(), |after| after.min(self.longest_retry));
            if self.spool.wait_closing(wait) {
                // One more try when the program ends, for the receiver may be back; not a second one.
                if std::mem::replace(is_stopping, true) {
                    return Went::Undelivered;
                }
                self.deliver.stopping();
            }
        }
        Went::Away
    }

    /// A defect in one sink must not end its courier, and with it everything that waits: nothing where it panics.
    fn attempt(&mut self, parcels: &[Vec<u8>]) -> Option<(usize, Result<(), DeliveryError>)> {
        catch_unwind(AssertUnwindSafe(|| self.deliver.deliver(parcels))).ok()
    }

    /// The first of these is a dead letter; what is left.
    fn bury<'a>(&self, why: &str, parcels: &'a [Vec<u8>]) -> &'a [Vec<u8>] {
        let Some((first, rest)) = parcels.split_first() else {
            return parcels;
        };
        self.dead.keep(why, first);
        self.health.dead();
        self.spool.done(1);
        rest
    }

    fn succeeded(&self, count: usize) {
        if self.health.delivered(count, self.spool.level()) {
            (self.say)(&format!("{} works again", self.health.name()));
        }
    }

    fn failed(&self, why: &str) {
        let level = self.spool.level();
        if self.health.failed(why, level) {
            (self.say)(&format!(
                "warning: {}: {why}; {} wait and it is tried again",
                self.health.name(),
                level.parcels
            ));
        }
    }
}
