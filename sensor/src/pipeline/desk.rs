//! Where what a sensor finds is handed to those who carry it out of the house: the store, the dashboard, every sink. Each has
//! an inbox of its own; who does not empty it loses messages, which is counted, and holds up nobody.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crossbeam::channel::{
    Receiver, RecvTimeoutError, Sender, TrySendError, bounded, never, select_biased,
};

use super::{Listener, News};
use crate::{
    features::Row,
    flow::FlowRecord,
    intel::{Keeper, Lists},
    metrics::{Id, Metrics},
    score::{MuteBoard, Scored},
    sink::{
        alert::{Alert, Source, Stage},
        message::{EndedFlow, Message, Verdict, Wants},
        outlet::Queue,
    },
};

/// Alerts that wait for one subscriber, at most.
const ALERTS: usize = 4096;
/// Flows in one message, at most: about a megabyte.
const FLOWS_AT_ONCE: usize = 1024;
/// Messages of flows that wait for one subscriber, at most; all subscribers share what they hold.
const FLOW_MESSAGES: usize = 64;

/// What a subscriber is told. Alerts have a queue of their own: a flood of flows takes no place from them.
#[derive(Debug)]
pub struct Inbox {
    alerts: Receiver<Message>,
    flows: Receiver<Message>,
}

impl Inbox {
    /// The next message, alerts first.
    ///
    /// # Errors
    /// Nothing came in this time, or nothing can come any more.
    pub fn receive(&self, timeout: Duration) -> Result<Message, RecvTimeoutError> {
        let mut open = [true, true];
        let (closed_alerts, closed_flows) = (never(), never());
        loop {
            let alerts = if open[0] {
                &self.alerts
            } else {
                &closed_alerts
            };
            let flows = if open[1] { &self.flows } else { &closed_flows };
            let (from, message) = select_biased! {
                recv(alerts) -> message => (0, message),
                recv(flows) -> message => (1, message),
                default(timeout) => return Err(RecvTimeoutError::Timeout),
            };
            match message {
                Ok(message) => return Ok(message),
                Err(_) => open[from] = false,
            }
            if open == [false, false] {
                return Err(RecvTimeoutError::Disconnected);
            }
        }
    }
}

impl Queue for Inbox {
    fn receive(&self, timeout: Duration) -> Result<Message, RecvTimeoutError> {
        Self::receive(self, timeout)
    }
}

#[derive(Clone, Debug)]
struct Subscriber {
    name: &'static str,
    wants: Wants,
    alerts: Sender<Message>,
    flows: Sender<Message>,
}

/// Those who want to be told, before anything is.
#[derive(Debug, Default)]
pub struct Subscriptions(Vec<Subscriber>, MuteBoard);

/// One more who wants to be told.
fn subscriber(name: &'static str, wants: Wants) -> (Subscriber, Inbox) {
    let (alerts, alert_inbox) = bounded(ALERTS);
    let (flows, flow_inbox) = bounded(FLOW_MESSAGES);
    let subscriber = Subscriber {
        name,
        wants,
        alerts,
        flows,
    };
    let inbox = Inbox {
        alerts: alert_inbox,
        flows: flow_inbox,
    };
    (subscriber, inbox)
}

impl Subscriptions {
    /// One more; `name` is one of the sinks that [`crate::metrics`] declares.
    pub fn subscribe(&mut self, name: &'static str, wants: Wants) -> Inbox {
        let (subscriber, inbox) = subscriber(name, wants);
        self.0.push(subscriber);
        inbox
    }

    /// What nobody is to be told of, as it changes: applied to incidents of logs and of the machine; a watch does that itself
    /// before it spends its budget.
    pub fn muting(&mut self, mutes: MuteBoard) {
        self.1 = mutes;
    }

    /// No more of them.
    pub fn close(self, metrics: &Metrics) -> Post {
        Post {
            mutes: self.1,
            subscribers: Arc::new(RwLock::new(self.0.into())),
            metrics: metrics.clone(),
        }
    }
}

/// Hands messages to all who want them. Cheap to clone; inboxes end when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Post {
    mutes: MuteBoard,
    /// Read for each epoch and each alert, and written when somebody changes the configuration.
    subscribers: Arc<RwLock<Arc<[Subscriber]>>>,
    metrics: Metrics,
}

