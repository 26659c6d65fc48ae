//! Sums over every flow that ended, of which the store keeps only the telling ones: traffic in time, what it was made of, who
//! talked to whom, how it scored, and a sample of rows. What a dashboard draws comes from here, so that it need not read a
//! million flows.
//!
//! Bounded: between two flushes by the sizes below, on disk by `keep`. What finds no place is not lost but summed under the
//! empty name, so sums stay sums. A flow's bytes are spread evenly over the time it lasted, everything else counts at its end.

pub mod facts;
mod keep;
#[cfg(test)]
mod tests;
mod write;

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use sensor_ebpf::flow::TimeNs;

pub use self::{
    keep::{Kept, expire},
    write::{SCHEMA, fact},
};
use crate::{
    features::Row,
    flow::{ConnState, FlowRecord, has_ports, is_icmp},
    score::Severity,
    sink::message::Judgement,
};

/// Length of a slot of time, seconds.
pub const SLOT_SECONDS: u64 = 10;
/// Bins of the score, from 0 to 1.
pub const SCORE_BINS: usize = 100;
/// Slots that the bytes of one flow are spread over at most; those of a longer one are in its last ones.
const SPREAD_SLOTS: u64 = 200;
/// Entries of each kind between two flushes. Anomalous flows find a place in the last quarter, too.
const ENTRIES: usize = 8192;
/// Rows sampled of one day's ordinary flows, and as many of its anomalous ones.
pub(super) const SAMPLE_ROWS: usize = 600;

const SECOND_NS: u64 = 1_000_000_000;
const HOUR_SECONDS: u64 = 3600;
const DAY_SECONDS: u64 = 86_400;

/// What a mix is a mix of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum What {
    /// IP protocols, and ARP.
    Protocol = 0,
    /// Protocol and responder port.
    Service = 1,
    /// Kinds of incident that flows are part of.
    Kind = 2,
    /// How connections went, in Zeek's words.
    State = 3,
    /// Services that flows of incidents aimed at.
    Aimed = 4,
}

/// Sums over some flows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    flows: u64,
    anomalous: u64,
    failed: u64,
    packets: u64,
    sent: u64,
    received: u64,
    score: f32,
    last_ns: TimeNs,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.flows += other.flows;
        self.anomalous += other.anomalous;
        self.failed += other.failed;
        self.packets += other.packets;
        self.sent += other.sent;
        self.received += other.received;
        self.score = self.score.max(other.score);
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

/// One slot of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Slot {
    flows: u64,
    anomalous: u64,
    failed: u64,
    scored: u64,
    packets: u64,
    sent: u64,
    received: u64,
    score_sum: f64,
    score_max: f32,
    /// Sum of -log10 of the p-values of anomalous flows.
    surprise: f64,
    /// Low, medium, high, critical.
    severities: [u64; 4],
}

type Address = [u8; 16];

/// A row kept to show how features are distributed.
#[derive(Clone, Debug)]
struct Sampled {
    day: u64,
    anomalous: bool,
    rank: u64,
    score: f32,
    row: Row,
}

/// Sums since the last flush.
#[derive(Debug, Default)]
pub struct Rollup {
    slots: BTreeMap<u64, Slot>,
    mix: HashMap<(u64, What, u32), Sums>,
    pairs: HashMap<(u64, Address, Address), Sums>,
    scores: HashMap<(u64, u8), u64>,
    sample: BTreeMap<(u64, bool, u64), Sampled>,
    /// Hours that have entries.
    touched: BTreeMap<u64, ()>,
    facts: BTreeMap<&'static str, serde_json::Value>,
}

impl Rollup {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a fact, in place of an earlier one of this name; it is written with the next flush.
    pub fn note(&mut self, name: &'static str, value: serde_json::Value) {
        self.facts.insert(name, value);
    }

