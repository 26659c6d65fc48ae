//! Outlets whose receivers fail in every way, under load. Every parcel has a number, and every number is accounted for:
//! with its receiver, or counted as lost.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use crossbeam::channel::{Sender, bounded};

use super::*;
use crate::sink::message::EndedFlow;

/// Only a hang takes so long.
const HANGING: Duration = Duration::from_secs(60);

/// A parcel for each flow: its number, and so many bytes.
struct Numbers(usize);

impl Encode for Numbers {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        if let Message::Flows(flows) = message {
            parcels.extend(flows.iter().map(|flow| {
                let mut parcel = flow.record.id.to_le_bytes().to_vec();
                parcel.resize(self.0, b'.');
                parcel
            }));
        }
    }
}

fn number(parcel: &[u8]) -> u64 {
    u64::from_le_bytes(parcel[..8].try_into().expect("a number"))
}

/// What a receiver has: how often each number came.
type Received = Arc<Mutex<BTreeMap<u64, u32>>>;

/// What a receiver does with a batch.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Takes it.
    Takes,
    /// Refuses it for now, after it had some of it: a connection that breaks.
    Breaks,
    /// Takes so many at a time, slowly.
    Slow,
    /// Nothing, for as long as a call may take.
    Hangs,
    /// As long as it is to do this; it takes everything once a whole test would have hung with it.
    Stays,
}

struct Fake {
    received: Received,
    does: Arc<Mutex<Does>>,
    calls: u32,
}

impl Deliver for Fake {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        self.calls += 1;
        let does = *self.does.lock().expect("lock");
        let take = |count: usize| {
            let mut received = self.received.lock().expect("lock");
            for parcel in &parcels[..count] {
                *received.entry(number(parcel)).or_default() += 1;
            }
        };
        match does {
            Does::Takes => {
                take(parcels.len());
                (parcels.len(), Ok(()))
            }
            Does::Breaks => {
                // It has two thirds, and only one is known to be there.
                take(parcels.len() * 2 / 3);
                (parcels.len() / 3, Err(DeliveryError::later("reset")))
            }
            Does::Slow => {
                pause(Duration::from_millis(2));
                let count = parcels.len().min(50);
                take(count);
                (count, Ok(()))
            }
            Does::Hangs => {
                pause(Duration::from_millis(300));
                (0, Err(DeliveryError::later("does not answer")))
            }
            Does::Stays => {
                let begin = Instant::now();
                while matches!(*self.does.lock().expect("lock"), Does::Stays) {
                    if begin.elapsed() > HANGING {
                        *self.does.lock().expect("lock") = Does::Takes;
                    }
                    pause(Duration::from_millis(2));
                }
                (0, Err(DeliveryError::later("stayed long")))
            }
        }
    }
}

fn pause(time: Duration) {
    let (_end, never) = bounded::<()>(0);
    let _ = never.recv_timeout(time);
}

fn flows(numbers: std::ops::Range<u64>) -> Message {
    Message::Flows(Arc::new(numbers.map(EndedFlow::empty).collect()))
}

struct One {
    queue: Sender<Message>,
    received: Received,
    does: Arc<Mutex<Does>>,
}

fn settings(folder: &std::path::Path, memory_bytes: usize, disk_bytes: u64) -> Settings {
    Settings {
        folder: Some(folder.to_owned()),
        bounds: Bounds {
            memory_bytes,
            disk_bytes,
        },
        first_retry: Duration::from_millis(1),
        longest_retry: Duration::from_millis(20),
        ..Settings::default()
    }
}

fn start(outlets: &mut Outlets, name: &'static str, does: Does, bytes: usize) -> One {
    let (queue, inbox) = bounded(16);
    let received = Received::default();
    let does = Arc::new(Mutex::new(does));
    let spec = OutletSpec {
        name,
        folder: name.to_owned(),
        target: "a test".to_owned(),
        wants: Wants::FLOWS,
        encode: Box::new(Numbers(bytes)),
        deliver: Box::new(Fake {
            received: Arc::clone(&received),
            does: Arc::clone(&does),
            calls: 0,
        }),
        batch: 500,
        gather: Duration::ZERO,
    };
    outlets.start(spec, inbox).expect("starts");
    One {
        queue,
        received,
        does,
    }
}

fn silent() -> Say {
    Arc::new(|_: &str| ())
}

