//! `live`: watch interfaces until told to stop.

mod background;
mod beside;
mod exports;
mod heart;
mod keeping;
mod log;
#[cfg_attr(not(target_os = "linux"), path = "notify_other.rs")]
mod notify;
pub(super) mod outlets;
mod reload;
mod screen;
mod senders;
mod writers;

use std::{
    path::PathBuf,
    sync::{Arc, mpsc::channel},
};

use model::{Model, Published};

use self::{background::Background, heart::Heart, keeping::Keeping, reload::Parts, screen::Screen};
pub(super) use self::{background::told_to_stop, notify::Notify, reload::Reload};
use super::{
    args::Live,
    dashboard::Beside,
    fault::{Fault, code},
    setup::{Flags, Setup, make_folder},
    swap,
};
#[cfg(target_os = "linux")]
use super::{
    doctor::{Fixed, HeldSignals},
    privilege,
};
use crate::{
    config::{CaptureMode, FragmentsBy},
    learn,
    listen::listen,
    metrics::{Id, Metrics, Pulse},
    pipeline::{
        Both, Desk, Learning, Retraining, Source, Subscriptions, Watch, evidence::Recorder,
    },
    score::{
        MuteBoard,
        store::{self, Store},
    },
    sink::rollup::facts,
    time,
};

