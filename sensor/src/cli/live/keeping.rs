//! The store's thread beside a watch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam::channel::RecvTimeoutError;

use super::super::{
    fault::{Fault, code},
    setup::Setup,
};
use crate::{
    metrics::Metrics,
    pipeline::{Inbox, Subscriptions},
    score::MuteBoard,
    sink::{
        message::Wants,
        store::{Facts, RuleBook, Taking, Writer},
    },
};

/// The store while a watch goes on.
pub(super) struct Keeping {
    /// What nobody is to be told of, as it changes.
    pub(super) mutes: MuteBoard,
    /// Where facts are taken.
    pub(super) facts: Facts,
    /// Where other bounds and windows are left.
    pub(super) rules: RuleBook,
    ending: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Keeping {
    /// Opens the store, if there is to be one, and begins to write what comes.
    pub(super) fn start(
        setup: &Setup,
        to_stdout: bool,
        subscriptions: &mut Subscriptions,
        metrics: &Metrics,
    ) -> Result<Option<Self>, Fault> {
        if to_stdout || !setup.config.store.enabled {
            return Ok(None);
        }
        let inbox = subscriptions.subscribe("store", Wants::ALL);
        let keeping = Self::begin(setup, inbox, metrics)?;
        subscriptions.muting(keeping.mutes.clone());
        let interfaces = setup.config.capture.all_interfaces();
        keeping.facts.put("inputs", serde_json::json!(interfaces));
        Ok(Some(keeping))
    }

    fn begin(setup: &Setup, inbox: Inbox, metrics: &Metrics) -> Result<Self, Fault> {
        let quiet = setup.quiet;
        let say = move |line: &str| {
            if !quiet {
                eprintln!("{}", crate::sink::escape::terminal(line));
            }
        };
        let path = setup.store_path();
        if let Some(folder) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            super::super::setup::make_folder(folder)?;
        }
        let writer = Writer::open(&path, setup.store_limits(), metrics, say)?
            .keeping(setup.store_share())
            .with_windows(setup.config.alerts.maintenance.clone());
        let (mutes, facts, rules) = (writer.board(), writer.facts(), writer.rules());
        let ending = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ending);
        let mut receive = move |wait: Duration| match inbox.receive(wait) {
            Ok(message) => Taking::Message(message),
            // Whoever might still send has nothing more to say.
            Err(RecvTimeoutError::Timeout) if told.load(Ordering::Acquire) => Taking::Over,
            Err(RecvTimeoutError::Timeout) => Taking::Nothing,
            Err(RecvTimeoutError::Disconnected) => Taking::Over,
        };
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&mut receive))
            .map_err(|error| Fault::new(code::FAILED, format!("cannot begin to keep: {error}")))?;
        Ok(Self {
            mutes,
            facts,
            rules,
            ending,
            thread,
        })
    }

    /// Waits until everything is written that was told.
    pub(super) fn end(self) {
        self.ending.store(true, Ordering::Release);
        if self.thread.join().is_err() {
            log::error!("the store's thread panicked");
        }
    }
}