fn standing(board: &Board, name: &str) -> Standing {
    let all = board.standings();
    all.into_iter().find(|one| one.name == name).expect("there")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < HANGING, "{what}");
        pause(Duration::from_millis(2));
    }
}

/// Four receivers and 200 000 messages for each: one takes, one breaks again and again, one is slow, one hangs. Whoever
/// takes has everything before the hanging one has anything; when all work again, each has every number.
#[test]
fn a_dead_receiver_costs_its_own_spool_and_nothing_else() {
    const COUNT: u64 = 200_000;
    let folder = tempfile::tempdir().expect("folder");
    let metrics = Metrics::new();
    let settings = settings(folder.path(), 1 << 20, 64 << 20);
    let mut outlets = Outlets::new(settings, &metrics, silent());
    let board = outlets.board();
    let all = [
        start(&mut outlets, "eve", Does::Takes, 40),
        start(&mut outlets, "syslog", Does::Breaks, 40),
        start(&mut outlets, "mail", Does::Slow, 40),
        start(&mut outlets, "redis", Does::Hangs, 40),
    ];
    let begin = Instant::now();
    for at in (0..COUNT).step_by(1000) {
        let message = flows(at..at + 1000);
        for one in &all {
            // The desk would drop here; the test waits, so that nothing but the spool may lose.
            one.queue.send(message.clone()).expect("open");
        }
    }
    until("the one that takes has all", || {
        standing(&board, "eve").delivered == COUNT
    });
    let took = begin.elapsed();
    assert!(all[3].received.lock().expect("lock").is_empty());
    // The others may not have come as far: each is to have failed as it does.
    until("the one that hangs is known to, and spooled", || {
        let redis = standing(&board, "redis");
        !redis.is_up && redis.level.disk_bytes > 0
    });
    until("the one that breaks broke", || {
        standing(&board, "syslog").retries > 0
    });
    assert!(standing(&board, "eve").is_up);
    let waits = standing(&board, "redis").level;
    assert!(waits.memory_bytes <= 1 << 20, "{waits:?}");
    for one in &all {
        *one.does.lock().expect("lock") = Does::Takes;
    }
    for (one, name) in all.iter().zip(["eve", "syslog", "mail", "redis"]) {
        until(name, || {
            one.received.lock().expect("lock").len() as u64 == COUNT
        });
    }
    for (at, one) in all.iter().enumerate() {
        let received = one.received.lock().expect("lock");
        assert!(received.keys().copied().eq(0..COUNT), "{at}: each number");
        // Only the receiver that had some of a batch without saying so got them twice.
        assert_eq!(at == 1, received.values().any(|count| *count > 1), "{at}");
    }
    drop(all);
    let left = outlets.stop(HANGING);
    assert!(left.iter().all(|left| left.waiting == 0), "{left:?}");
    for name in ["eve", "syslog", "mail", "redis"] {
        let standing = standing(&board, name);
        assert_eq!(standing.level.lost.all(), 0, "{name}");
        assert_eq!(standing.delivered, COUNT, "{name}");
    }
    eprintln!("200 000 messages to the receiver that takes: {took:.1?} beside three that fail");
}

/// What does not fit is lost and counted, to the parcel; what fits is delivered.
#[test]
fn loss_beyond_the_bound_is_counted_exactly() {
    const COUNT: u64 = 100_000;
    let folder = tempfile::tempdir().expect("folder");
    let metrics = Metrics::new();
    let settings = settings(folder.path(), 64 << 10, 1 << 20);
    let mut outlets = Outlets::new(settings, &metrics, silent());
    let board = outlets.board();
    let one = start(&mut outlets, "syslog", Does::Hangs, 40);
    for at in (0..COUNT).step_by(1000) {
        one.queue.send(flows(at..at + 1000)).expect("open");
    }
    until("all that fits is in", || {
        let level = standing(&board, "syslog").level;
        level.parcels + level.lost.full == COUNT
    });
    let level = standing(&board, "syslog").level;
    assert!(
        level.lost.full > 0 && level.disk_bytes <= 1 << 20,
        "{level:?}"
    );
    *one.does.lock().expect("lock") = Does::Takes;
    until("what fitted is delivered", || {
        standing(&board, "syslog").delivered == level.parcels
    });
    let received = one.received.lock().expect("lock").len() as u64;
    assert_eq!(received + level.lost.full, COUNT);
    assert_eq!(level.lost.all(), level.lost.full);
    drop(one);
    // A counter follows what the board says: it is right at the end.
    outlets.stop(HANGING);
    let text = metrics.text();
    for line in [
        format!("sink_parcels_total{{sink=\"syslog\",state=\"delivered\"}} {received}\n"),
        format!(
            "sink_parcels_total{{sink=\"syslog\",state=\"lost\"}} {}\n",
            level.lost.full
        ),
        format!(
            "sink_lost_parcels_total{{reason=\"full\",sink=\"syslog\"}} {}\n",
            level.lost.full
        ),
        "sink_up{sink=\"syslog\"} 1\n".to_owned(),
    ] {
        assert!(text.contains(&line), "no {line}");
    }
}

