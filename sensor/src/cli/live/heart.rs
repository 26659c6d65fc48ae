//! Tells those who look after the sensor that its loop turns, and what it does.

use std::time::{Duration, Instant};

use model::Model;

use super::notify::Notify;
use crate::{
    config::Capture,
    metrics::Pulse,
    pipeline::{Listener, News},
    score::{Stage, several},
};

/// Time between two lines about how it is.
const STATUS: Duration = Duration::from_secs(5);
/// What the watchdog grants while a baseline is learned: the loop waits for the training at its end, and a large one
/// takes its time.
const PATIENCE: Duration = Duration::from_secs(600);

/// Hears what the watch tells, and passes the essence on.
pub(super) struct Heart {
    notify: Notify,
    pulse: Pulse,
    interfaces: String,
    is_ready: bool,
    is_learning: bool,
    learned: f64,
    flows: u64,
    incidents: u64,
    alive: Option<Instant>,
    said: Option<Instant>,
}

impl Heart {
    pub(super) fn new(notify: Notify, pulse: Pulse, capture: &Capture) -> Self {
        Self {
            notify,
            pulse,
            interfaces: capture.all_interfaces().join(", "),
            is_ready: false,
            is_learning: false,
            learned: 1.0,
            flows: 0,
            incidents: 0,
            alive: None,
            said: None,
        }
    }

    /// Who is told.
    pub(super) fn notify(&self) -> Notify {
        self.notify.clone()
    }

    fn line(&self) -> String {
        let learning = if self.is_learning {
            format!("learning what is usual, {:.0} %; ", self.learned * 100.0)
        } else {
            String::new()
        };
        format!(
            "{learning}watching {}: {} ended, {} told",
            self.interfaces,
            several(self.flows as f64, "flow"),
            several(self.incidents as f64, "incident")
        )
    }

    fn has_model(&mut self) {
        if self.is_learning {
            self.is_learning = false;
            self.said = None;
            self.notify.patience(None);
        }
        self.pulse.learned(1.0);
    }
}

impl Listener for Heart {
    fn learning(&mut self, have: usize, want: usize) {
        if !self.is_learning {
            self.is_learning = true;
            self.notify.patience(Some(PATIENCE));
        }
        self.learned = (have as f64 / want.max(1) as f64).min(0.999);
        self.pulse.learned(self.learned);
    }

    fn learned(&mut self, _model: &Model) {
        self.has_model();
    }

    fn replaced(&mut self, _model: &Model) {
        self.has_model();
    }

    fn flow(
        &mut self,
        _record: &crate::flow::FlowRecord,
        _row: &crate::features::Row,
        _verdict: Option<&crate::score::Scored>,
    ) {
        self.flows += 1;
    }

    fn incident(&mut self, news: &News<'_>) {
        self.incidents += u64::from(news.stage == Stage::New);
    }

    fn epoch(&mut self) {
        self.pulse.beat();
        if !self.notify.is_heard() {
            return;
        }
        // Not before the loop has turned: until then nothing is known to work.
        if !self.is_ready {
            self.is_ready = true;
            self.notify.ready();
        }
        let now = Instant::now();
        let is_due = |last: Option<Instant>, every| last.is_none_or(|last| now - last >= every);
        if let Some(every) = self.notify.every()
            && is_due(self.alive, every)
        {
            self.alive = Some(now);
            self.notify.alive();
        }
        if is_due(self.said, STATUS) {
            self.said = Some(now);
            self.notify.status(&self.line());
        }
    }
}
