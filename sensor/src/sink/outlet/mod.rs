//! Delivery: how what happens reaches receivers that may be slow, away or broken, without anybody else noticing.
//!
//! ```text
//!  queue ──Message──▶ keeper ──parcels──▶ spool (memory, then disk) ──▶ courier ──▶ receiver
//! ```
//!
//! Each sink has a queue, two threads and a spool of its own. The *keeper* encodes messages and puts the parcels into the
//! spool; the *courier* takes them to the receiver and tries again, waiting longer each time, until it has them. So a dead
//! receiver fills its spool and nothing else, and a restart delivers what is left. Delivery is at least once: every alert
//! carries an id by which a receiver knows it again.
//!
//! A new sink is an [`Encode`] and a [`Deliver`].

mod backoff;
mod courier;
mod dead;
mod delivered;
pub mod file;
mod frame;
mod health;
mod journal;
mod keeper;
mod level;
mod spool;
pub mod stdout;
#[cfg(test)]
mod tests;
#[cfg(unix)]
pub mod unix;

use std::{
    fmt, io,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel::{self, Receiver, RecvTimeoutError};

use self::{courier::Courier, dead::DeadLetters, health::Health, keeper::Keeper, spool::Spool};
pub use self::{
    health::{Board, Standing},
    level::{Bounds, Level, Lost},
};
use super::message::{Message, Wants};
use crate::metrics::Metrics;

/// Where messages come from.
pub trait Queue: Send {
    /// The next message.
    ///
    /// # Errors
    /// Nothing came in this time, or nothing can come any more.
    fn receive(&self, timeout: Duration) -> Result<Message, RecvTimeoutError>;
}

impl Queue for Receiver<Message> {
    fn receive(&self, timeout: Duration) -> Result<Message, RecvTimeoutError> {
        self.recv_timeout(timeout)
    }
}

/// Turns what happened into parcels. Pure, no I/O.
pub trait Encode: Send {
    /// Appends parcels; none where the message is none for this sink.
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>);

    /// About a second went by without a message.
    fn idle(&mut self, _parcels: &mut Vec<Vec<u8>>) {}

    /// Nothing more comes: what was held back goes now.
    fn finish(&mut self, _parcels: &mut Vec<Vec<u8>>) {}
}

/// Takes parcels to their receiver, in order; keeps a connection between calls. Every call returns within about ten
/// seconds, whatever the receiver does.
pub trait Deliver: Send {
    /// How many of the parcels, from the first, the receiver has; an error concerns the one after these.
    ///
    /// After [`DeliveryError::Later`] the next call begins with the parcel that was not taken.
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>);

    /// About a second went by with nothing to deliver.
    fn idle(&mut self) {}

    /// The program is ending: what is held back to go together goes with the next call.
    fn stopping(&mut self) {}

    /// Nothing more comes.
    fn finish(&mut self) {}

    /// What the receiver said last, for a person who is setting it up.
    fn said(&self) -> String {
        String::new()
    }
}

/// Why a parcel was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Worth trying again.
    #[error("{why}")]
    Later {
        /// What went wrong, in one line.
        why: String,
        /// When the receiver wants to be asked again, where it said so.
        after: Option<Duration>,
    },
    /// Refused for good: the parcel becomes a dead letter, and the next is tried.
    #[error("{why}")]
    Never {
        /// What the receiver said, in one line.
        why: String,
    },
    /// Nothing is wrong, but not now: the parcels wait so long, with those that come meanwhile.
    #[error("not before {0:?} are over")]
    Wait(Duration),
}

impl DeliveryError {
    /// Worth trying again.
    pub fn later(why: impl fmt::Display) -> Self {
        Self::Later {
            why: why.to_string(),
            after: None,
        }
    }

    /// Refused for good.
    pub fn never(why: impl fmt::Display) -> Self {
        Self::Never {
            why: why.to_string(),
        }
    }
}

/// One sink to start.
pub struct OutletSpec {
    /// What kind it is: the value of the label `sink` of its metrics.
    pub name: &'static str,
    /// Its folder below the spool's; no two sinks have the same.
    pub folder: String,
    /// Where it delivers to, for people; without secrets.
    pub target: String,
    /// What it wants to be told.
    pub wants: Wants,
    /// To parcels.
    pub encode: Box<dyn Encode>,
    /// To the receiver.
    pub deliver: Box<dyn Deliver>,
    /// Parcels delivered together, at most.
    pub batch: usize,
    /// How long a parcel waits for others to go with it.
    pub gather: Duration,
}

impl fmt::Debug for OutletSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutletSpec")
            .field("name", &self.name)
            .field("folder", &self.folder)
            .field("target", &self.target)
            .field("wants", &self.wants)
            .finish_non_exhaustive()
    }
}

/// What all outlets have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Folder of the spools; nothing keeps everything in memory.
    pub folder: Option<PathBuf>,
    /// Of each spool.
    pub bounds: Bounds,
    /// Bytes of dead letters kept for each sink.
    pub dead_letter_bytes: u64,
    /// How long after a failure to try again the first time; each time twice as long.
    pub first_retry: Duration,
    /// Longest time between tries.
    pub longest_retry: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            folder: None,
            bounds: Bounds {
                memory_bytes: 8 << 20,
                disk_bytes: 64 << 20,
            },
            dead_letter_bytes: 1 << 20,
            first_retry: Duration::from_millis(500),
            longest_retry: Duration::from_secs(60),
        }
    }
}

