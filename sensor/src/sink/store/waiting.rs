//! What waits for the disk: bounded, and with the moment at which it is due there.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::FlowEntry;
use crate::sink::alert::{Alert, Stage};

/// Alerts that wait, at most.
const ALERTS: usize = 4096;
/// Flows that wait, at most; from a quarter of that on they wait no longer.
const FLOWS: usize = 20_000;
/// From the first alert that waits to its transaction.
const ALERT_WAIT: Duration = Duration::from_millis(100);
/// From the first flow that waits to its transaction.
const FLOW_WAIT: Duration = Duration::from_secs(1);

/// What was taken in and is not written yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Oldest first.
    pub(super) alerts: VecDeque<Arc<Alert>>,
    /// Oldest first.
    pub(super) flows: Vec<FlowEntry>,
    alert_due: Option<Instant>,
    flow_due: Option<Instant>,
}

impl Waiting {
    /// Takes an alert in; answers whether one is lost for it, for want of room.
    pub(super) fn push_alert(&mut self, alert: Arc<Alert>) -> bool {
        let mut is_lost = false;
        if self.alerts.len() >= ALERTS {
            // Numbers that later ones follow are no loss; then those that only moved go, then the oldest.
            let moved = |old: &Arc<Alert>| old.stage == Stage::Progress;
            let mut waiting = self.alerts.iter();
            let followed = waiting.position(|old| moved(old) && old.id == alert.id);
            is_lost = followed.is_none();
            let leaves = followed.or_else(|| self.alerts.iter().position(moved));
            self.alerts.remove(leaves.unwrap_or(0));
        }
        self.alerts.push_back(alert);
        self.alert_due
            .get_or_insert_with(|| Instant::now() + ALERT_WAIT);
        is_lost
    }

    /// Takes flows in; answers how many are lost for them, the oldest.
    pub(super) fn push_flows(&mut self, flows: impl Iterator<Item = FlowEntry>) -> usize {
        self.flows.extend(flows);
        let beyond = self.flows.len().saturating_sub(FLOWS);
        self.flows.drain(..beyond);
        if !self.flows.is_empty() {
            self.flow_due
                .get_or_insert_with(|| Instant::now() + FLOW_WAIT);
        }
        beyond
    }

    /// When the first of it is due.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.alert_due, self.flow_due].into_iter().flatten().min()
    }

    /// Whether any of it is due, or so much waits that it is.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| now >= due) || self.flows.len() >= FLOWS / 4
    }

    /// It is due now.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.alert_due = Some(now);
    }

    /// How much waits, by the table that it belongs in.
    pub(super) fn rows(&self) -> [(&'static str, usize); 2] {
        [
            ("incidents", self.alerts.len()),
            ("flows", self.flows.len()),
        ]
    }

    /// It is on the disk.
    pub(super) fn written(&mut self) {
        self.alerts.clear();
        self.flows.clear();
    }

    /// Nothing is due until something comes.
    pub(super) fn settled(&mut self) {
        self.alert_due = None;
        self.flow_due = None;
    }
}
