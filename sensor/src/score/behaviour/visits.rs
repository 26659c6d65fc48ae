//! Who comes back like a clock: starts of flows of a pair, and pauses inside one connection.

use model::Model;
use sensor_ebpf::flow::{EPOCH_SHIFT, TimeNs};

use super::{
    Evidence, Kind,
    at::{Known, Measure, at, known},
    detect::DST_PORT,
    null::{even_gaps, even_pauses, fisher, poisson},
    rule::{self, PAIR_FLOWS, PAIR_GAP_MEAN},
    source::Recent,
};
use crate::{
    bounded::{Evicted, Seed, Store, fixed_hash},
    features::Row,
    flow::FlowRecord,
};

/// Pairs remembered.
const PAIRS: u32 = 1 << 14;
/// Visits remembered of a pair: the latest.
const REMEMBERED: usize = 24;
/// Visits closer than this are one.
const ONE_VISIT_NS: TimeNs = 2_000_000_000;
/// Fewest gaps that a rhythm is read from.
const FEWEST: usize = 4;
/// Evidence of a rhythm ends here, because ordinary machines have rhythms too: about one pair in a hundred that came
/// back at all had a clear one in ordinary home traffic. What else an alert needs, the rarity of the service must say, or
/// how long the rhythm [`lasts`].
const CLEAR: f64 = 1e-2;
/// A rhythm of this p-value is one.
const RHYTHM: f64 = 1e-3;
/// A rhythm that is shown even where it is usual: this p-value and this many visits.
const PLAIN: f64 = 1e-6;
const PLAIN_VISITS: u8 = 12;
/// Rhythms of one source at which it polls: a monitoring host, the master of a plant. A master that controls has one
/// server.
const POLLS: usize = 4;
/// Flows of a pair before its visits are remembered.
const RETURNS: f32 = 3.0;
/// Mean seconds between flows of a pair that could be a beacon.
const GAP: f32 = 1.0;
/// Shortest longest pause, in seconds, of a beacon inside a connection.
const PAUSE: f64 = 5.0;
/// Calls to a service that does not answer that are nothing, in the null model: one a minute.
const RETRY_EVERY: f64 = 60.0;

const ORIG_GAP_MAX: usize = at("orig_gap_max");
const ORIG_GAP_MEAN: usize = at("orig_gap_mean");
const ORIG_GAP_STD: usize = at("orig_gap_std");
const GAP_VARIATION: usize = at("pair_gap_variation");
const BEATS: Known = known("pair_beats");

/// Starts of the latest visits, ascending.
#[derive(Clone, Copy, Debug)]
struct Pair {
    starts: [TimeNs; REMEMBERED],
    length: u8,
    /// Of these starts: flows are looked at again and again, and most are no new visit.
    rhythm: (f64, f64),
}

impl Pair {
    const NEW: Self = Self {
        starts: [0; REMEMBERED],
        length: 0,
        rhythm: (1.0, f64::NAN),
    };

    /// Takes in a start; flows become due in the order of their ends.
    fn add(&mut self, start: TimeNs) {
        let length = usize::from(self.length);
        let at = self.starts[..length].partition_point(|other| *other <= start);
        let near = |other: TimeNs| other.abs_diff(start) < ONE_VISIT_NS;
        if at > 0 && near(self.starts[at - 1]) || at < length && near(self.starts[at]) {
            return;
        }
        if length < REMEMBERED {
            self.starts.copy_within(at..length, at + 1);
            self.starts[at] = start;
            self.length += 1;
        } else if at > 0 {
            self.starts.copy_within(1..at, 0);
            self.starts[at - 1] = start;
        }
        self.rhythm = rhythm(&self.starts[..usize::from(self.length)]);
    }
}

/// p-value of the most even stretch of latest gaps, and its standard deviation over its mean.
fn rhythm(starts: &[TimeNs]) -> (f64, f64) {
    let (mut best, mut tests) = ((1.0, f64::NAN), 0.0);
    let (mut sum, mut squares) = (0.0, 0.0);
    for (at, pair) in starts.windows(2).rev().enumerate() {
        let gap = (pair[1] - pair[0]) as f64 / 1e9;
        sum += gap;
        squares += gap * gap;
        let gaps = at + 1;
        if gaps < FEWEST {
            continue;
        }
        tests += 1.0;
        let mean = sum / gaps as f64;
        let variation = (squares / gaps as f64 - mean * mean).max(0.0).sqrt() / mean;
        let p = even_gaps(gaps, variation);
        if p < best.0 {
            best = (p, variation);
        }
    }
    (f64::min(1.0, best.0 * f64::max(tests, 1.0)), best.1)
}

/// p-value of an even pace kept for so many visits, whatever the baseline knows: half of those that come to a length come to
/// twice that length. In ordinary home traffic fewer did at first and as many later: 189 paces were kept for 4 visits, 30 for 8,
/// 12 for 16, and 7 for 32.
fn lasts(beats: f64) -> f64 {
    CLEAR * (FEWEST as f64 / beats).min(1.0)
}

/// Visits of pairs: source, destination, service.
#[derive(Debug)]
pub(super) struct Visits {
    pairs: Store<5, Pair>,
    /// Conversations with a rhythm, by source.
    rhythms: Store<2, Recent>,
    forgotten: u64,
}

