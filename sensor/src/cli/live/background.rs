//! What a live sensor has beside its packets: a thread for HTTP, signals and the end of the time.

use std::{io, net::TcpListener, thread, time::Duration};

use tokio::sync::oneshot;

use crate::{
    capture::Stop,
    cli::{
        fault::{Fault, code},
        signals::{attentive, until_told},
    },
    metrics::{self, Metrics, Pulse},
};

/// The thread for everything that is not packets: HTTP, signals, the end of the time.
pub(super) struct Background {
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Background {
    pub(super) fn start(
        listener: Option<TcpListener>,
        metrics: Metrics,
        pulse: Pulse,
        stop: Stop,
        duration: Option<Duration>,
    ) -> Result<Self, Fault> {
        let failed =
            |error: io::Error| Fault::new(code::FAILED, format!("cannot begin to serve: {error}"));
        let (runtime, signals) = attentive().map_err(failed)?;
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    if let Some(listener) = listener
                        && let Ok(listener) = tokio::net::TcpListener::from_std(listener)
                    {
                        tokio::spawn(async move {
                            if let Err(error) =
                                axum::serve(listener, metrics::router(metrics, &pulse)).await
                            {
                                log::error!("metrics: {error}");
                            }
                        });
                    }
                    tokio::spawn(until_told(stop, duration, signals));
                    // An error means that the sender is gone: the end too.
                    let _ = ended.await;
                });
            })
            .map_err(failed)?;
        Ok(Self { end, thread })
    }

    pub(super) fn end(self) {
        // The thread is gone already: nothing to end.
        let _ = self.end.send(());
        let _ = self.thread.join();
    }
}
