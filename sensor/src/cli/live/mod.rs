//! `live`: watch interfaces until told to stop.

mod asked;
mod background;
mod beside;
#[cfg_attr(not(target_os = "linux"), path = "changed_other.rs")]
mod changed;
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
    net::TcpListener,
    sync::{Arc, mpsc::channel},
};

use model::{Model, Published};

use self::{
    asked::Asked, background::Background, changed::Changed, heart::Heart, keeping::Keeping,
    reload::Parts, screen::Screen,
};
pub(super) use self::{notify::Notify, reload::Reload};
use super::{
    args::Live,
    dashboard::Beside,
    fault::Fault,
    setup::{Setup, make_folder},
    swap,
};
use crate::{
    listen::listen,
    metrics::{Id, Metrics, Pulse},
    pipeline::{self, Both, Desk, Source, Subscriptions, Watch, evidence::Recorder},
    score::MuteBoard,
    sink::rollup::facts,
    time,
};

pub(super) fn run(args: &Live) -> Result<u8, Fault> {
    let mut asked = Asked::new(args)?;
    let given = asked.model.take();
    let (setup, to_stdout) = (&asked.setup, asked.to_stdout);
    // While files of secrets can be read, and before anything else begins.
    let specs = outlets::configured(setup)?;
    let Attached {
        mut changed,
        listener,
        mut source,
        dashboard,
    } = attach(args, &asked)?;
    let metrics = Metrics::new();
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
        asked.duration,
    )?;
    changed.hear_signals();
    let learning = asked.learning();
    if !to_stdout && learning.retrain.is_some() {
        // For what is remembered, also where the model came from elsewhere.
        make_folder(asked.store.folder())?;
    }
    let mut screen = Screen::new(&asked, &metrics)?;
    let stages = pipeline::Settings {
        alerts: Some(setup.alerts_of_watch()),
        ..setup.stages()
    };
    let mut watch = Watch::new(&stages, published, &learning, &metrics);
    if asked.keeps_evidence() {
        watch = watch.recording(Recorder::new(setup.evidence(), &stages));
    }
    let mut subscriptions = Subscriptions::default();
    let outlets = outlets::start(setup, specs, !to_stdout, &metrics, &mut subscriptions)?;
    let keeping = Keeping::start(setup, to_stdout, &mut subscriptions, &metrics)?;
    say_budget(setup, keeping.is_some());
    let access = match dashboard {
        Some(dashboard) => Some(dashboard.serve(setup, &metrics, &mut subscriptions)?),
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
    let resources = beside::resources(setup, &post, &metrics, to_stdout)?;
    let intel = beside::intel(setup, &metrics)?;
    let mut desk = Desk::new(post.clone()).asking(intel.keeper());
    let (adjust, adjustments) = channel();
    let reload = Reload::new(
        &args.common,
        asked.flags.clone(),
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
        store: (!to_stdout).then(|| asked.store.clone()),
        given: asked.named.clone(),
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
            asked.keep(&model);
            describe_model(&metrics, &model);
            Arc::new(Published::new(model))
        },
        &mut Both(&mut Both(&mut screen, &mut desk), &mut heart),
    );
    // Whoever listens sees the end of what there is to hear.
    drop(desk);
    if let Some(reload) = following.end() {
        outlets::stop(setup, reload.into_outlets());
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

/// Says how many incidents will be told, and where the others are to be found, if they are kept.
fn say_budget(setup: &Setup, has_store: bool) {
    let budget = setup.budget_of_watch();
    if !budget.is_bounded() {
        return;
    }
    let others = match has_store {
        true => format!(
            "the others are kept: anomaly-detect alerts list --state untold{}",
            setup.looking_here()
        ),
        false => "without a store the others are not kept".to_owned(),
    };
    setup.note(&format!(
        "telling the strongest incidents, at most {budget} (score.alert_budget); {others}"
    ));
}

/// What packets come from, and what was taken while there were the privileges for it.
struct Attached {
    /// Let go of after all the others.
    changed: Changed,
    /// For metrics.
    listener: Option<TcpListener>,
    source: Source,
    dashboard: Option<Beside>,
}

/// Takes addresses and interfaces, and then gives up the privileges that it took.
fn attach(args: &Live, asked: &Asked) -> Result<Attached, Fault> {
    let setup = &asked.setup;
    changed::take_privileges();
    let listener = match setup.config.metrics.listen {
        Some(address) => Some(listen("metrics", address)?),
        None => None,
    };
    let changed = Changed::make(setup, args.fix)?;
    let copies = asked.keeps_evidence().then(|| setup.copies()).flatten();
    let source = Source::open(&setup.config.capture, copies)?;
    for note in &source.notes {
        setup.note(note);
    }
    // Said after what keeps a sensor from watching at all: without a dashboard it watches all the same.
    let dashboard = match asked.to_stdout {
        true => None,
        false => Beside::open(setup)?,
    };
    if let Some(folder) = asked.folder() {
        make_folder(folder)?;
    }
    changed.give_up_privileges(setup, args.user.as_deref(), asked.folder(), &source)?;
    Ok(Attached {
        changed,
        listener,
        source,
        dashboard,
    })
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
