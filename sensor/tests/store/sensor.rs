//! A sensor in small: incidents, a budget, and the store's writer beside them.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use model::Model;
use sensor::{
    metrics::Metrics,
    score::{Budget, BudgetSettings, IncidentSettings, Incidents, MuteBoard, Scored},
    sink::{
        alert::{Alert, Stage},
        message::{EndedFlow, Message, Verdict},
        store::{Limits, Reader, Taking, Writer},
    },
};

use super::made::{SECOND, model, unusual};

/// A writer in its thread.
pub(crate) struct Keeping {
    pub(crate) send: Option<mpsc::Sender<Message>>,
    pub(crate) board: MuteBoard,
    thread: Option<thread::JoinHandle<()>>,
}

impl Keeping {
    pub(crate) fn start(path: &Path) -> Self {
        Self::within(path, Limits::default())
    }

    /// A writer within these bounds.
    pub(crate) fn within(path: &Path, limits: Limits) -> Self {
        let metrics = Metrics::new();
        let writer = Writer::open(path, limits, &metrics, |line| {
            eprintln!("{line}");
        })
        .expect("a store");
        let board = writer.board();
        let (send, inbox) = mpsc::channel();
        let mut receive = move |wait: Duration| match inbox.recv_timeout(wait) {
            Ok(message) => Taking::Message(message),
            Err(mpsc::RecvTimeoutError::Timeout) => Taking::Nothing,
            Err(mpsc::RecvTimeoutError::Disconnected) => Taking::Over,
        };
        let thread = thread::spawn(move || writer.run(&mut receive));
        Self {
            send: Some(send),
            board,
            thread: Some(thread),
        }
    }

    pub(crate) fn tell(&self, message: Message) {
        let send = self.send.as_ref().expect("not ended");
        send.send(message).expect("the writer lives");
    }

    /// Ends it, and waits until everything is written.
    pub(crate) fn end(&mut self) {
        self.send = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the writer ends well");
        }
    }
}

/// A sensor that is shown flows.
pub(crate) struct Sensor {
    model: Model,
    incidents: Incidents,
    pub(crate) budget: Budget,
    pub(crate) keeping: Keeping,
    flows: u64,
}

impl Sensor {
    pub(crate) fn start(path: &Path, budget: &BudgetSettings) -> Self {
        Self {
            model: model(),
            incidents: Incidents::new(IncidentSettings {
                explained: 0,
                ..IncidentSettings::default()
            }),
            budget: Budget::new(budget),
            keeping: Keeping::start(path),
            flows: 0,
        }
    }

    /// Shows unusual flows of this host; answers what is told: whether it is new, and of whom.
    pub(crate) fn see(&mut self, sources: &[u32], at: u64, p_value: f64) -> Vec<(bool, String)> {
        let mut ended = Vec::new();
        for source in sources {
            self.flows += 1;
            let mut scored: Scored = unusual(self.flows, *source, at, p_value);
            self.incidents.absorb(&mut scored, &self.model);
            ended.push(EndedFlow {
                record: scored.record.clone(),
                row: scored.row,
                verdict: Some(Verdict::from(&scored)),
                intel: Vec::new(),
            });
        }
        self.keeping.tell(Message::Flows(Arc::new(ended)));
        self.turn(at + 2 * SECOND)
    }

    /// Tells what there is to tell, as a watch does at the end of an epoch.
    pub(crate) fn turn(&mut self, now: u64) -> Vec<(bool, String)> {
        self.budget.mute(self.keeping.board.get());
        let mut told = Vec::new();
        for alert in self.budget.tell(now, &mut self.incidents) {
            let stage = if alert.again {
                Stage::Grown
            } else {
                Stage::New
            };
            let alert_out = Alert::of_flows(alert.incident, stage);
            told.push((!alert.again, alert_out.host.clone()));
            self.keeping.tell(Message::Alert(Arc::new(alert_out)));
        }
        for incident in self.budget.kept_quiet(&self.incidents) {
            let alert = Alert::of_flows(incident, Stage::Progress);
            self.keeping.tell(Message::Alert(Arc::new(alert)));
        }
        for incident in self.budget.newly_untold(&self.incidents) {
            let alert = Alert::of_flows(incident, Stage::Untold);
            self.keeping.tell(Message::Alert(Arc::new(alert)));
        }
        let moved: Vec<Alert> = self
            .incidents
            .moved()
            .into_iter()
            .map(|incident| Alert::of_flows(incident, Stage::Progress))
            .collect();
        for alert in moved {
            self.keeping.tell(Message::Alert(Arc::new(alert)));
        }
        told
    }
}

/// Waits until the store says so; the bound is against hanging only.
pub(crate) fn until<T>(path: &Path, mut found: impl FnMut(&Reader) -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Ok(reader) = Reader::open(path)
            && let Some(answer) = found(&reader)
        {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "nothing came");
        thread::park_timeout(Duration::from_millis(20));
    }
}
