//! What is usual: median and median absolute deviation over the recent past.
//!
//! Both stay where they are while up to half of the samples are of something else (Hampel, The Influence Curve and Its Role
//! in Robust Estimation, 1974), so a spike does not hide the next one.

use std::collections::VecDeque;

use super::Resource;

/// From median absolute deviation to standard deviation, for a normal distribution.
const NORMAL: f64 = 1.4826;
/// Scale of rates: 1 MB/s. Rates have long tails, and are judged by their logarithms.
const RATE_UNIT: f64 = 1e6;
/// Least standard deviations: what a box that does nothing for hours is allowed to do.
const LEAST_SHARE: f64 = 0.02;
const LEAST_LOG: f64 = 0.15;

/// What is usual of one resource, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Half of the time it is below.
    pub median: f64,
    /// One of a hundred seconds is below.
    pub low: f64,
    /// One of a hundred seconds is above.
    pub high: f64,
    /// Robust standard deviation, on the scale that is judged.
    scale: f64,
    /// Median on the scale that is judged.
    centre: f64,
}

impl Usual {
    /// How many standard deviations beyond the median a value is.
    pub fn deviations(&self, resource: Resource, value: f64) -> f64 {
        (judged(resource, value) - self.centre) / self.scale
    }

    /// The value that is so many standard deviations beyond the median.
    pub fn at(&self, resource: Resource, deviations: f64) -> f64 {
        let judged = self.centre + deviations * self.scale;
        if resource.is_share() {
            judged
        } else {
            judged.min(60.0).exp_m1() * RATE_UNIT
        }
    }
}

/// A value on the scale that is judged.
fn judged(resource: Resource, value: f64) -> f64 {
    if resource.is_share() {
        value
    } else {
        (value / RATE_UNIT).ln_1p()
    }
}

/// The recent past of one resource.
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    resource: Resource,
    past: VecDeque<f64>,
    room: usize,
    sorted: Vec<f64>,
}

impl Baseline {
    /// Of so many samples.
    pub(super) fn new(resource: Resource, room: usize) -> Self {
        Self {
            resource,
            past: VecDeque::with_capacity(room),
            room,
            sorted: Vec::with_capacity(room),
        }
    }

    pub(super) fn absorb(&mut self, value: f64) {
        if self.past.len() == self.room {
            self.past.pop_front();
        }
        self.past.push_back(value);
    }

    /// Of so many samples from now on; the youngest stay.
    pub(super) fn resize(&mut self, room: usize) {
        self.room = room;
        let beyond = self.past.len().saturating_sub(room);
        self.past.drain(..beyond);
    }

    pub(super) fn forget(&mut self) {
        self.past.clear();
    }

    /// What is usual, once there are `least` samples.
    pub(super) fn usual(&mut self, least: usize) -> Option<Usual> {
        if self.past.len() < least.max(1) {
            return None;
        }
        self.sorted.clear();
        self.sorted.extend(&self.past);
        self.sorted.sort_unstable_by(f64::total_cmp);
        let last = self.sorted.len() - 1;
        let quantile = |share: f64| self.sorted[(share * last as f64).round() as usize];
        let (median, low, high) = (quantile(0.5), quantile(0.01), quantile(0.99));
        let centre = judged(self.resource, median);
        for value in &mut self.sorted {
            *value = (judged(self.resource, *value) - centre).abs();
        }
        let middle = last / 2;
        let (_, deviation, _) = self.sorted.select_nth_unstable_by(middle, f64::total_cmp);
        let least = if self.resource.is_share() {
            LEAST_SHARE
        } else {
            LEAST_LOG
        };
        Some(Usual {
            median,
            low,
            high,
            scale: (*deviation * NORMAL).max(least),
            centre,
        })
    }
}
