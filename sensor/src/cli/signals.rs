//! Signals that ask for the end: the first lets what is under way come to its end, the second ends the process.

use std::{io, thread, time::Duration};

use tokio::runtime::{Builder, Runtime};

use super::{
    draft,
    fault::{Fault, code},
};
use crate::capture::Stop;

/// A handle that the first signal triggers, or the end of the time, so that a look in progress comes to its end; a
/// second signal ends the process.
pub(super) fn told_to_stop(duration: Option<Duration>) -> Result<Stop, Fault> {
    let failed =
        |error: io::Error| Fault::new(code::FAILED, format!("cannot wait for signals: {error}"));
    let (runtime, signals) = attentive().map_err(failed)?;
    let stop = Stop::default();
    let told = stop.clone();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(until_told(told, duration, signals)))
        .map_err(failed)?;
    Ok(stop)
}

/// A runtime for one thread, and the signals that it hears: from here on one is noticed, whenever the thread comes to look.
pub(super) fn attentive() -> io::Result<(Runtime, Signals)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    Ok((runtime, signals))
}

/// Asks the capture to end at the first signal or when the time is over; a second signal ends the process.
pub(super) async fn until_told(stop: Stop, duration: Option<Duration>, mut signals: Signals) {
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
    draft::discard_all();
    std::process::exit(code::INTERRUPTED.into());
}

/// Signals that ask for the end.
#[cfg(unix)]
pub(super) struct Signals([tokio::signal::unix::Signal; 2]);

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
pub(super) struct Signals;

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
