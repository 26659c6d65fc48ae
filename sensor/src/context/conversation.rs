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
        }
    }
}
