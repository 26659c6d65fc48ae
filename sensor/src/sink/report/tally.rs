//! What a report says of all flows, summed while they pass; bounded, whatever they are.

use std::{collections::BTreeMap, net::IpAddr};

use super::data::{Slot, Sum, Timeline};
use crate::{
    features::{COUNT, TABLE},
    score::Scored,
    sink::flows::service,
};

/// Slots of the timeline, at most; when they do not suffice, two become one.
const SLOTS: usize = 240;
/// Names held of each kind; when there are more, the half with least bytes is summed as one.
const NAMES: usize = 8192;
/// Rows of each kind that are told.
const TOLD: usize = 15;
/// Features told that are missing here and there.
const MISSING: usize = 12;
/// What is summed for want of room.
const OTHERS: &str = "others";

const SECOND_NS: u64 = 1_000_000_000;

/// Sums over flows.
#[derive(Debug)]
pub struct Tally {
    timeline: Timeline,
    window: Option<[u64; 2]>,
    bytes: u64,
    flows: u64,
    services: BTreeMap<String, Sum>,
    hosts: BTreeMap<IpAddr, Sum>,
    pairs: BTreeMap<(IpAddr, IpAddr), Sum>,
    others: [Sum; 3],
    /// Flows that models were asked about, and how many of them lack each feature.
    judged: u64,
    missing: Box<[u64; COUNT]>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            timeline: Timeline::default(),
            window: None,
            bytes: 0,
            flows: 0,
            services: BTreeMap::new(),
            hosts: BTreeMap::new(),
            pairs: BTreeMap::new(),
            others: [(); 3].map(|()| Sum {
                name: OTHERS.to_owned(),
                ..Sum::default()
            }),
            judged: 0,
            missing: Box::new([0; COUNT]),
        }
    }
}

impl Tally {
    /// Adds a flow.
    pub fn absorb(&mut self, scored: &Scored) {
        let record = &scored.record;
        let (sent, received) = (record.orig().ip_bytes, record.resp().ip_bytes);
        let anomalous = u64::from(scored.anomalous);
        self.flows += 1;
        self.bytes = self.bytes.saturating_add(sent).saturating_add(received);
        let (start, last) = (record.start(), record.last());
        self.window = Some(match self.window {
            None => [start, last],
            Some([first, until]) => [first.min(start), until.max(last)],
        });
        let slot = self.timeline.slot(start);
        slot.flows += 1;
        slot.anomalous += anomalous;
        slot.bytes = slot.bytes.saturating_add(sent + received);
        let add = |sum: &mut Sum, sent: u64, received: u64| {
            sum.flows += 1;
            sum.anomalous += anomalous;
            sum.sent = sum.sent.saturating_add(sent);
            sum.received = sum.received.saturating_add(received);
        };
        let (source, destination) = (record.source(), record.destination());
        add(
            self.services.entry(service(record)).or_default(),
            sent,
            received,
        );
        add(self.hosts.entry(source).or_default(), sent, received);
        add(self.hosts.entry(destination).or_default(), received, sent);
        add(
            self.pairs.entry((source, destination)).or_default(),
            sent,
            received,
        );
        shrink(&mut self.services, &mut self.others[0]);
        shrink(&mut self.hosts, &mut self.others[1]);
        shrink(&mut self.pairs, &mut self.others[2]);
        if scored.record.key.is_arp() {
            return;
        }
        self.judged += 1;
        for (missing, value) in self.missing.iter_mut().zip(&scored.row) {
            *missing += u64::from(value.is_nan());
        }
    }

    /// First and last packet.
    pub const fn window(&self) -> Option<[u64; 2]> {
        self.window
    }

    /// IP bytes of all flows.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Traffic in time.
    pub fn timeline(&self) -> Timeline {
        self.timeline.clone()
    }

    /// Services, hosts and conversations, each by bytes.
    pub fn most(&self) -> [Vec<Sum>; 3] {
        let pair = |(from, to): &(IpAddr, IpAddr)| format!("{from} → {to}");
        [
            ranked(&self.services, &self.others[0], String::clone),
            ranked(&self.hosts, &self.others[1], IpAddr::to_string),
            ranked(&self.pairs, &self.others[2], pair),
        ]
    }

    /// Features that some flows have and some have not, most missing first.
    pub fn missing(&self) -> Vec<(String, f64)> {
        let mut missing: Vec<(String, f64)> = TABLE
            .iter()
            .zip(self.missing.iter())
            .filter(|(_, missing)| (1..self.judged).contains(missing))
            .map(|(feature, missing)| {
                (
                    feature.name.to_owned(),
                    *missing as f64 / self.judged as f64,
                )
            })
            .collect();
        missing.sort_by(|a, b| b.1.total_cmp(&a.1));
        missing.truncate(MISSING);
        missing
    }
}

