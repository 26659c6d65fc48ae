//! What waits for a receiver: in memory while that is enough, on disk beyond it, and on disk from the beginning for what
//! must survive the process.
//!
//! First in, first out. A parcel leaves when its receiver has it, so a process that is killed delivers some parcels twice
//! and none never. Both parts have a bound in bytes; what comes when both are full is lost and counted. The last quarter
//! is for alerts: however many flows wait, an alert finds room.

use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    journal::{Journal, Unwritten},
    level::{Bounds, Level, Lost},
};

/// Parcels under way to their receiver.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What is delivered.
    pub(super) parcels: Vec<Vec<u8>>,
    /// Numbers of those that are on disk.
    places: Vec<Option<u64>>,
}

/// What a courier gets when it asks.
#[derive(Debug)]
pub(super) enum Taken {
    /// Something to deliver.
    Batch(Arc<Batch>),
    /// Nothing came for a while.
    Nothing,
    /// Nothing is there and nothing will come.
    Ended,
}

/// Parcels that wait for one receiver; shared by the one who fills it and the one who empties it.
#[derive(Debug)]
pub(super) struct Spool {
    bounds: Bounds,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    memory: VecDeque<(Vec<u8>, Option<u64>)>,
    memory_bytes: usize,
    /// None where no folder is.
    journal: Option<Journal>,
    flight: Option<Arc<Batch>>,
    /// Of the batch under way, how many the receiver has.
    flown: usize,
    /// Nothing more will come.
    is_closing: bool,
    /// What is left was written down; what happens after that counts no more.
    is_sealed: bool,
    lost: Lost,
    /// What the file system said last; told once.
    fault: Option<String>,
}

