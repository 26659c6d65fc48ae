//! What one source did that a row does not tell: hang-ups, and rare services of inside hosts.

use model::Model;
use sensor_ebpf::flow::{EPOCH_SHIFT, TimeNs};

use super::{
    Evidence, Kind,
    census::{self, Census},
    detect::DST_PORT,
    null::chain,
    rule,
};
use crate::{
    attack::remote_service,
    bounded::{Evicted, Seed, Store, fixed_hash},
    features::Row,
    flow::{ConnState, FlowRecord},
};

/// Sources remembered.
const SOURCES: u32 = 1 << 13;
/// Distinct things remembered of a source.
const THINGS: usize = 16;
/// Packet time after which what a source did is forgotten.
const WINDOW_NS: TimeNs = 600_000_000_000;
/// Chance that a connection ends so: one in 7,700 did in ordinary home traffic.
const HANGS_UP: f64 = 1e-3;
/// Chance that a host that hung up without a word does it again within the window.
const HANGS_UP_AGAIN: f64 = 0.05;
/// Chance that a host that used a service new to this network uses another such within the window.
const NEW_SERVICE_AGAIN: f64 = 0.05;
/// Payload bytes below which nothing was said that could control another host.
const SAID: u64 = 40;

/// Distinct things with the time of each, latest first in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    things: [(u64, TimeNs); THINGS],
}

impl Recent {
    pub(super) const NONE: Self = Self {
        things: [(0, 0); THINGS],
    };

    /// Takes in a thing and answers how many distinct ones there were in the window.
    pub(super) fn add(&mut self, thing: u64, now: TimeNs) -> usize {
        let thing = thing | 1;
        let since = now.saturating_sub(WINDOW_NS);
        for old in &mut self.things {
            if old.1 < since {
                *old = (0, 0);
            }
        }
        let known = self.things.iter().position(|(other, _)| *other == thing);
        let oldest = || (0..THINGS).min_by_key(|at| self.things[*at].1).unwrap_or(0);
        let at = known.unwrap_or_else(oldest);
        self.things[at] = (thing, now);
        self.things.iter().filter(|(other, _)| *other != 0).count()
    }
}

#[derive(Debug)]
struct Source {
    hang_ups: Recent,
    inside: Recent,
}

/// Sources that did one of these things.
#[derive(Debug)]
pub(super) struct Sources {
    sources: Store<2, Source>,
    forgotten: u64,
}

impl Sources {
    pub(super) fn new() -> Self {
        Self {
            sources: Store::new(SOURCES, Seed::random()),
            forgotten: 0,
        }
    }

    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn source(&mut self, record: &FlowRecord) -> &mut Source {
        let [a, b] = words(&record.key.addresses[record.originator]);
        let (source, evicted) = self
            .sources
            .entry(&[a, b], record.due >> EPOCH_SHIFT, || Source {
                hang_ups: Recent::NONE,
                inside: Recent::NONE,
            });
        self.forgotten += u64::from(evicted != Evicted::None);
        source
    }

    /// Connections that were answered and thrown away by the originator without a word: nobody who wants something does
    /// that; port scanners that connect do.
    pub(super) fn probing(&mut self, record: &FlowRecord) -> Option<Evidence> {
        let hung_up = record.key.protocol == 6
            && rule::is_empty(record)
            && record.resp().packets > 0
            && record.conn_state() == ConnState::Rsto;
        if !hung_up {
            return None;
        }
        let times = self.source(record).hang_ups.add(record.id, record.due);
        let p = chain(times as f64, HANGS_UP, HANGS_UP_AGAIN);
        (times > 1).then_some(Evidence::of(Kind::ServiceProbing, p))
    }

    /// Inside hosts talking to services of other inside hosts that hardly anybody uses here: each pair and service
    /// counts once.
    pub(super) fn lateral(
        &mut self,
        record: &FlowRecord,
        row: &Row,
        model: &Model,
        census: &Census,
    ) -> Option<Evidence> {
        let port = record.destination_port();
        let talks = record.key.protocol == 6
            && record.orig().payload_bytes >= SAID
            && record.resp().payload_bytes >= SAID
            && row[rule::SRC_PRIVATE] > 0.5
            && row[rule::DST_PRIVATE] > 0.5
            && !census::INDUSTRIAL.contains(&port)
            && !census.is_established(record);
        if !talks {
            return None;
        }
        let rarity = DST_PORT.rarity(model, row);
        if rarity > 0.01 {
            return None;
        }
        let [a, b] = words(&record.key.addresses[record.responder()]);
        let thing = fixed_hash(&[a, b, u64::from(port)]);
        let times = self.source(record).inside.add(thing, record.due);
        let p = chain(times as f64, rarity, NEW_SERVICE_AGAIN);
        // A service for remote control is what intruders move by; one other new service is nothing, several are a sign.
        let is_control = remote_service(port).is_some();
        (is_control || times > 1).then_some(Evidence::of(Kind::LateralMovement, p))
    }
}

fn words(address: &[u8; 16]) -> [u64; 2] {
    let word = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    [word(&address[..8]), word(&address[8..])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_things_are_distinct_bounded_and_forgotten() {
        let mut recent = Recent::NONE;
        let second = 1_000_000_000;
        assert_eq!(recent.add(2, 10 * second), 1);
        assert_eq!(recent.add(2, 20 * second), 1);
        assert_eq!(recent.add(4, 30 * second), 2);
        assert_eq!(recent.add(6, 630 * second), 2);
        for at in 0..100 {
            assert!(recent.add(8 + 2 * at, 700 * second) <= THINGS);
        }
    }
}