/// Why a sink cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its spool cannot be opened.
    #[error("spool {}: {source}", folder.display())]
    Spool {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No thread can be had.
    #[error("cannot start a thread for {sink}: {source}")]
    Thread {
        /// The sink.
        sink: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Says something to a person: one line.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// Every outlet that runs.
pub struct Outlets {
    settings: Settings,
    board: Board,
    say: Say,
    running: Vec<Outlet>,
}

impl fmt::Debug for Outlets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlets")
            .field("settings", &self.settings)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Outlet {
    /// Label of its metrics.
    sink: &'static str,
    name: String,
    spool: Arc<Spool>,
    health: Health,
    /// Something comes, or the other end is gone, when the thread is over.
    keeper: Receiver<()>,
    courier: Receiver<()>,
}

/// What is left when everything has stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Folder of the outlet.
    pub name: String,
    /// Parcels that wait on disk for the next start.
    pub waiting: u64,
}

impl Outlets {
    /// None yet.
    pub fn new(settings: Settings, metrics: &Metrics, say: Say) -> Self {
        Self {
            settings,
            board: Board::new(metrics),
            say,
            running: Vec::new(),
        }
    }

    /// How each of them is.
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// Starts a sink that is fed by this queue until its other end is gone.
    ///
    /// # Errors
    /// The spool's folder cannot be used, or no thread is to be had.
    pub fn start(
        &mut self,
        spec: OutletSpec,
        queue: impl Queue + 'static,
    ) -> Result<(), StartError> {
        let folder = self.settings.folder.as_ref();
        let folder = folder.map(|folder| folder.join(&spec.folder));
        let spool = Spool::open(folder.as_deref(), self.settings.bounds).map_err(|source| {
            StartError::Spool {
                folder: folder.clone().unwrap_or_default(),
                source,
            }
        })?;
        let spool = Arc::new(spool);
        let health = self
            .board
            .add(spec.name, &spec.folder, &spec.target, spool.level());
        let keeper = Keeper {
            encode: spec.encode,
            queue: Box::new(queue),
            spool: Arc::clone(&spool),
            health: health.clone(),
            say: Arc::clone(&self.say),
        };
        let courier = Courier {
            deliver: spec.deliver,
            spool: Arc::clone(&spool),
            health: health.clone(),
            dead: DeadLetters::new(folder.as_deref(), self.settings.dead_letter_bytes),
            batch: spec.batch.max(1),
            gather: spec.gather,
            first_retry: self.settings.first_retry,
            longest_retry: self.settings.longest_retry,
            say: Arc::clone(&self.say),
        };
        let failed = |source| StartError::Thread {
            sink: spec.folder.clone(),
            source,
        };
        let keeper = begin(format!("keep {}", spec.folder), || keeper.run()).map_err(failed)?;
        let courier = begin(format!("send {}", spec.folder), || courier.run()).map_err(failed)?;
        self.running.push(Outlet {
            sink: spec.name,
            name: spec.folder,
            spool,
            health,
            keeper,
            courier,
        });
        Ok(())
    }

    /// Waits until everything that came was encoded and delivered, but no longer than this; what is left then is written
    /// to disk and delivered after the next start. The other ends of all queues must be gone.
    pub fn stop(self, within: Duration) -> Vec<Left> {
        stop(self.running, within)
    }

    /// As [`Self::stop`], of the sinks of some kinds; another may go on with their folders then.
    pub fn end(&mut self, is_meant: impl Fn(&str) -> bool, within: Duration) -> Vec<Left> {
        let running = std::mem::take(&mut self.running);
        let (ending, staying): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|one| is_meant(one.sink));
        self.running = staying;
        let left = stop(ending, within);
        let names: Vec<String> = left.iter().map(|one| one.name.clone()).collect();
        self.board.remove(&names);
        left
    }

    /// Other bounds and times, for sinks that start from now on.
    pub fn adjust(&mut self, settings: Settings) {
        self.settings = settings;
    }
}

fn stop(outlets: Vec<Outlet>, within: Duration) -> Vec<Left> {
    let until = Instant::now() + within;
    for outlet in &outlets {
        // Nothing is ever sent: this ends when the thread does.
        let _ = outlet.keeper.recv_deadline(until);
        outlet.spool.close();
    }
    let stop = |outlet: Outlet| {
        let _ = outlet.courier.recv_deadline(until);
        // A courier that hangs is left behind; what it has is written down with the rest.
        outlet.spool.seal();
        let level = outlet.spool.level();
        outlet.health.level(level);
        Left {
            name: outlet.name,
            waiting: level.parcels,
        }
    };
    outlets.into_iter().map(stop).collect()
}

/// A thread, and something to wait for its end with a bound in time.
fn begin(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<Receiver<()>> {
    let (alive, ended) = channel::bounded(0);
    thread::Builder::new().name(name).spawn(move || {
        let _alive: channel::Sender<()> = alive;
        work();
    })?;
    Ok(ended)
}