impl Visits {
    pub(super) fn new() -> Self {
        Self {
            pairs: Store::new(PAIRS, Seed::random()),
            rhythms: Store::new(PAIRS / 4, Seed::random()),
            forgotten: 0,
        }
    }

    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Whether the flow is one more of a series, or a series by itself.
    pub(super) fn beacon(
        &mut self,
        record: &FlowRecord,
        row: &Row,
        model: &Model,
    ) -> Option<Evidence> {
        let returns = row[PAIR_FLOWS] >= RETURNS && row[PAIR_GAP_MEAN] >= GAP;
        let pauses = f64::from(row[ORIG_GAP_MAX]) >= PAUSE && record.key.protocol == 6;
        if !(returns || pauses)
            || rule::comes_back_by_design(record, row)
            || record.orig().packets == 0
        {
            return None;
        }
        let mut is_plain = false;
        let rarity = DST_PORT.rarity(model, row);
        let mut best: Option<Evidence> = None;
        let mut weigh = |p: f64, measure: Measure| {
            if best.is_none_or(|best| p < best.p_value) {
                best = Some(Evidence::of(Kind::Beaconing, p).with(measure));
            }
        };
        let number = |feature: usize, value: f64| Measure {
            feature,
            value: value as f32,
            usual: f32::NAN,
        };
        if returns {
            let epoch = record.due >> EPOCH_SHIFT;
            let (pair, evicted) = self.pairs.entry(&key(record), epoch, || Pair::NEW);
            self.forgotten += u64::from(evicted != Evicted::None);
            pair.add(record.start());
            let (p, variation) = pair.rhythm;
            let visits = pair.length;
            if p > RHYTHM || !self.polls(record) {
                let variation = number(GAP_VARIATION, variation);
                weigh(fisher(p.max(CLEAR), rarity), variation);
                let beats = f64::from(BEATS.of(row));
                if beats > 0.0 {
                    // All of it must be rare, so the greatest is a p-value again. A test of its own, whatever the port.
                    let kept_up = BEATS.tail(model, row).max(lasts(beats));
                    weigh(p.max(kept_up), BEATS.measure(model, row));
                }
                // One that goes out of the house is shown, if never so usual.
                is_plain = p <= PLAIN && visits >= PLAIN_VISITS && row[rule::DST_PRIVATE] < 0.5;
            }
        }
        if pauses && record.resp().payload_bytes > 0 {
            let gaps = (record.orig().packets.max(2) - 1) as f64;
            let (mean, deviation) = (f64::from(row[ORIG_GAP_MEAN]), f64::from(row[ORIG_GAP_STD]));
            let weighted = (deviation * deviation + mean * mean) / mean;
            let longest = f64::from(row[ORIG_GAP_MAX]);
            let p = even_pauses(weighted, longest, gaps * mean);
            weigh(fisher(p.max(CLEAR), rarity), number(ORIG_GAP_MAX, longest));
        }
        if rule::calls_in_vain(record, row) {
            let calls = f64::from(row[PAIR_FLOWS]);
            let time = (calls - 1.0) * f64::from(row[PAIR_GAP_MEAN]);
            let p = poisson(calls, 1.0 + time / RETRY_EVERY);
            weigh(fisher(p.max(CLEAR), rarity), number(PAIR_FLOWS, calls));
        }
        best.map(|best| Evidence { is_plain, ..best })
    }
}

impl Visits {
    /// Takes in that this conversation has a rhythm, and answers whether its source has many such.
    fn polls(&mut self, record: &FlowRecord) -> bool {
        let [a, b, conversation @ ..] = key(record);
        let (rhythms, evicted) = self
            .rhythms
            .entry(&[a, b], record.due >> EPOCH_SHIFT, || Recent::NONE);
        self.forgotten += u64::from(evicted != Evicted::None);
        rhythms.add(fixed_hash(&conversation), record.due) >= POLLS
    }
}

fn key(record: &FlowRecord) -> [u64; 5] {
    let word = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    let [from, to] =
        [record.originator, record.responder()].map(|side| &record.key.addresses[side]);
    let service = u64::from(record.key.protocol) << 16 | u64::from(record.destination_port());
    [
        word(&from[..8]),
        word(&from[8..]),
        word(&to[..8]),
        word(&to[8..]),
        service,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: TimeNs = 1_000_000_000;

    fn pair(starts: &[u64]) -> Pair {
        let mut pair = Pair::NEW;
        for start in starts {
            pair.add(start * SECOND);
        }
        pair
    }

    #[test]
    fn order_does_not_matter_and_bursts_are_one_visit() {
        let forward = pair(&[0, 60, 61, 118, 181, 240, 302]);
        let backward = pair(&[302, 240, 181, 118, 60, 61, 0]);
        assert_eq!(usize::from(forward.length), 6);
        assert_eq!(forward.rhythm.0, backward.rhythm.0);
        assert!(forward.rhythm.0 < 1e-2);
    }

    #[test]
    fn each_doubling_of_a_pace_halves_its_p_value() {
        assert_eq!(lasts(4.0), CLEAR);
        assert_eq!(lasts(8.0), CLEAR / 2.0);
        assert_eq!(lasts(256.0), CLEAR / 64.0);
    }

    #[test]
    fn an_uneven_beginning_does_not_hide_a_rhythm() {
        let mut starts = vec![0, 3, 10];
        starts.extend((1..12).map(|at| 10 + 60 * at + at % 3));
        assert!(pair(&starts).rhythm.0 < 1e-7);
        let many: Vec<u64> = (0..1_000).map(|at| at * 30).collect();
        assert_eq!(usize::from(pair(&many).length), REMEMBERED);
        // Early ones no longer count.
        assert_eq!(pair(&many).starts[REMEMBERED - 1], 999 * 30 * SECOND);
    }
}
