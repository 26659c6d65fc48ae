//! News as server-sent events: incidents when they happen, the pulse of a live sensor each second, and that the store changed.

use std::{path::Path, sync::Arc, time::Duration};

use axum::response::sse::{Event, KeepAlive, Sse};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::Shared;
use crate::{
    metrics::{Id, METRICS, Metrics},
    sink::alert::Alert,
};

/// News that wait for a slow reader; beyond that it is told that it missed some, and asks for all.
const WAITING: usize = 256;
/// Between two looks at the counters.
const BEAT: Duration = Duration::from_secs(1);
/// Between two signs of life.
const ALIVE: Duration = Duration::from_secs(15);

/// Where news of a live sensor come from. Cheap to clone; telling never waits for a reader.
#[derive(Clone, Debug)]
pub struct Feed {
    news: broadcast::Sender<Arc<str>>,
    metrics: Metrics,
}

/// What a live sensor counts, at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulse(pub Value);

impl Feed {
    /// Of a sensor that counts there.
    pub fn new(metrics: Metrics) -> Self {
        Self {
            news: broadcast::channel(WAITING).0,
            metrics,
        }
    }

    /// Tells all who listen of an incident.
    pub fn tell(&self, alert: &Alert) {
        if self.news.receiver_count() == 0 {
            return;
        }
        let told = json!({
            "id": alert.id,
            "stage": alert.stage,
            "kind": alert.kind,
            "severity": alert.severity.name(),
            "host": alert.host,
            "sentence": alert.sentence,
            "last_ns": alert.last_ns,
        });
        // Nobody listens any more: nobody misses it.
        let _ = self.news.send(told.to_string().into());
    }

    /// Totals since the start; the page makes rates of them.
    pub fn pulse(&self) -> Pulse {
        let of = |id| self.metrics.value(id, &[]);
        let declared = &METRICS[Id::PacketsTotal as usize].labels[0];
        let verdicts: serde_json::Map<String, Value> = declared
            .values
            .iter()
            .map(|verdict| {
                (
                    (*verdict).to_owned(),
                    json!(self.metrics.value(Id::PacketsTotal, &[verdict])),
                )
            })
            .collect();
        Pulse(json!({
            "time_s": crate::time::now() as f64 / 1e9,
            "packets": of(Id::PacketsSeenTotal),
            "flows": of(Id::FlowsBegunTotal),
            "scored": of(Id::FlowsScoredTotal),
            "live_flows": of(Id::FlowTableFlows),
            "capacity": of(Id::FlowTableCapacity),
            "unaccounted": of(Id::UnaccountedPacketsTotal),
            "learning": of(Id::LearningRatio),
            "threshold": of(Id::ModelThreshold),
            "latency_s": self.metrics.value(Id::LatencySeconds, &["0.99"]),
            "cpu_s": of(Id::ProcessCpuSecondsTotal),
            "memory_bytes": of(Id::ProcessResidentMemoryBytes),
            "ledger": verdicts,
        }))
    }
}

/// Changes whenever somebody wrote into the store.
fn print(store: &Path) -> Vec<Option<(u64, std::time::SystemTime)>> {
    let mut log = store.as_os_str().to_owned();
    log.push("-wal");
    [store, Path::new(&log)]
        .into_iter()
        .map(|path| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.len(), meta.modified().ok()?))
        })
        .collect()
}

type Stream = Sse<
    axum::response::sse::KeepAliveStream<ReceiverStream<Result<Event, std::convert::Infallible>>>,
>;

/// A reader's stream; nothing where there are too many already.
pub(super) fn stream(state: &Shared, readers: &Arc<Semaphore>) -> Option<Stream> {
    let permit = Arc::clone(readers).try_acquire_owned().ok()?;
    let (tell, told) = mpsc::channel(16);
    tokio::spawn(attend(Arc::clone(state), tell, permit));
    let alive = KeepAlive::new().interval(ALIVE);
    Some(Sse::new(ReceiverStream::new(told)).keep_alive(alive))
}

async fn attend(
    state: Shared,
    tell: mpsc::Sender<Result<Event, std::convert::Infallible>>,
    _permit: OwnedSemaphorePermit,
) {
    let mut news = state.feed.as_ref().map(|feed| feed.news.subscribe());
    let mut beat = tokio::time::interval(BEAT);
    let mut seen = print(state.pool.path());
    // At once, so that the page knows that it is heard: a store that nobody writes to has nothing else to say.
    let hello = Event::default().event("hello").data("{}");
    if tell.send(Ok(hello)).await.is_err() {
        return;
    }
    loop {
        let event = tokio::select! {
            () = tell.closed() => return,
            _ = beat.tick() => {
                let now = print(state.pool.path());
                let changed = std::mem::replace(&mut seen, now) != seen;
                match &state.feed {
                    Some(feed) => Event::default().event("pulse").data(feed.pulse().0.to_string()),
                    None if changed => Event::default().event("changed").data("{}"),
                    None => continue,
                }
            }
            told = next(&mut news) => match told {
                Some(told) => Event::default().event("incident").data(&*told),
                None => Event::default().event("changed").data("{}"),
            },
        };
        if tell.send(Ok(event)).await.is_err() {
            return;
        }
    }
}

/// The next incident; nothing where some were missed.
async fn next(news: &mut Option<broadcast::Receiver<Arc<str>>>) -> Option<Arc<str>> {
    let Some(receiver) = news else {
        return std::future::pending().await;
    };
    match receiver.recv().await {
        Ok(told) => Some(told),
        Err(broadcast::error::RecvError::Lagged(_)) => None,
        Err(broadcast::error::RecvError::Closed) => {
            *news = None;
            None
        }
    }
}
