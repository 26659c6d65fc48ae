//! What `live` is asked for: flags, configuration and model, checked before anything of the machine is touched.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use model::Model;

use super::writers;
use crate::{
    cli::{
        args::Live,
        fault::{Fault, code},
        setup::{Flags, Setup, is_stdout},
    },
    config::{self, CaptureMode, FragmentsBy},
    learn,
    pipeline::{Learning, Retraining},
    score::store::{self, Store},
    time,
};

/// What is wanted; it can be had, as far as that can be told beforehand.
pub(super) struct Asked {
    pub(super) setup: Setup,
    /// The flags in it, for when the configuration is read again.
    pub(super) flags: Flags,
    /// After which to stop.
    pub(super) duration: Option<Duration>,
    /// Flows are printed, and no file is written.
    pub(super) to_stdout: bool,
    /// Where models are kept.
    pub(super) store: Store,
    /// File of the model that was named.
    pub(super) named: Option<PathBuf>,
    /// That model, or the one of an earlier watch.
    pub(super) model: Option<Model>,
    /// What is remembered of ordinary traffic from one watch to the next.
    memory: Option<PathBuf>,
}

impl Asked {
    pub(super) fn new(args: &Live) -> Result<Self, Fault> {
        let to_stdout = args.output.as_deref().is_some_and(is_stdout);
        let flags = flags(args, to_stdout);
        let setup = Setup::new(&args.common, &flags)?;
        let duration = args
            .duration
            .as_deref()
            .map(time::parse_duration)
            .transpose()
            .map_err(|what| Fault::new(code::USAGE, format!("--duration: {what}")))?;
        check(&setup.config.capture)?;
        if to_stdout && writers::take_stdout(&setup.config) {
            return Err(Fault::new(
                code::USAGE,
                "standard output takes flows (--output -) or events (eve.stdout, ecs.stdout), not both: give one of them a file",
            ));
        }
        let named = match &args.model.name {
            Some(wanted) => Some(setup.model_path(Some(wanted))?),
            None => None,
        };
        let store = setup.store();
        let memory = (!to_stdout).then(|| store.folder().join("memory.bin"));
        let model = match &named {
            Some(path) => Some(store::load(path)?),
            None if args.anew => None,
            None => memory
                .as_deref()
                .filter(|memory| memory.exists())
                .and_then(|_| of_an_earlier_watch(&setup, &store)),
        };
        Ok(Self {
            setup,
            flags,
            duration,
            to_stdout,
            store,
            named,
            model,
            memory,
        })
    }

    /// Where results are kept, if anywhere.
    pub(super) fn folder(&self) -> Option<&Path> {
        (!self.to_stdout).then(|| self.setup.folder())
    }

    /// Whether alerts keep their packets.
    pub(super) fn keeps_evidence(&self) -> bool {
        !self.to_stdout && self.setup.config.evidence.alerts > 0
    }

    /// How to learn, and how to go on learning.
    pub(super) fn learning(&self) -> Learning {
        let live = &self.setup.config.live;
        Learning {
            training: self.setup.training(),
            flows: live.learn_flows,
            time: live.learn_time,
            retrain: live.retrain_every.map(|every| self.retraining(every)),
        }
    }

    fn retraining(&self, every: Duration) -> Retraining {
        let settings = learn::Settings {
            model: model::Settings {
                // Beside the packets, which come first.
                threads: 1,
                ..self.setup.training().model
            },
            every_ns: u64::try_from(every.as_nanos()).unwrap_or(u64::MAX),
            moved: self.setup.config.live.retrain_drift,
            ..learn::Settings::default()
        };
        Retraining {
            settings,
            memory: self.memory.clone(),
        }
    }

    /// Keeps a learned baseline. That it cannot be kept is no reason to stop watching.
    pub(super) fn keep(&self, model: &Model) {
        if self.to_stdout {
            return;
        }
        match self.store.add(model) {
            Ok(name) => self
                .setup
                .note(&format!("kept as {}", self.store.path(&name).display())),
            Err(error) => self.setup.note(&format!(
                "warning: the model is in use but not kept: {error}"
            )),
        }
    }
}

fn flags(args: &Live, to_stdout: bool) -> Flags {
    let folder = args.output.as_ref().filter(|_| !to_stdout);
    let list = |names: &[String]| (!names.is_empty()).then(|| names.join(","));
    Flags::default()
        .timeouts(&args.timeouts)
        .training(&args.training)
        .add(
            "live.retrain_every",
            args.retrain_every.as_ref(),
            "--retrain-every",
        )
        .alerts(&args.alerts)
        .format(args.format)
        .add("capture.interfaces", list(&args.interfaces), "--iface")
        .add("capture.taps", list(&args.taps), "--tap")
        .add(
            "capture.mode",
            args.capture.as_ref().and_then(name),
            "--capture",
        )
        .add(
            "capture.count",
            args.count.as_ref().and_then(name),
            "--count",
        )
        .add(
            "output.folder",
            folder.map(|path| path.display().to_string()),
            "--output",
        )
}

/// A value as it is written on the command line and in a configuration.
fn name(value: &impl ValueEnum) -> Option<String> {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
}

/// What a way of capturing cannot do.
fn check(wanted: &config::Capture) -> Result<(), Fault> {
    let usage = |what: &str| Err(Fault::new(code::USAGE, what));
    if wanted.all_interfaces().is_empty() {
        return usage(
            "no interface to watch: name one with --iface or by capture.interfaces in the configuration (see `anomaly-detect doctor`)",
        );
    }
    if wanted.mode == CaptureMode::AfXdp && wanted.taps.is_empty() {
        return usage(
            "AF_XDP takes packets away from the stack, so it is for mirror ports only: name one with --tap",
        );
    }
    if wanted.mode == CaptureMode::Xdp && wanted.fragments == FragmentsBy::Follow {
        return usage(
            "capture.fragments = follow: programs in the kernel count later fragments by address pair; leave it at pair, or capture with --capture libpcap, or a mirror port (--tap) with AF_XDP",
        );
    }
    Ok(())
}

/// The model in use when the last watch in this folder ended, if it can be used.
fn of_an_earlier_watch(setup: &Setup, store: &Store) -> Option<Model> {
    let path = store.current_path().ok()?;
    match store::load(&path) {
        Ok(model) => {
            setup.note(&format!(
                "going on with {} (--anew learns from the beginning)",
                path.display()
            ));
            Some(model)
        }
        Err(error) => {
            setup.note(&format!("warning: {error}"));
            None
        }
    }
}