/// A receiver that hangs does not hold up the end, and what it did not take is delivered after the next start.
#[test]
fn what_is_left_at_the_end_goes_out_after_the_next_start() {
    let folder = tempfile::tempdir().expect("folder");
    let metrics = Metrics::new();
    let settings = settings(folder.path(), 1 << 20, 8 << 20);
    let mut outlets = Outlets::new(settings.clone(), &metrics, silent());
    let board = outlets.board();
    let hanging = start(&mut outlets, "mail", Does::Stays, 64);
    for at in (0..20_000).step_by(500) {
        hanging.queue.send(flows(at..at + 500)).expect("open");
    }
    // The end bounds the time for encoding too: what is about here is what was encoded and not delivered.
    until("all is in the spool", || {
        standing(&board, "mail").level.parcels == 20_000
    });
    drop(hanging.queue);
    let begin = Instant::now();
    let left = outlets.stop(Duration::from_millis(400));
    let took = begin.elapsed();
    let does = *hanging.does.lock().expect("lock");
    assert!(matches!(does, Does::Stays), "it ends before the receiver");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].waiting, 20_000);
    let mut outlets = Outlets::new(settings, &metrics, silent());
    let one = start(&mut outlets, "mail", Does::Takes, 64);
    drop(one.queue);
    let left = outlets.stop(HANGING);
    assert_eq!(left[0].waiting, 0);
    let received = one.received.lock().expect("lock");
    assert!(
        received
            .iter()
            .map(|(number, count)| (*number, *count))
            .eq((0..20_000).map(|number| (number, 1)))
    );
    *hanging.does.lock().expect("lock") = Does::Takes;
    eprintln!("the end beside a receiver that hangs: {took:.1?}");
}

/// What a receiver refuses for good stops nothing behind it.
#[test]
fn dead_letters_stop_nothing() {
    struct Picky(Received);
    impl Deliver for Picky {
        fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
            for (at, parcel) in parcels.iter().enumerate() {
                let number = number(parcel);
                if number % 100 == 7 {
                    assert!(number != 107, "a defect in the sink itself");
                    return (at, Err(DeliveryError::never("410 Gone")));
                }
                *self.0.lock().expect("lock").entry(number).or_default() += 1;
            }
            (parcels.len(), Ok(()))
        }
    }
    let folder = tempfile::tempdir().expect("folder");
    let metrics = Metrics::new();
    let settings = settings(folder.path(), 1 << 20, 8 << 20);
    let mut outlets = Outlets::new(settings, &metrics, silent());
    let board = outlets.board();
    let received = Received::default();
    let spec = OutletSpec {
        name: "webhook",
        folder: "webhook-1".to_owned(),
        target: "a test".to_owned(),
        wants: Wants::FLOWS,
        encode: Box::new(Numbers(16)),
        deliver: Box::new(Picky(Arc::clone(&received))),
        batch: 64,
        gather: Duration::ZERO,
    };
    let (queue, inbox) = bounded(16);
    outlets.start(spec, inbox).expect("starts");
    queue.send(flows(0..1000)).expect("open");
    drop(queue);
    outlets.stop(HANGING);
    let received = received.lock().expect("lock");
    // One that makes the sink itself fail is found by itself: nobody else becomes a dead letter for it.
    assert!(
        received
            .keys()
            .copied()
            .eq((0..1000).filter(|number| number % 100 != 7))
    );
    let standing = standing(&board, "webhook-1");
    assert_eq!((standing.delivered, standing.dead), (990, 10));
    let letters = std::fs::read_to_string(folder.path().join("webhook-1/dead-letters.jsonl"));
    assert!(letters.expect("file").contains("410 Gone"));
}
