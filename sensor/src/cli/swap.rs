//! What a person changes while a sensor watches: the configuration (SIGHUP), and the model (`model use` in another terminal,
//! or SIGHUP).

use std::{
    io::IsTerminal,
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use model::Model;
use tokio::sync::oneshot;

use super::{
    fault::{Fault, code},
    live::{Notify, Reload},
};
use crate::{
    capture::Stop,
    metrics::{Id, Metrics},
    score::store::{self, Store, StoreError},
};

/// Time between two looks at which model of the store is in use.
const LOOK: Duration = Duration::from_secs(1);

/// Where models come from.
pub(super) struct Models {
    /// The store, and nothing where no folder is kept.
    pub(super) store: Option<Store>,
    /// File that was given on the command line.
    pub(super) given: Option<PathBuf>,
}

/// The thread that looks after changes.
pub(super) struct Following {
    end: oneshot::Sender<()>,
    thread: JoinHandle<Reload>,
}

impl Following {
    /// Ends it; what it held comes back.
    pub(super) fn end(self) -> Option<Reload> {
        drop(self.end);
        let reload = self.thread.join();
        if reload.is_err() {
            log::error!("the thread that looks after changes panicked");
        }
        reload.ok()
    }
}

/// Looks after what a person changes, on a thread of its own: files are read and checked there, and packets never wait for
/// them. Models come from the receiver.
pub(super) fn follow(
    models: Models,
    reload: Reload,
    metrics: Metrics,
    notify: Notify,
    stop: Stop,
) -> Result<(Receiver<Model>, Following), Fault> {
    let failed = |error| Fault::new(code::FAILED, format!("cannot look after changes: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    // One that is not taken yet is followed by another at most: what a person chose last is what counts.
    let (send, receive) = sync_channel(2);
    let (end, mut ended) = oneshot::channel();
    let in_use = models.store.as_ref().map(Store::current);
    let mut follow = Follow {
        in_use: in_use.and_then(Result::ok).flatten(),
        models,
        reload,
        metrics,
        notify,
        send,
        stop,
        at_terminal: std::io::stdin().is_terminal(),
    };
    let thread = thread::Builder::new()
        .name("changes".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let mut hangup = Hangup::new();
                while follow.look(&mut hangup, &mut ended).await {}
            });
            follow.reload
        })
        .map_err(failed)?;
    Ok((receive, Following { end, thread }))
}

struct Follow {
    models: Models,
    /// Name of the model that the store had in use at the last look.
    in_use: Option<String>,
    reload: Reload,
    metrics: Metrics,
    notify: Notify,
    send: SyncSender<Model>,
    stop: Stop,
    at_terminal: bool,
}

impl Follow {
    /// Waits for something to do and does it; whether to go on.
    async fn look(&mut self, hangup: &mut Hangup, ended: &mut oneshot::Receiver<()>) -> bool {
        let asked = tokio::select! {
            _ = ended => return false,
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
        self.reload.read();
        let goes_on = self.read(true);
        self.notify.ready();
        goes_on
    }

    /// Takes the model that is in use in the store, if it is another or a person asked for it; whether to go on.
    fn read(&mut self, asked: bool) -> bool {
        let current = match self.models.store.as_ref().map(Store::current) {
            Some(Ok(current)) => current,
            // The folder may come back.
            Some(Err(_)) if !asked => return true,
            Some(Err(error)) => return self.refuse(&error),
            None => None,
        };
        let changed = current.is_some() && current != self.in_use;
        if changed {
            self.models.given = None;
            self.in_use = current;
        }
        let path = match (&self.models.given, &self.models.store) {
            _ if !asked && !changed => return true,
            (Some(path), _) => Ok(path.clone()),
            // What is being learned now is in use nowhere: there is nothing to be read again.
            (None, Some(_)) if self.in_use.is_none() => return true,
            (None, Some(store)) => store.current_path(),
            (None, None) => return true,
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
