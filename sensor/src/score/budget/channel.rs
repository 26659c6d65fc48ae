//! The rates of a budget, each with its threshold and its allowance.

use model::{Allowance, Control, ControlSettings};

use super::{Rate, Settings};

/// Evidence from which an incident is told before anything is known of the traffic: medium severity.
const START: f64 = 3.5;
/// Evidence is in decades: a quarter of one for each alert that was, or was not.
const CONTROL: ControlSettings = ControlSettings {
    step: 0.25,
    steps_per_window: 4.0,
    floor: 0.0,
    // Critical incidents begin at 9: the threshold never keeps one back.
    ceiling: 8.999,
};
/// Share of a period's alerts that may come at once.
const AT_ONCE: f64 = 0.5;
/// Share of those that is kept for critical ones.
const KEPT: f64 = 0.25;

/// One rate with its control.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) rate: Rate,
    /// Place of the severity whose own it is; nothing for the shared one.
    pub(super) own: Option<usize>,
    pub(super) per_ns: f64,
    pub(super) control: Control,
    pub(super) allowance: Allowance,
}

impl Channel {
    fn new(rate: Rate, own: Option<usize>) -> Self {
        let alerts = f64::from(rate.alerts.max(1));
        let at_once = (alerts * AT_ONCE).max(1.0);
        Self {
            rate,
            own,
            per_ns: alerts / rate.period_ns.max(1) as f64,
            control: Control::new(START, CONTROL),
            allowance: Allowance::new(at_once, at_once * KEPT),
        }
    }

    /// Begins with the evidence that another rate had come to.
    pub(super) fn learned(&mut self, threshold: f64) {
        self.control = Control::new(threshold, CONTROL);
    }
}

/// The channels that were asked for, and which of them each severity has.
pub(super) fn channels(settings: &Settings) -> (Vec<Channel>, [Option<usize>; 4]) {
    let shared = settings.shared.map(|rate| Channel::new(rate, None));
    let mut channels: Vec<Channel> = shared.into_iter().collect();
    let mut of = [settings.shared.map(|_| 0); 4];
    for (at, own) in settings.by_severity.into_iter().enumerate() {
        if let Some(rate) = own {
            channels.push(Channel::new(rate, Some(at)));
            of[at] = Some(channels.len() - 1);
        }
    }
    (channels, of)
}