impl Timeline {
    /// The slot that a moment is in; slots are made longer, and moved, until there is one.
    fn slot(&mut self, at_ns: u64) -> &mut Slot {
        if self.slots.is_empty() {
            self.slot_ns = SECOND_NS;
            self.start_ns = at_ns - at_ns % SECOND_NS;
            self.slots.push(Slot::default());
        }
        // What was captured on several interfaces, or is merged, need not come in order.
        while at_ns < self.start_ns {
            let missing = (self.start_ns - at_ns).div_ceil(self.slot_ns) as usize;
            if missing + self.slots.len() <= SLOTS {
                self.slots
                    .splice(0..0, std::iter::repeat_n(Slot::default(), missing));
                self.start_ns -= missing as u64 * self.slot_ns;
            } else {
                self.coarsen();
            }
        }
        while ((at_ns - self.start_ns) / self.slot_ns) as usize >= SLOTS {
            self.coarsen();
        }
        let at = ((at_ns - self.start_ns) / self.slot_ns) as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, Slot::default());
        }
        &mut self.slots[at]
    }

    /// Makes one slot of two.
    fn coarsen(&mut self) {
        let length = self.slot_ns.saturating_mul(2);
        if !self.start_ns.is_multiple_of(length) && self.start_ns >= self.slot_ns {
            self.slots.insert(0, Slot::default());
            self.start_ns -= self.slot_ns;
        }
        self.slot_ns = length;
        self.slots = self
            .slots
            .chunks(2)
            .map(|pair| {
                pair.iter().fold(Slot::default(), |sum, slot| Slot {
                    flows: sum.flows + slot.flows,
                    anomalous: sum.anomalous + slot.anomalous,
                    bytes: sum.bytes.saturating_add(slot.bytes),
                })
            })
            .collect();
    }
}

/// Sums the smaller half as one where there are too many.
fn shrink<K: Ord + Clone>(sums: &mut BTreeMap<K, Sum>, others: &mut Sum) {
    if sums.len() <= NAMES {
        return;
    }
    let mut order: Vec<(u64, K)> = sums
        .iter()
        .map(|(key, sum)| (sum.bytes(), key.clone()))
        .collect();
    order.sort();
    for (_, key) in order.into_iter().take(NAMES / 2) {
        if let Some(sum) = sums.remove(&key) {
            others.flows += sum.flows;
            others.anomalous += sum.anomalous;
            others.sent = others.sent.saturating_add(sum.sent);
            others.received = others.received.saturating_add(sum.received);
        }
    }
}

fn ranked<K>(sums: &BTreeMap<K, Sum>, others: &Sum, name: impl Fn(&K) -> String) -> Vec<Sum> {
    let mut all: Vec<(&K, &Sum)> = sums.iter().collect();
    all.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.bytes()));
    let rest = all.iter().skip(TOLD).map(|(_, sum)| *sum).chain([others]);
    let rest = rest.fold(Sum::default(), |mut rest, sum| {
        rest.flows += sum.flows;
        rest.anomalous += sum.anomalous;
        rest.sent = rest.sent.saturating_add(sum.sent);
        rest.received = rest.received.saturating_add(sum.received);
        rest
    });
    let mut told: Vec<Sum> = all
        .into_iter()
        .take(TOLD)
        .map(|(key, sum)| Sum {
            name: name(key),
            ..sum.clone()
        })
        .collect();
    if rest.flows > 0 {
        told.push(Sum {
            name: OTHERS.to_owned(),
            ..rest
        });
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_holds_whatever_comes() {
        let mut timeline = Timeline::default();
        let moments = [50, 51, 700, 3, 86_400 * 30, 1_000_000, 86_400 * 365 * 50, 0];
        for (number, second) in moments.into_iter().enumerate() {
            timeline.slot(second * SECOND_NS).flows += 1;
            let sum: u64 = timeline.slots.iter().map(|slot| slot.flows).sum();
            assert_eq!(sum, number as u64 + 1);
            assert!(timeline.slots.len() <= SLOTS, "{}", timeline.slots.len());
            let end = timeline.start_ns + timeline.slot_ns * timeline.slots.len() as u64;
            assert!((timeline.start_ns..end).contains(&(second * SECOND_NS)));
        }
    }

    #[test]
    fn names_are_bounded_and_sums_stay_sums() {
        let mut sums = BTreeMap::new();
        let mut others = Sum::default();
        for number in 0..3 * NAMES as u64 {
            sums.insert(
                number,
                Sum {
                    flows: 1,
                    sent: number,
                    ..Sum::default()
                },
            );
            shrink(&mut sums, &mut others);
        }
        assert!(sums.len() <= NAMES);
        let told = ranked(&sums, &others, u64::to_string);
        assert_eq!(
            told.iter().map(|sum| sum.flows).sum::<u64>(),
            3 * NAMES as u64
        );
        assert_eq!((told[0].sent, told.len()), (3 * NAMES as u64 - 1, TOLD + 1));
    }
}