pub(super) fn run(args: &Live) -> Result<u8, Fault> {
    let to_stdout = args
        .output
        .as_deref()
        .is_some_and(|path| path.as_os_str() == "-");
    let folder = args.output.as_ref().filter(|_| !to_stdout);
    let interfaces = (!args.interfaces.is_empty()).then(|| args.interfaces.join(","));
    let taps = (!args.taps.is_empty()).then(|| args.taps.join(","));
    let mode = args.capture.and_then(|mode| {
        clap::ValueEnum::to_possible_value(&mode).map(|value| value.get_name().to_owned())
    });
    let count = args.count.and_then(|count| {
        clap::ValueEnum::to_possible_value(&count).map(|value| value.get_name().to_owned())
    });
    let flags = Flags::default()
        .timeouts(&args.timeouts)
        .training(&args.training)
        .add(
            "live.retrain_every",
            args.retrain_every.as_ref(),
            "--retrain-every",
        )
        .alerts(&args.alerts)
        .format(args.format)
        .add("capture.interfaces", interfaces, "--iface")
        .add("capture.taps", taps, "--tap")
        .add("capture.mode", mode, "--capture")
        .add("capture.count", count, "--count")
        .add(
            "output.folder",
            folder.map(|path| path.display().to_string()),
            "--output",
        );
    let setup = Setup::new(&args.common, &flags)?;
    let duration = args
        .duration
        .as_deref()
        .map(time::parse_duration)
        .transpose()
        .map_err(|what| Fault::new(code::USAGE, format!("--duration: {what}")))?;
    let wanted = &setup.config.capture;
    if wanted.all_interfaces().is_empty() {
        return Err(Fault::new(
            code::USAGE,
            "no interface to watch: name one with --iface or by capture.interfaces in the configuration (see `anomaly-detect doctor`)",
        ));
    }
    if wanted.mode == CaptureMode::AfXdp && wanted.taps.is_empty() {
        return Err(Fault::new(
            code::USAGE,
            "AF_XDP takes packets away from the stack, so it is for mirror ports only: name one with --tap",
        ));
    }
    if wanted.mode == CaptureMode::Xdp && wanted.fragments == FragmentsBy::Follow {
        return Err(Fault::new(
            code::USAGE,
            "capture.fragments = follow: programs in the kernel count later fragments by address pair; leave it at pair, or capture with --capture libpcap, or a mirror port (--tap) with AF_XDP",
        ));
    }
    let path = match &args.model {
        Some(wanted) => Some(setup.model_path(Some(wanted))?),
        None => None,
    };
    let store = setup.store();
    let memory = (!to_stdout).then(|| store.folder().join("memory.bin"));
    let given = match &path {
        Some(path) => Some(store::load(path)?),
        None if args.anew => None,
        None => memory
            .as_deref()
            .filter(|memory| memory.exists())
            .and_then(|_| go_on(&setup, &store)),
    };
    if to_stdout && writers::take_stdout(&setup.config) {
        return Err(Fault::new(
            code::USAGE,
            "standard output takes flows (--output -) or events (eve.stdout, ecs.stdout), not both: give one of them a file",
        ));
    }
    // While files of secrets can be read, and before anything else begins.
    let specs = outlets::configured(&setup)?;
    #[cfg(target_os = "linux")]
    privilege::raise();
    let metrics = Metrics::new();
    let listener = match setup.config.metrics.listen {
        Some(address) => Some(listen("metrics", address)?),
        None => None,
    };
    // Until signals are waited for, so that none ends this with an interface changed.
    #[cfg(target_os = "linux")]
    let held = args.fix.then(HeldSignals::hold).transpose()?;
    // Put back when this returns, whether it goes well or not.
    #[cfg(target_os = "linux")]
    let fixed = args.fix.then(|| {
        let (fixed, notes) = Fixed::apply(&setup.config.capture.all_interfaces());
        for note in notes {
            setup.note(&note);
        }
        fixed
    });
    let keeps = !to_stdout && setup.config.evidence.alerts > 0;
    let copies = keeps.then(|| setup.copies()).flatten();
    let mut source = Source::open(&setup.config.capture, copies)?;
    for note in &source.notes {
        setup.note(note);
    }
    // Said after what keeps a sensor from watching at all: without a dashboard it watches all the same.
    let dashboard = match to_stdout {
        true => None,
        false => Beside::open(&setup)?,
    };
    if !to_stdout {
        make_folder(setup.folder())?;
    }
    // Before any thread begins: what a thread is allowed is its own.
    #[cfg(target_os = "linux")]
    {
        let given_up = privilege::give_up(privilege::Needs {
            user: args.user.as_deref(),
            folder: (!to_stdout).then(|| setup.folder()),
            restores: fixed.as_ref().is_some_and(|fixed| !fixed.is_empty())
                || source
                    .interfaces
                    .iter()
                    .any(|seen| seen.egress == "tc_clsact"),
        })?;
        if let Some(note) = given_up {
            setup.note(&note);
        }
    }
    #[cfg(not(target_os = "linux"))]
    if args.user.is_some() {
        return Err(Fault::new(
            code::USAGE,
            "--user: becoming another user is of Linux only",
        ));
    }
    describe(&metrics, &source);
    if let Some(address) = setup.config.metrics.listen {
        setup.note(&format!("metrics at http://{address}/metrics"));
    }
    let in_use = given.as_ref().map(facts::model);
    let published = given.map(|model| {
        describe_model(&metrics, &model);
        Arc::new(Published::new(model))
    });
    let pulse = Pulse::default();
    let notify = Notify::from_environment();
    let (ending, told) = (pulse.clone(), notify.clone());
    source.stop_handle().on_stop(move || {
        ending.end();
        told.stopping();
    });
    let background = Background::start(
        listener,
        metrics.clone(),
        pulse.clone(),
        source.stop_handle(),
        duration,
    )?;
    #[cfg(target_os = "linux")]
    drop(held);
    let learning = Learning {
        training: setup.training(),
        flows: setup.config.live.learn_flows,
        time: setup.config.live.learn_time,
        retrain: retraining(&setup, memory),
    };
    if !to_stdout && learning.retrain.is_some() {
        // For what is remembered, also where the model came from elsewhere.
        make_folder(store.folder())?;
    }
    let mut screen = Screen::new(&setup, to_stdout, &metrics)?;
    let mut watch = Watch::new(&setup.stages(), published, &learning, &metrics);
    if keeps {
        watch = watch.recording(Recorder::new(setup.evidence(), &setup.stages()));
    }
    let mut subscriptions = Subscriptions::default();
    let outlets = outlets::start(&setup, specs, !to_stdout, &metrics, &mut subscriptions)?;
    let keeping = Keeping::start(&setup, to_stdout, &mut subscriptions, &metrics)?;
    let access = match dashboard {
        Some(dashboard) => Some(dashboard.serve(&setup, &metrics, &mut subscriptions)?),
        None => None,
    };
    let rules = match &keeping {
        Some(keeping) => {
            watch = watch.muting(keeping.mutes.clone());
            let model = in_use.unwrap_or(serde_json::Value::Null);
            keeping.facts.put("model", model);
            screen.facts = Some(keeping.facts.clone());
            Ok(keeping.rules.clone())
        }
        None => {
            let mutes = MuteBoard::default();
            mutes.set(setup.windows());
            subscriptions.muting(mutes.clone());
            watch = watch.muting(mutes.clone());
            Err(mutes)
        }
    };
    let mut heart = Heart::new(notify, pulse, &setup.config.capture);
    let post = subscriptions.close(&metrics);
    let resources = beside::resources(&setup, &post, &metrics, to_stdout)?;
    let intel = beside::intel(&setup, &metrics)?;
    let mut desk = Desk::new(post.clone()).asking(intel.keeper());
    let (adjust, adjustments) = channel();
    let reload = Reload::new(
        &args.common,
        flags,
        Setup::of(setup.layers.clone(), setup.quiet)?,
        Parts {
            to_stdout,
            metrics: metrics.clone(),
            watch: adjust,
            post,
            outlets,
            rules,
            access,
            resources,
            intel,
        },
    );
    let models = swap::Models {
        store: (!to_stdout).then(|| store.clone()),
        given: path,
    };
    let (models, following) = swap::follow(
        models,
        reload,
        metrics.clone(),
        heart.notify(),
        source.stop_handle(),
    )?;
    let watched = watch.heeding(models).adjusting(adjustments).run(
        &mut source,
        &mut |model| {
            keep(&setup, &store, &model, to_stdout);
            describe_model(&metrics, &model);
            Arc::new(Published::new(model))
        },
        &mut Both(&mut Both(&mut screen, &mut desk), &mut heart),
    );
    // Whoever listens sees the end of what there is to hear.
    drop(desk);
    if let Some(reload) = following.end() {
        outlets::stop(&setup, reload.into_outlets());
    }
    if let Some(keeping) = keeping {
        if let Ok(watched) = &watched {
            keeping.facts.put("ledger", facts::ledger(&watched.ledger));
        }
        keeping.end();
    }
    background.end();
    let watched = watched?;
    screen.finish(&watched)?;
    Ok(0)
}

