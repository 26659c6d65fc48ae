//! How often and how regularly one source comes back to one service of one destination.

use sensor_ebpf::flow::TimeNs;

use super::host::seconds;

/// One conversation, now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConversationView {
    /// Flows so far, the one asked about included.
    pub flows: f32,
    /// Seconds from the first flow of the conversation to the start of the one asked about: 0 for the first.
    pub age: f32,
    /// Mean time between starts, seconds; NaN below two flows.
    pub gap_mean: f32,
    /// Standard deviation of the time between starts over its mean: near 0 for a beacon; NaN below three flows.
    pub gap_variation: f32,
    /// Seconds from the previous start to the last one; NaN below two flows.
    pub last_gap: f32,
    /// Visits at an even pace, in a row, where the one asked about brought them to 4, 8, 16 and so on; otherwise 0.
    pub beats: f32,
}

/// A visit is what begins after at least so long without a start, milliseconds: parts of a page and retries are one.
const QUIET_MS: u64 = 1_000;
/// Gaps kept to the pace after which a missed visit is forgiven: hosts sleep and lose packets.
const KEPT: u32 = 8;
/// Fewest gaps that are a pace.
const FEWEST: u32 = 4;

/// The latest visits in a row that keep one pace.
///
/// A gap belongs to the run if it is, rounded, once the mean of the run's gaps. That leaves room for a jitter of half the mean,
/// more than beacons usually have (Caldera's sleep 30 to 60 s), and ends a run of visits at random after two or three.
///
/// A run is told where it doubles, and only of the flow that doubled it: so in a baseline it counts once for each doubling and not at
/// every visit, and how long runs last can be read from the share of rows.
#[derive(Clone, Debug)]
struct Pace {
    /// Start of the latest visit.
    visit: TimeNs,
    /// Gaps of the run; the slots they fill (two if a visit was missed), and their time in milliseconds.
    beats: u32,
    slots: u32,
    time: u64,
    /// Gaps since the run began or a visit was missed.
    kept: u32,
    /// What the run doubled to last, and the start of the visit that did it.
    doubled: u32,
    doubled_at: TimeNs,
}

impl Pace {
    fn new(first: TimeNs) -> Self {
        Self {
            visit: first,
            beats: 0,
            slots: 0,
            time: 0,
            kept: 0,
            doubled: 0,
            doubled_at: 0,
        }
    }

    /// A visit began at `time`.
    fn visit(&mut self, time: TimeNs) {
        let gap = time.saturating_sub(self.visit) / 1_000_000;
        self.visit = self.visit.max(time);
        match self.slots_of(gap) {
            0 => (self.beats, self.slots, self.time, self.kept) = (1, 1, gap, 1),
            slots => {
                self.beats = self.beats.saturating_add(1);
                self.slots = self.slots.saturating_add(slots);
                self.time = self.time.saturating_add(gap);
                self.kept = if slots == 1 { self.kept + 1 } else { 0 };
            }
        }
        if self.beats >= FEWEST && self.beats.is_power_of_two() {
            (self.doubled, self.doubled_at) = (self.beats, time);
        }
    }

    /// How often the mean of the run goes into a gap, rounded: once, or twice where one visit may be missed; 0 ends the run.
    fn slots_of(&self, gap: u64) -> u32 {
        let twice = gap.saturating_mul(2).saturating_mul(u64::from(self.slots));
        let times = |number: u64| self.time.max(1).saturating_mul(number);
        if self.slots == 0 || twice < times(1) {
            0
        } else if twice < times(3) {
            1
        } else if twice < times(5) && self.kept >= KEPT {
            2
        } else {
            0
        }
    }
}

/// Starts of one conversation.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    first: TimeNs,
    last: TimeNs,
    /// Sums over times between starts in milliseconds: integers, so that nothing depends on rounding.
    gap_sum: u64,
    gap_square_sum: u128,
    last_gap: u64,
    flows: u32,
    pace: Pace,
}

impl Conversation {
    pub(super) fn new(first: TimeNs) -> Self {
        Self {
            first,
            last: first,
            gap_sum: 0,
            gap_square_sum: 0,
            last_gap: 0,
            flows: 0,
            pace: Pace::new(first),
        }
    }

