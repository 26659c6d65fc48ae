//! What a live sensor has beside its packets: a thread for HTTP, signals and the end of the time.

use std::{io, net::TcpListener, thread, time::Duration};

use tokio::sync::oneshot;

use crate::{
    capture::Stop,
    cli::fault::{Fault, code},
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        // From here on a signal is noticed, whenever the thread comes to look.
        let signals = {
            let _entered = runtime.enter();
            Signals::new().map_err(failed)?
        };
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

/// A handle that the first signal triggers, or the end of the time, so that a look in progress comes to its end; a
/// second signal ends the process.
pub(in crate::cli) fn told_to_stop(duration: Option<Duration>) -> Result<Stop, Fault> {
    let failed =
        |error: io::Error| Fault::new(code::FAILED, format!("cannot wait for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let signals = {
        let _entered = runtime.enter();
        Signals::new().map_err(failed)?
    };
    let stop = Stop::default();
    let told = stop.clone();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(until_told(told, duration, signals)))
        .map_err(failed)?;
    Ok(stop)
}

/// Asks the capture to end at the first signal or when the time is over; a second signal ends the process.
async fn until_told(stop: Stop, duration: Option<Duration>, mut signals: Signals) {
    let over = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        () = signals.next() => {}
    }
    stop.stop();
    signals.next().await;
    crate::cli::draft::discard_all();
    std::process::exit(code::INTERRUPTED.into());
}

/// Signals that ask for the end.
#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl Signals {
    /// Inside of a runtime. From then on these signals do nothing by themselves.
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Asks for the end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
