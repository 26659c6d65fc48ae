//! Which flows are kept: those that tell something, as far as there is room.

use sensor_ebpf::flow::TimeNs;

/// Which flows are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Those at most as likely among ordinary flows; of ordinary traffic, that is this share of it.
    pub p_value: f64,
    /// Those that score as high, whatever their p-value.
    pub score: f32,
    /// Flows a second of traffic, over a minute: in a flood, the most anomalous of each moment.
    pub per_second: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            p_value: 0.05,
            score: f32::INFINITY,
            per_second: 500,
        }
    }
}

impl Share {
    /// Whether a flow of this verdict is kept, where there is room.
    pub fn keeps(&self, score: f32, p_value: f64, anomalous: bool) -> bool {
        anomalous || p_value <= self.p_value || score >= self.score
    }
}

/// Where the flows of the last minute left the allowance of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    per_second: f64,
    left: f64,
    at: TimeNs,
}

impl Room {
    /// A minute of rows.
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            left: 60.0 * per_second,
            at: 0,
        }
    }

    /// How many rows of those wanted there is room for, at this traffic time.
    pub(super) fn take(&mut self, now: TimeNs, wanted: usize) -> usize {
        let passed = now.saturating_sub(self.at) as f64 / 1e9;
        self.at = self.at.max(now);
        self.left = (self.left + passed * self.per_second).min(60.0 * self.per_second);
        let granted = wanted.min(self.left as usize);
        self.left -= granted as f64;
        granted
    }
}