impl Spool {
    /// Opens the folder and takes over what an earlier process left there; without a folder, memory is all there is.
    ///
    /// # Errors
    /// The folder cannot be made, read or written.
    pub(super) fn open(folder: Option<&Path>, bounds: Bounds) -> io::Result<Self> {
        let journal = folder
            .map(|folder| Journal::open(folder, bounds.disk_bytes))
            .transpose()?;
        let mut state = State {
            journal,
            ..State::default()
        };
        state.count_damage();
        Ok(Self {
            bounds,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// Puts parcels in; durable ones are on disk when this returns, as far as the disk takes them.
    pub(super) fn put(&self, parcels: impl IntoIterator<Item = Vec<u8>>, is_durable: bool) {
        let mut state = self.lock();
        for parcel in parcels {
            state.put(parcel, is_durable, self.bounds);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for parcels, for a batch of this many at most. What is taken is under way until [`Spool::done`] or
    /// [`Spool::give_back`].
    pub(super) fn take(&self, most: usize, gather: Duration, wait: Duration) -> Taken {
        let mut state = self.lock();
        if state.is_empty() && !state.is_closing {
            state = self.wait_while(state, wait, |state| state.is_empty() && !state.is_closing);
        }
        if state.is_empty() {
            return if state.is_closing {
                Taken::Ended
            } else {
                Taken::Nothing
            };
        }
        if !gather.is_zero() && !state.is_closing {
            state = self.wait_while(state, gather, |state| {
                state.waiting() < most as u64 && !state.is_closing
            });
        }
        state.take(most)
    }

    /// The receiver has so many more of the batch under way, or they are given up.
    pub(super) fn done(&self, count: usize) {
        let mut state = self.lock();
        state.done(count);
    }

    /// What is left of the batch under way waits again, before everything else.
    pub(super) fn give_back(&self, batch: Arc<Batch>) {
        let mut state = self.lock();
        state.give_back(batch);
    }

    /// Waits, but not longer than until nothing more will come; whether that is so.
    pub(super) fn wait_closing(&self, wait: Duration) -> bool {
        let state = self.lock();
        let state = self.wait_while(state, wait, |state| !state.is_closing);
        state.is_closing
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.lock().is_closing = true;
        self.changed.notify_all();
    }

    /// Writes down everything that is only in memory, also what is under way. Nothing is delivered after that.
    pub(super) fn seal(&self) {
        let mut state = self.lock();
        state.seal(self.bounds);
        drop(state);
        self.sync();
        if let Some(journal) = &mut self.lock().journal {
            journal.close();
        }
    }

    /// Brings what was written to the disk itself, so that a power failure does not take it.
    pub(super) fn sync(&self) {
        let file = self
            .lock()
            .journal
            .as_mut()
            .and_then(Journal::take_unsynced);
        if let Some(file) = file
            && let Err(error) = file.sync_data()
        {
            self.lock().fault = Some(error.to_string());
        }
    }

    /// What it holds now.
    pub(super) fn level(&self) -> Level {
        let state = self.lock();
        let flight = state
            .flight
            .as_ref()
            .map_or(0, |flight| flight.parcels.len() - state.flown);
        Level {
            memory_bytes: state.memory_bytes,
            disk_bytes: state.journal.as_ref().map_or(0, Journal::bytes),
            parcels: state.waiting() + flight as u64,
            lost: state.lost,
        }
    }

    /// What the file system said since this was asked last.
    pub(super) fn take_fault(&self) -> Option<String> {
        self.lock().fault.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that died while it held the lock left numbers that are at worst a little off.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        wait: Duration,
        mut condition: impl FnMut(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let until = Instant::now() + wait;
        while condition(&state) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state
    }
}

impl State {
    fn put(&mut self, parcel: Vec<u8>, is_durable: bool, bounds: Bounds) {
        if self.is_sealed {
            // The folder is another's by now.
            self.lost.full += 1;
            return;
        }
        let unread = self.journal.as_ref().map_or(0, Journal::unread);
        // Without a disk the reserve for alerts is in memory.
        let memory_bound = if is_durable || self.journal.is_some() {
            bounds.memory_bytes
        } else {
            Bounds::bulk(bounds.memory_bytes as u64) as usize
        };
        let fits = self.memory_bytes + parcel.len() <= memory_bound;
        if fits && unread == 0 {
            let place = if is_durable {
                self.append(&parcel, bounds.disk_bytes).ok().flatten()
            } else {
                None
            };
            if place.is_some()
                && let Some(journal) = &mut self.journal
            {
                journal.skip_to_end();
            }
            self.remember(parcel, place);
            return;
        }
        let disk_bound = if is_durable {
            bounds.disk_bytes
        } else {
            Bounds::bulk(bounds.disk_bytes)
        };
        match self.append(&parcel, disk_bound) {
            Ok(Some(_)) => {}
            // Out of turn, but not lost.
            Err(Unwritten::Failed(_)) if fits => self.remember(parcel, None),
            Err(Unwritten::Failed(_)) => self.lost.disk += 1,
            Ok(None) | Err(Unwritten::Full) => self.lost.full += 1,
        }
    }

    /// Its number; nothing where there is no disk.
    fn append(&mut self, parcel: &[u8], bound_bytes: u64) -> Result<Option<u64>, Unwritten> {
        let Some(journal) = &mut self.journal else {
            return Ok(None);
        };
        let appended = journal.append(parcel, bound_bytes);
        if let Err(Unwritten::Failed(error)) = &appended {
            self.fault = Some(error.to_string());
        }
        appended.map(Some)
    }

    fn remember(&mut self, parcel: Vec<u8>, place: Option<u64>) {
        self.memory_bytes += parcel.len();
        self.memory.push_back((parcel, place));
    }

    fn waiting(&self) -> u64 {
        self.memory.len() as u64 + self.journal.as_ref().map_or(0, Journal::unread)
    }

    fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    fn take(&mut self, most: usize) -> Taken {
        /// Read from disk for a batch, at most.
        const BATCH_BYTES: usize = 1 << 20;
        debug_assert!(self.flight.is_none(), "one batch at a time");
        if self.memory.is_empty()
            && let Some(journal) = &mut self.journal
        {
            match journal.fetch(most, BATCH_BYTES) {
                Ok(found) => {
                    for (number, parcel) in found {
                        self.remember(parcel, Some(number));
                    }
                }
                Err(error) => self.fault = Some(error.to_string()),
            }
            self.count_damage();
        }
        let mut bytes = 0;
        let count = self
            .memory
            .iter()
            .take(most)
            .take_while(|(parcel, _)| {
                let goes = bytes == 0 || bytes + parcel.len() <= BATCH_BYTES;
                bytes += parcel.len();
                goes
            })
            .count();
        if count == 0 {
            return Taken::Nothing;
        }
        let (parcels, places) = self.memory.drain(..count).unzip();
        let batch = Arc::new(Batch { parcels, places });
        self.flight = Some(Arc::clone(&batch));
        self.flown = 0;
        Taken::Batch(batch)
    }

    fn done(&mut self, count: usize) {
        let Some(flight) = self.flight.clone().filter(|_| !self.is_sealed) else {
            return;
        };
        let end = (self.flown + count).min(flight.parcels.len());
        let range = self.flown..end;
        self.flown = end;
        self.memory_bytes -= flight.parcels[range.clone()]
            .iter()
            .map(Vec::len)
            .sum::<usize>();
        let last = flight.places[range].iter().flatten().max();
        if let (Some(last), Some(journal)) = (last, &mut self.journal)
            && let Err(error) = journal.deliver_below(last + 1)
        {
            self.fault = Some(error.to_string());
        }
        if end == flight.parcels.len() {
            self.flight = None;
        }
    }

    fn give_back(&mut self, batch: Arc<Batch>) {
        self.flight = None;
        if self.is_sealed {
            return;
        }
        let Batch { parcels, places } = Arc::into_inner(batch).unwrap_or_default();
        let rest = parcels.into_iter().zip(places).skip(self.flown);
        for (at, one) in rest.enumerate() {
            self.memory.insert(at, one);
        }
    }

    fn seal(&mut self, bounds: Bounds) {
        let flight = self.flight.take();
        if std::mem::replace(&mut self.is_sealed, true) {
            return;
        }
        let under_way = flight.iter().flat_map(|flight| {
            let rest = flight.parcels.iter().zip(&flight.places);
            rest.skip(self.flown)
                .map(|(parcel, place)| (parcel.clone(), *place))
        });
        let left: Vec<_> = under_way.chain(std::mem::take(&mut self.memory)).collect();
        for (parcel, place) in left {
            if place.is_some() {
                continue;
            }
            match self.append(&parcel, bounds.disk_bytes) {
                Ok(Some(_)) => {}
                Err(Unwritten::Failed(_)) => self.lost.disk += 1,
                Ok(None) | Err(Unwritten::Full) => self.lost.full += 1,
            }
        }
        self.memory_bytes = 0;
    }

    fn count_damage(&mut self) {
        if let Some(journal) = &mut self.journal {
            self.lost.damaged += journal.take_damaged();
        }
    }
}
