//! What a place taught so far, without an end: which services answer here, who gets answers, what sizes a service has.
//!
//! Only the past counts: a connection is asked about before it is remembered. And only answers make anything familiar: a
//! scanner that knocks on ten thousand doors teaches nothing about the doors.

use std::net::IpAddr;

use super::conn::Conn;
use crate::bounded::{Seed, Store};

/// Entries of each kind at most.
const SERVICES: u32 = 1 << 14;
const HOSTS: u32 = 1 << 16;
const PAIRS: u32 = 1 << 17;
/// Answered connections of a service from which its sizes are known.
const ENOUGH: u32 = 10;

/// What the past says about one connection. Counts of 0 are known zeros: nothing of the kind happened before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Past {
    /// Connections to this service (protocol and port), anywhere, that were answered.
    pub(super) service_answers: f32,
    /// Their share of all to this service; NaN for none.
    pub(super) service_answered_share: f32,
    /// Connections of the originator that were answered.
    pub(super) source_answers: f32,
    /// Their share of all it began; NaN for none.
    pub(super) source_answered_share: f32,
    /// Connections to the responder that it answered.
    pub(super) destination_answers: f32,
    /// Connections that the responder began itself.
    pub(super) destination_asks: f32,
    /// Connections of these two about this service that were answered.
    pub(super) pair_answers: f32,
    /// Connections of these two about this service since the last answer.
    pub(super) pair_unanswered: f32,
    /// How many standard deviations of the logarithm away from the service's own mean; NaN before enough was seen.
    pub(super) orig_bytes_off: f32,
    /// The same for what the responder sent.
    pub(super) resp_bytes_off: f32,
    /// The same for the duration.
    pub(super) duration_off: f32,
}

/// Mean and deviation as they grow (Welford 1962).
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    count: u32,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, value: f64) {
        self.count = self.count.saturating_add(1);
        let off = value - self.mean;
        self.mean += off / f64::from(self.count);
        self.squares += off * (value - self.mean);
    }

    /// A service whose answers are all alike still varies a little: half a unit of the logarithm.
    fn off(&self, value: f64) -> f32 {
        const FLOOR: f64 = 0.5;
        if self.count < ENOUGH {
            return f32::NAN;
        }
        let deviation = (self.squares / f64::from(self.count)).sqrt().max(FLOOR);
        ((value - self.mean) / deviation) as f32
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Service {
    asked: u32,
    answered: u32,
    orig_bytes: Spread,
    resp_bytes: Spread,
    duration: Spread,
}

#[derive(Clone, Copy, Debug, Default)]
struct Host {
    asks: u32,
    got_answers: u32,
    gave_answers: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    answered: u32,
    unanswered: u32,
}

/// The memory of one place.
#[derive(Debug)]
pub(super) struct Memory {
    services: Store<1, Service>,
    hosts: Store<2, Host>,
    pairs: Store<5, Pair>,
}

fn key_of(address: IpAddr) -> [u64; 2] {
    let bits = crate::flow::key_address(address);
    let word = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| bits[at + byte]));
    [word(0), word(8)]
}

fn service_of(conn: &Conn) -> u64 {
    u64::from(conn.protocol) << 16 | u64::from(conn.destination_port.unwrap_or(0))
}

fn pair_of(conn: &Conn) -> [u64; 5] {
    let ([a, b], [c, d]) = (key_of(conn.source), key_of(conn.destination));
    [a, b, c, d, service_of(conn)]
}

/// `ln(1 + x)` of a measure of a connection; 0 where it is not logged, as Zeek leaves away what did not happen.
fn measures(conn: &Conn) -> [f64; 3] {
    let log = |value: Option<u64>| (1.0 + value.unwrap_or(0) as f64).ln();
    [
        log(conn.orig.ip_bytes.or(conn.orig.bytes)),
        log(conn.resp.ip_bytes.or(conn.resp.bytes)),
        log(conn.duration_ns.map(|duration| duration / 1_000_000)),
    ]
}

impl Memory {
    pub(super) fn new() -> Self {
        let seed = Seed::random();
        Self {
            services: Store::new(SERVICES, seed),
            hosts: Store::new(HOSTS, seed),
            pairs: Store::new(PAIRS, seed),
        }
    }

    /// What was known before `conn`.
    pub(super) fn past(&self, conn: &Conn) -> Past {
        let service = self
            .services
            .get(&[service_of(conn)])
            .copied()
            .unwrap_or_default();
        let host = |address| {
            self.hosts
                .get(&key_of(address))
                .copied()
                .unwrap_or_default()
        };
        let (source, destination) = (host(conn.source), host(conn.destination));
        let pair = self.pairs.get(&pair_of(conn)).copied().unwrap_or_default();
        let share = |part: u32, whole: u32| match whole {
            0 => f32::NAN,
            _ => part as f32 / whole as f32,
        };
        let [orig, resp, duration] = measures(conn);
        Past {
            service_answers: service.answered as f32,
            service_answered_share: share(service.answered, service.asked),
            source_answers: source.got_answers as f32,
            source_answered_share: share(source.got_answers, source.asks),
            destination_answers: destination.gave_answers as f32,
            destination_asks: destination.asks as f32,
            pair_answers: pair.answered as f32,
            pair_unanswered: pair.unanswered as f32,
            orig_bytes_off: service.orig_bytes.off(orig),
            resp_bytes_off: service.resp_bytes.off(resp),
            duration_off: service.duration.off(duration),
        }
    }

    /// Remembers `conn`, which ended in `epoch`.
    pub(super) fn learn(&mut self, conn: &Conn, epoch: u64) {
        let answered = conn.is_served();
        let one = u32::from(answered);
        let (service, _) = self
            .services
            .entry(&[service_of(conn)], epoch, Service::default);
        service.asked = service.asked.saturating_add(1);
        service.answered = service.answered.saturating_add(one);
        if answered {
            let [orig, resp, duration] = measures(conn);
            service.orig_bytes.add(orig);
            service.resp_bytes.add(resp);
            service.duration.add(duration);
        }
        let (source, _) = self.hosts.entry(&key_of(conn.source), epoch, Host::default);
        source.asks = source.asks.saturating_add(1);
        source.got_answers = source.got_answers.saturating_add(one);
        let (destination, _) = self
            .hosts
            .entry(&key_of(conn.destination), epoch, Host::default);
        destination.gave_answers = destination.gave_answers.saturating_add(one);
        let (pair, _) = self.pairs.entry(&pair_of(conn), epoch, Pair::default);
        pair.answered = pair.answered.saturating_add(one);
        pair.unanswered = if answered {
            0
        } else {
            pair.unanswered.saturating_add(1)
        };
    }
}
