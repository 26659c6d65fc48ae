//! Models that a person puts in use while a sensor watches: `model use` in another terminal, or SIGHUP.

use std::{
    io::IsTerminal,
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::Duration,
};

use model::Model;

use super::{
    fault::{Fault, code},
    live::Notify,
};
use crate::{
    capture::Stop,
    metrics::{Id, Metrics},
    score::store::{self, Store, StoreError},
};

/// Time between two looks at which model of the store is in use.
const LOOK: Duration = Duration::from_secs(1);

/// Looks after the models for as long as the receiver lives, on a thread of its own: files are read and checked there,
/// and packets never wait for them.
pub(super) fn follow(
    store: Store,
    given: Option<PathBuf>,
    metrics: Metrics,
    notify: Notify,
    stop: Stop,
) -> Result<Receiver<Model>, Fault> {
    let failed = |error| Fault::new(code::FAILED, format!("cannot look after models: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    // One that is not taken yet is followed by another at most: what a person chose last is what counts.
    let (send, receive) = sync_channel(2);
    let mut follow = Follow {
        in_use: store.current().unwrap_or_default(),
        store,
        given,
        metrics,
        notify,
        send,
        stop,
        at_terminal: std::io::stdin().is_terminal(),
    };
    thread::Builder::new()
        .name("models".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let mut hangup = Hangup::new();
                while follow.look(&mut hangup).await {}
            });
        })
        .map_err(failed)?;
    Ok(receive)
}

struct Follow {
    store: Store,
    /// Name of the model that the store had in use at the last look.
    in_use: Option<String>,
    /// File that was given on the command line, as long as nothing was chosen since.
    given: Option<PathBuf>,
    metrics: Metrics,
    notify: Notify,
    send: SyncSender<Model>,
    stop: Stop,
    at_terminal: bool,
}

impl Follow {
    /// Waits for something to do and does it; whether to go on.
    async fn look(&mut self, hangup: &mut Hangup) -> bool {
        let asked = tokio::select! {
            () = hangup.wait() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        if asked && self.at_terminal && !std::io::stdin().is_terminal() {
            // The terminal is gone, which is what the signal was for at first.
            self.stop.stop();
            return false;
        }
        if !asked {
            return self.read(false);
        }
        self.notify.reloading();
        let goes_on = self.read(true);
        self.notify.ready();
        goes_on
    }

    /// Takes the model that is in use in the store, if it is another or a person asked for it; whether to go on.
    fn read(&mut self, asked: bool) -> bool {
        let current = match self.store.current() {
            Ok(current) => current,
            // The folder may come back.
            Err(_) if !asked => return true,
            Err(error) => return self.refuse(&error),
        };
        let changed = current.is_some() && current != self.in_use;
        if !asked && !changed {
            return true;
        }
        if changed {
            self.given = None;
            self.in_use = current;
        }
        let path = match &self.given {
            Some(path) => Ok(path.clone()),
            None => self.store.current_path(),
        };
        match path.and_then(|path| store::load(&path)) {
            Err(error) => self.refuse(&error),
            Ok(model) => match self.send.try_send(model) {
                Ok(()) => {
                    self.metrics.add(Id::ModelLoadsTotal, &["read"], 1.0);
                    true
                }
                // Two wait already: look again soon.
                Err(TrySendError::Full(_)) => {
                    self.in_use = None;
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            },
        }
    }

    /// Says why the model in use stays. An error, so that it is said also where notes are not.
    fn refuse(&self, error: &StoreError) -> bool {
        self.metrics.add(Id::ModelLoadsTotal, &["refused"], 1.0);
        eprintln!("warning: {error}; the model in use stays in use");
        true
    }
}

/// SIGHUP, where there is such a thing.
#[cfg(unix)]
pub(super) struct Hangup(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Hangup {
    pub(super) fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self(signal(SignalKind::hangup()).ok())
    }

    pub(super) async fn wait(&mut self) {
        match &mut self.0 {
            Some(hangup) => {
                hangup.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// SIGHUP, where there is no such thing.
#[cfg(not(unix))]
pub(super) struct Hangup;

#[cfg(not(unix))]
impl Hangup {
    pub(super) const fn new() -> Self {
        Self
    }

    pub(super) async fn wait(&mut self) {
        std::future::pending::<()>().await;
    }
}