/// The model of an earlier watch in this folder, if it can be used.
fn go_on(setup: &Setup, store: &Store) -> Option<Model> {
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

/// How to learn on, if at all.
fn retraining(setup: &Setup, memory: Option<PathBuf>) -> Option<Retraining> {
    let every = setup.config.live.retrain_every?;
    let settings = learn::Settings {
        model: model::Settings {
            // Beside the packets, which come first.
            threads: 1,
            ..setup.training().model
        },
        every_ns: u64::try_from(every.as_nanos()).unwrap_or(u64::MAX),
        moved: setup.config.live.retrain_drift,
        ..learn::Settings::default()
    };
    Some(Retraining { settings, memory })
}

/// Keeps a learned baseline. That it cannot be kept is no reason to stop watching.
fn keep(setup: &Setup, store: &Store, model: &Model, to_stdout: bool) {
    if to_stdout {
        return;
    }
    match store.add(model) {
        Ok(name) => setup.note(&format!("kept as {}", store.path(&name).display())),
        Err(error) => setup.note(&format!(
            "warning: the model is in use but not kept: {error}"
        )),
    }
}

fn describe(metrics: &Metrics, source: &Source) {
    metrics.set(Id::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1.0);
    metrics.set(Id::ProcessStartTimeSeconds, &[], time::now() as f64 / 1e9);
    for step in &source.steps {
        let (in_use, reason) = match &step.passed_over {
            None => (1.0, "in use"),
            Some(reason) => (0.0, reason.as_str()),
        };
        metrics.set(
            Id::CaptureModeInfo,
            &[&step.interface, step.mode, reason],
            in_use,
        );
    }
    for seen in &source.interfaces {
        metrics.set(
            Id::CaptureInfo,
            &[&seen.interface, &seen.ingress, &seen.egress],
            1.0,
        );
    }
}

fn describe_model(metrics: &Metrics, model: &Model) {
    metrics.info(Id::ModelInfo, &[&model.digest()[..16], "current"]);
    metrics.set(Id::ModelThreshold, &[], f64::from(model.threshold()));
}
