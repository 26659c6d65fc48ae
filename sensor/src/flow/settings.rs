//! When flows end, and running totals of what ended why.

use std::time::Duration;

use sensor_ebpf::flow::EPOCH_SHIFT;

use super::{Aggregated, FlowEndReason};

/// When flows end, and how many may live. `None` switches that way of ending off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A flow without a packet for this long has ended; a later packet begins another.
    pub idle_timeout: Option<Duration>,
    /// A flow that lasts longer is cut into records of this length.
    pub active_timeout: Option<Duration>,
    /// How long a closed TCP connection (RST, or FIN from both sides) waits for stragglers. Longer than a round trip, and
    /// short enough that a refused connection is due but once, when it has ended.
    pub close_linger: Option<Duration>,
    /// Flows that may live at once; one more ends the flow that has been idle longest.
    pub capacity: u32,
    /// Whether flows become due while they live, not only when they end.
    pub checkpoints: bool,
    /// What to do when half-open flows pour in; `None` treats them like all others.
    pub emergency: Option<Emergency>,
}

/// What a table does against floods of flows that nobody completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emergency {
    /// Half-open flows from which the table is pressed; at most half of its capacity.
    pub half_open: u32,
    /// Idle timeout of half-open flows while it is.
    pub idle_timeout: Duration,
}

impl Emergency {
    /// A quarter of the table, and five seconds: longer than the first repetitions of a SYN (1 s and 3 s, RFC 6298).
    pub const fn of_capacity(capacity: u32) -> Self {
        Self {
            half_open: capacity / 4,
            idle_timeout: Duration::from_secs(5),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_secs(120)),
            active_timeout: Some(Duration::from_secs(1800)),
            close_linger: Some(Duration::from_secs(1)),
            capacity: 1 << 18,
            checkpoints: true,
            emergency: Some(Emergency::of_capacity(1 << 18)),
        }
    }
}

impl Settings {
    /// Nothing ever ends a flow but the end of the capture (or a full table): one record per key.
    pub fn no_expiry() -> Self {
        Self {
            idle_timeout: None,
            active_timeout: None,
            close_linger: None,
            emergency: None,
            ..Self::default()
        }
    }
}

/// Running totals of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records begun.
    pub begun: u64,
    /// Records ended, by [`FlowEndReason`] minus 1.
    pub ended: [u64; 5],
    /// Checkpoints handed out.
    pub checkpoints: u64,
    /// What got no record of its own while the table was pressed.
    pub aggregated: Aggregated,
    /// Half-open flows among those ended that would have lived on had the table not been pressed.
    pub hurried: u64,
    /// How often the table came under pressure.
    pub pressed: u64,
}

impl Stats {
    /// Records ended for `reason`.
    pub const fn ended(&self, reason: FlowEndReason) -> u64 {
        self.ended[reason as usize - 1]
    }
}

pub(super) fn nanoseconds(duration: Option<Duration>) -> u64 {
    duration.map_or(u64::MAX, |duration| {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// Boundaries after the last packet until `duration` has surely passed; at least one.
pub(super) fn epochs(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| {
        nanoseconds(Some(duration))
            .div_ceil(1 << EPOCH_SHIFT)
            .max(1)
    })
}