    /// Takes in a flow that ended.
    pub fn absorb(&mut self, record: &FlowRecord, row: &Row, judged: Option<&Judgement<'_>>) {
        let end = record.last() / SECOND_NS;
        let (orig, resp) = (record.orig(), record.resp());
        let anomalous = judged.is_some_and(|judged| judged.anomalous);
        let sums = Sums {
            flows: 1,
            anomalous: u64::from(anomalous),
            failed: u64::from(resp.packets == 0 || record.conn_state() == ConnState::Rej),
            packets: orig.packets + resp.packets,
            sent: orig.ip_bytes,
            received: resp.ip_bytes,
            score: judged.map_or(0.0, |judged| judged.score),
            last_ns: record.last(),
        };
        self.slot(record, &sums, judged);
        let hour = end - end % HOUR_SECONDS;
        self.touched.insert(hour, ());
        let protocol = record.protocol();
        let service = service_code(record);
        for (what, code) in [
            (What::Protocol, u32::from(protocol)),
            (What::Service, service),
            (What::State, record.conn_state() as u32),
        ] {
            tally(
                &mut self.mix,
                (hour, what, code),
                || (hour, what, write::OTHER),
                &sums,
            );
        }
        if let Some(kind) = judged.and_then(|judged| judged.kind) {
            for (what, code) in [(What::Kind, kind as u32), (What::Aimed, service)] {
                tally(
                    &mut self.mix,
                    (hour, what, code),
                    || (hour, what, write::OTHER),
                    &sums,
                );
            }
        }
        let (from, to) = (
            record.key.addresses[record.originator],
            record.key.addresses[record.responder()],
        );
        let nobody = [0; 16];
        tally(
            &mut self.pairs,
            (hour, from, to),
            || (hour, nobody, nobody),
            &sums,
        );
        // No model judges the others.
        if let Some(judged) = judged.filter(|_| !record.key.is_arp()) {
            let bin = ((judged.score * SCORE_BINS as f32) as usize).min(SCORE_BINS - 1);
            *self.scores.entry((hour, bin as u8)).or_default() += 1;
            self.offer(end - end % DAY_SECONDS, record.id, row, judged);
        }
    }

    fn slot(&mut self, record: &FlowRecord, sums: &Sums, judged: Option<&Judgement<'_>>) {
        let last = record.last() / SECOND_NS / SLOT_SECONDS;
        let first = (record.start() / SECOND_NS / SLOT_SECONDS)
            .max(last.saturating_sub(SPREAD_SLOTS - 1))
            .min(last);
        let over = last - first + 1;
        for at in first..=last {
            // Shares of a whole number that add up to it.
            let part = |whole: u64| {
                let before = at - first;
                whole * (before + 1) / over - whole * before / over
            };
            let slot = self.slots.entry(at * SLOT_SECONDS).or_default();
            slot.packets += part(sums.packets);
            slot.sent += part(sums.sent);
            slot.received += part(sums.received);
        }
        let slot = self.slots.entry(last * SLOT_SECONDS).or_default();
        slot.flows += 1;
        slot.failed += sums.failed;
        if let Some(judged) = judged {
            slot.scored += 1;
            slot.score_sum += f64::from(judged.score);
            slot.score_max = slot.score_max.max(judged.score);
            if judged.anomalous {
                slot.anomalous += 1;
                slot.surprise += -judged.p_value.max(f64::MIN_POSITIVE).log10();
            }
            if judged.severity > Severity::Info {
                slot.severities[judged.severity as usize - 1] += 1;
            }
        }
    }

    /// Keeps the rows whose ids hash lowest: a fair sample that does not depend on the order of flows, nor on how often the
    /// program was started.
    fn offer(&mut self, day: u64, id: u64, row: &Row, judged: &Judgement<'_>) {
        let rank = (id ^ id >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
        let of = |rank| (day, judged.anomalous, rank);
        let mut same = self.sample.range(of(0)..=of(u64::MAX));
        if same.clone().count() >= SAMPLE_ROWS {
            match same.next_back().map(|(key, _)| *key) {
                Some(worst) if rank < worst.2 => drop(self.sample.remove(&worst)),
                _ => return,
            }
        }
        let sampled = Sampled {
            day,
            anomalous: judged.anomalous,
            rank,
            score: judged.score,
            row: *row,
        };
        self.sample.insert(of(rank), sampled);
    }
}

/// Adds to an entry, or to that of the others where there is no room for a new one.
fn tally<K: Eq + Hash>(
    all: &mut HashMap<K, Sums>,
    key: K,
    others: impl FnOnce() -> K,
    sums: &Sums,
) {
    let room = if sums.anomalous > 0 {
        ENTRIES
    } else {
        ENTRIES / 4 * 3
    };
    let key = if all.len() < room || all.contains_key(&key) {
        key
    } else {
        others()
    };
    all.entry(key).or_default().add(sums);
}

/// Protocol and responder port (for ICMP the type) in one number; a later fragment has no port.
fn service_code(record: &FlowRecord) -> u32 {
    let number = record.protocol();
    let protocol = u32::from(number) << 17;
    if record.key.is_later_fragment() {
        return protocol | 1 << 16;
    }
    let port = match number {
        _ if has_ports(number) => record.destination_port(),
        _ if is_icmp(number) => record.source_port(),
        _ => 0,
    };
    protocol | u32::from(port)
}