impl Post {
    /// Whether anybody wants flows.
    pub fn wants_flows(&self) -> bool {
        self.subscribers().iter().any(|one| one.wants.flows)
    }

    fn subscribers(&self) -> Arc<[Subscriber]> {
        let subscribers = self.subscribers.read();
        Arc::clone(&subscribers.unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in the place of those whose name `leaves`, between two messages: none of them misses one, and none has one
    /// twice. The inboxes of those who left end.
    pub fn replace(
        &self,
        leaves: impl Fn(&str) -> bool,
        joining: impl IntoIterator<Item = (&'static str, Wants)>,
    ) -> Vec<Inbox> {
        let joining = joining.into_iter();
        let (joining, inboxes): (Vec<_>, Vec<_>) =
            joining.map(|(name, wants)| subscriber(name, wants)).unzip();
        let mut subscribers = self.subscribers.write();
        let subscribers = subscribers
            .as_mut()
            .map_or_else(|poisoned| &mut **poisoned.get_mut(), |held| &mut **held);
        let stay = subscribers.iter().filter(|one| !leaves(one.name));
        *subscribers = stay.cloned().chain(joining).collect();
        inboxes
    }

    /// Hands over without waiting. What finds no room is counted.
    pub fn offer(&self, message: &Message) {
        let quieter = self.quieter(message);
        let message = quieter.as_ref().unwrap_or(message);
        if let Message::Alert(alert) = message
            && alert.stage.is_telling()
        {
            let labels = [alert.kind.as_str(), alert.severity.name()];
            self.metrics.add(Id::AlertsToldTotal, &labels, 1.0);
        }
        let amount = match message {
            Message::Alert(_) => 1.0,
            Message::Flows(flows) => flows.len() as f64,
        };
        for one in self
            .subscribers()
            .iter()
            .filter(|one| one.wants.wants(message))
        {
            let inbox = match message {
                Message::Alert(_) => &one.alerts,
                Message::Flows(_) => &one.flows,
            };
            let state = match inbox.try_send(message.clone()) {
                Ok(()) => "taken",
                Err(TrySendError::Full(_)) => "no_room",
                Err(TrySendError::Disconnected(_)) => "gone",
            };
            self.metrics
                .add(Id::SinkMessagesTotal, &[one.name, state], amount);
        }
    }
}

impl Post {
    /// What is told of an incident that is muted, or that somebody deals with: only its numbers, for those who keep lists.
    fn quieter(&self, message: &Message) -> Option<Message> {
        let Message::Alert(alert) = message else {
            return None;
        };
        if alert.source == Source::Flows || !alert.stage.is_telling() {
            return None;
        }
        let mutes = self.mutes.get();
        let is_quiet = mutes.of(&alert.host, &alert.kind, alert.last_ns).is_some()
            || mutes.is_handled(&alert.id, alert.severity);
        is_quiet.then(|| {
            Message::Alert(Arc::new(Alert {
                stage: Stage::Progress,
                ..Alert::clone(alert)
            }))
        })
    }
}

/// Turns what a watch tells into messages.
#[derive(Debug)]
pub struct Desk {
    post: Post,
    wants_flows: bool,
    flows: Vec<EndedFlow>,
    intel: Option<Arc<Keeper>>,
    /// What they said at the beginning of the epoch.
    lists: Arc<Lists>,
}

impl Desk {
    /// Nothing told yet.
    pub fn new(post: Post) -> Self {
        Self {
            wants_flows: post.wants_flows(),
            post,
            flows: Vec::new(),
            intel: None,
            lists: Arc::default(),
        }
    }

    /// Says beside each flow and each incident what threat lists say of its hosts.
    #[must_use]
    pub fn asking(mut self, intel: Arc<Keeper>) -> Self {
        self.lists = intel.current();
        self.intel = Some(intel);
        self
    }

    fn hand_over(&mut self) {
        if !self.flows.is_empty() {
            let flows = std::mem::take(&mut self.flows);
            self.post.offer(&Message::Flows(Arc::new(flows)));
        }
    }
}

impl Listener for Desk {
    fn flow(&mut self, record: &FlowRecord, row: &Row, verdict: Option<&Scored>) {
        if !self.wants_flows {
            return;
        }
        let intel = if self.lists.is_empty() {
            Vec::new()
        } else {
            self.lists.of_flow([record.source(), record.destination()])
        };
        for (at, found) in intel.iter().enumerate() {
            // A list that holds both sides, or one of them twice, met one flow.
            if !intel[..at].iter().any(|before| before.list == found.list) {
                let metrics = &self.post.metrics;
                metrics.add(Id::IntelFlowsTotal, &[&found.list], 1.0);
            }
        }
        self.flows.push(EndedFlow {
            record: record.clone(),
            row: *row,
            verdict: verdict.map(Verdict::from),
            intel,
        });
        if self.flows.len() >= FLOWS_AT_ONCE {
            self.hand_over();
        }
    }

    fn incident(&mut self, news: &News<'_>) {
        let mut alert = Alert::of_flows(news.incident, news.stage);
        let digest = news.model.digest();
        alert.model = digest.get(..16).unwrap_or(&digest).to_owned();
        alert.coverage = news.coverage;
        alert.bundle = news.has_bundle.then(|| alert.id.clone());
        if !self.lists.is_empty() {
            alert.enrich(&self.lists);
            if news.stage == Stage::New {
                for found in &alert.intel {
                    let metrics = &self.post.metrics;
                    metrics.add(Id::IntelMatchesTotal, &[&found.list], 1.0);
                }
            }
        }
        if news.stage.is_telling() {
            // What it is about is there before it is told: a reader of the alert finds its flows.
            self.hand_over();
        }
        self.post.offer(&Message::Alert(Arc::new(alert)));
    }

    fn epoch(&mut self) {
        self.hand_over();
        self.wants_flows = self.post.wants_flows();
        if let Some(intel) = &self.intel {
            self.lists = intel.current();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flows(ids: std::ops::Range<u64>) -> Message {
        Message::Flows(Arc::new(ids.map(EndedFlow::empty).collect()))
    }

    #[test]
    fn who_takes_over_misses_nothing() {
        let mut subscriptions = Subscriptions::default();
        let before = subscriptions.subscribe("eve", Wants::ALL);
        let other = subscriptions.subscribe("store", Wants::ALL);
        let post = subscriptions.close(&Metrics::new());
        let teller = post.clone();
        post.offer(&flows(0..1));
        let mut after = post.replace(|name| name == "eve", [("eve", Wants::FLOWS)]);
        let after = after.pop().expect("an inbox");
        teller.offer(&flows(1..2));
        let ids = |inbox: &Inbox| {
            let mut ids = Vec::new();
            while let Ok(Message::Flows(flows)) = inbox.receive(Duration::ZERO) {
                ids.extend(flows.iter().map(|flow| flow.record.id));
            }
            ids
        };
        assert_eq!(
            (ids(&before), ids(&after), ids(&other)),
            (vec![0], vec![1], vec![0, 1])
        );
        assert_eq!(
            before.receive(Duration::from_secs(5)).unwrap_err(),
            RecvTimeoutError::Disconnected,
            "nothing more comes to who was replaced"
        );
        post.replace(|name| name == "eve", []);
        assert!(post.wants_flows(), "the store still does");
    }

    #[test]
    fn who_does_not_listen_holds_up_nobody() {
        let metrics = Metrics::new();
        let mut subscriptions = Subscriptions::default();
        let idle = subscriptions.subscribe("eve", Wants::ALL);
        let busy = subscriptions.subscribe("store", Wants::FLOWS);
        let post = subscriptions.close(&metrics);
        let mut had = 0;
        for at in 0..2 * FLOW_MESSAGES as u64 {
            post.offer(&flows(at * 10..at * 10 + 10));
            if let Ok(Message::Flows(flows)) = busy.receive(Duration::ZERO) {
                had += flows.len();
            }
        }
        assert_eq!(had, 20 * FLOW_MESSAGES);
        let text = metrics.text();
        let lost = 10 * FLOW_MESSAGES;
        let line = |state: &str| format!("{{sink=\"eve\",state=\"{state}\"}} {lost}\n");
        assert!(text.contains(&line("no_room")) && text.contains(&line("taken")));
        drop(post);
        let mut left = 0;
        while let Ok(Message::Flows(flows)) = idle.receive(Duration::ZERO) {
            left += flows.len();
        }
        assert_eq!(left, lost);
        assert_eq!(
            idle.receive(Duration::from_secs(5)).unwrap_err(),
            RecvTimeoutError::Disconnected
        );
    }
}
