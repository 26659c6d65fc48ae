//! From the queue into the spool.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam::channel::RecvTimeoutError;

use super::{Encode, Queue, Say, health::Health, spool::Spool};
use crate::sink::message::Message;

/// How often it looks after the spool, also when nothing comes.
const LOOK: Duration = Duration::from_secs(1);

/// A thread that encodes.
pub(super) struct Keeper {
    pub(super) encode: Box<dyn Encode>,
    pub(super) queue: Box<dyn Queue>,
    pub(super) spool: Arc<Spool>,
    pub(super) health: Health,
    pub(super) say: Say,
}

impl Keeper {
    /// Until the other end of the queue is gone.
    pub(super) fn run(mut self) {
        let mut parcels = Vec::new();
        let mut looked = Instant::now();
        loop {
            match self.queue.receive(LOOK) {
                Ok(message) => {
                    self.encode.encode(&message, &mut parcels);
                    let is_durable = matches!(message, Message::Alert(_));
                    self.put(&mut parcels, is_durable);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.encode.idle(&mut parcels);
                    self.put(&mut parcels, false);
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.look();
            }
        }
        self.encode.finish(&mut parcels);
        self.put(&mut parcels, false);
        self.look();
    }

    fn put(&self, parcels: &mut Vec<Vec<u8>>, is_durable: bool) {
        if !parcels.is_empty() {
            self.spool.put(parcels.drain(..), is_durable);
        }
    }

    fn look(&self) {
        self.spool.sync();
        self.health.level(self.spool.level());
        if let Some(fault) = self.spool.take_fault()
            && self.health.is_first_fault(&fault)
        {
            let name = self.health.name();
            (self.say)(&format!(
                "warning: spool of {name}: {fault}; what waits for it is kept in memory, and lost beyond that"
            ));
        }
    }
}