    /// A flow began at `time`.
    #[inline]
    pub(super) fn start(&mut self, time: TimeNs) {
        if self.flows > 0 {
            let gap = time.saturating_sub(self.last) / 1_000_000;
            self.gap_sum += gap;
            self.gap_square_sum += u128::from(gap) * u128::from(gap);
            self.last_gap = gap;
            if gap >= QUIET_MS {
                self.pace.visit(time);
            }
        }
        self.last = self.last.max(time);
        self.flows = self.flows.saturating_add(1);
    }

    pub(super) fn view(&self, start: TimeNs) -> ConversationView {
        let gaps = f64::from(self.flows.saturating_sub(1));
        let mean = self.gap_sum as f64 / gaps;
        let variance = (self.gap_square_sum as f64 / gaps - mean * mean).max(0.0);
        let known = |least: u32, value: f64| {
            if self.flows >= least {
                value as f32
            } else {
                f32::NAN
            }
        };
        ConversationView {
            flows: self.flows as f32,
            age: seconds(start.saturating_sub(self.first)),
            gap_mean: known(2, mean / 1e3),
            gap_variation: known(
                3,
                if mean > 0.0 {
                    variance.sqrt() / mean
                } else {
                    0.0
                },
            ),
            last_gap: known(2, self.last_gap as f64 / 1e3),
            beats: if self.pace.doubled_at == start {
                self.pace.doubled as f32
            } else {
                0.0
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What visits at these seconds, each of `parts` starts a tenth of a second apart, double to, and when.
    fn doublings(seconds: impl IntoIterator<Item = f64>, parts: u64) -> Vec<(f32, u64)> {
        let mut conversation: Option<Conversation> = None;
        let mut told = Vec::new();
        for second in seconds {
            for part in 0..parts {
                let start = (second * 1e9) as TimeNs + part * 100_000_000;
                let conversation = conversation.get_or_insert_with(|| Conversation::new(start));
                conversation.start(start);
                let beats = conversation.view(start).beats;
                if beats > 0.0 {
                    told.push((beats, second as u64));
                }
            }
        }
        told
    }

    fn every(gap: f64, count: u32) -> impl Iterator<Item = f64> {
        (0..count).map(move |at| f64::from(at) * gap)
    }

    #[test]
    fn a_pace_is_told_once_for_each_doubling_whatever_a_visit_is_made_of() {
        let told = [(4.0, 40), (8.0, 80), (16.0, 160), (32.0, 320)];
        assert_eq!(doublings(every(10.0, 50), 1), told);
        assert_eq!(doublings(every(10.0, 50), 5), told);
        assert_eq!(doublings(every(10.0, 4), 1), []);
        // A stream of starts without a pause is one visit.
        assert_eq!(doublings(every(0.5, 300), 1), []);
    }

    #[test]
    fn a_doubling_is_still_told_when_the_flow_ends_after_later_ones() {
        let mut conversation = Conversation::new(0);
        for at in 0..8 {
            conversation.start(at * 10_000_000_000);
        }
        let told = |at: u64| conversation.view(at * 10_000_000_000).beats;
        assert_eq!([told(3), told(4), told(5), told(7)], [0.0, 4.0, 0.0, 0.0]);
    }

    #[test]
    fn jitter_is_borne_and_a_rare_miss_forgiven() {
        let longest = |seconds: Vec<f64>| doublings(seconds, 1).last().map(|told| told.0);
        let mut now = 0.0;
        let jittered = (0..70).map(|step| {
            now += f64::from(30 + step * 7 % 31);
            now
        });
        assert_eq!(longest(jittered.collect()), Some(64.0));
        let without = |missed: &[u32]| {
            let minutes = (0..70).filter(|at| !missed.contains(at));
            longest(minutes.map(|at| f64::from(at) * 60.0).collect())
        };
        assert_eq!(without(&[20, 40]), Some(64.0));
        // Two in a row end the run, or one too soon after another.
        assert_eq!(without(&[35, 36]), Some(32.0));
        assert_eq!(without(&[30, 35]), Some(32.0));
    }

    #[test]
    fn visits_at_random_keep_no_pace() {
        // SplitMix64 (Steele, Lea, Flood 2014), as exponential gaps of a minute.
        let (mut state, mut now) = (5_u64, 0.0);
        let seconds = (0..20_000).map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let uniform = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
            now -= 60.0 * (1.0 - uniform).ln();
            now
        });
        let told = doublings(seconds.collect::<Vec<_>>(), 1);
        assert!(told.len() > 100, "four gaps alike are nothing special");
        assert!(told.iter().all(|(beats, _)| *beats <= 16.0), "{told:?}");
    }
}
