//! `live`: watch interfaces until told to stop.

use std::{
    fs::OpenOptions,
    io::{BufWriter, IsTerminal, Write},
    net::TcpListener,
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use model::{Model, Published};
use tokio::sync::oneshot;

use super::{
    args::Live,
    fault::{Fault, code},
    setup::{Flags, Setup, make_folder, output},
    swap,
};
#[cfg(target_os = "linux")]
use super::{doctor::Fixed, privilege};
use crate::{
    capture::Stop,
    config::{CaptureMode, Format},
    features::Row,
    flow::{FlowRecord, Stats},
    learn::{self, Decision},
    metrics::{self, Id, Metrics},
    pipeline::{
        Learning, Listener, Memory, Retraining, Source, Watch, Watched, evidence::Recorder,
    },
    score::{
        Incident, Scored, count,
        store::{self, Store},
    },
    sink::{csv::FlowCsv, json, table::Style},
    time::{self, Stamp},
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
            "no interface to watch: name one with --iface (see `anomaly-detect doctor`)",
        ));
    }
    if wanted.mode == CaptureMode::AfXdp && wanted.taps.is_empty() {
        return Err(Fault::new(
            code::USAGE,
            "AF_XDP takes packets away from the stack, so it is for mirror ports only: name one with --tap",
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
    let metrics = Metrics::new();
    let listener = match setup.config.metrics.listen {
        Some(address) => Some(metrics::listen(address)?),
        None => None,
    };
    // Put back when this returns, whether it goes well or not.
    #[cfg(target_os = "linux")]
    let fixed = args.fix.then(|| {
        let (fixed, notes) = Fixed::apply(&setup.config.capture.interfaces);
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
    let published = given.map(|model| {
        describe_model(&metrics, &model);
        Arc::new(Published::new(model))
    });
    let background = Background::start(listener, metrics.clone(), source.stop_handle(), duration)?;
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
    if !to_stdout || path.is_some() {
        let stop = source.stop_handle();
        watch = watch.heeding(swap::follow(store.clone(), path, metrics.clone(), stop)?);
    }
    if keeps {
        watch = watch.recording(Recorder::new(setup.evidence(), &setup.stages()));
    }
    let watched = watch.run(
        &mut source,
        &mut |model| {
            keep(&setup, &store, &model, to_stdout);
            describe_model(&metrics, &model);
            Arc::new(Published::new(model))
        },
        &mut screen,
    );
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

/// The thread for everything that is not packets: HTTP, signals, the end of the time.
struct Background {
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Background {
    fn start(
        listener: Option<TcpListener>,
        metrics: Metrics,
        stop: Stop,
        duration: Option<Duration>,
    ) -> Result<Self, Fault> {
        let failed = |error| Fault::new(code::FAILED, format!("cannot begin to serve: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
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
                                axum::serve(listener, metrics::router(metrics)).await
                            {
                                log::error!("metrics: {error}");
                            }
                        });
                    }
                    tokio::spawn(until_told(stop, duration));
                    // An error means that the sender is gone: the end too.
                    let _ = ended.await;
                });
            })
            .map_err(failed)?;
        Ok(Self { end, thread })
    }

    fn end(self) {
        // The thread is gone already: nothing to end.
        let _ = self.end.send(());
        let _ = self.thread.join();
    }
}

/// A handle that the first signal triggers, or the end of the time, so that a look in progress comes to its end; a
/// second signal ends the process.
pub(super) fn told_to_stop(duration: Option<Duration>) -> Result<Stop, Fault> {
    let failed = |error| Fault::new(code::FAILED, format!("cannot wait for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let stop = Stop::default();
    let told = stop.clone();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(until_told(told, duration)))
        .map_err(failed)?;
    Ok(stop)
}

/// Asks the capture to end at the first signal or when the time is over; a second signal ends the process.
async fn until_told(stop: Stop, duration: Option<Duration>) {
    let over = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        () = signalled() => {}
    }
    stop.stop();
    signalled().await;
    std::process::exit(130);
}

#[cfg(unix)]
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signalled() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What a person and the log see.
struct Screen<'a> {
    setup: &'a Setup,
    metrics: &'a Metrics,
    log: FlowCsv<Box<dyn Write>>,
    /// Rows since the last flush.
    unflushed: u64,
    /// Whether the log could not be written; said once, and tried again.
    failing: bool,
    reader_gone: bool,
    path: PathBuf,
    to_stdout: bool,
    style: Style,
    tenths: usize,
}

impl<'a> Screen<'a> {
    fn new(setup: &'a Setup, to_stdout: bool, metrics: &'a Metrics) -> Result<Self, Fault> {
        let path = if to_stdout {
            PathBuf::from("-")
        } else {
            setup.folder().join("live_capture_log.csv")
        };
        let failed = |error| Fault::file(&path, &error, code::FAILED);
        let out: Box<dyn Write> = if to_stdout {
            output(&path)?
        } else {
            // The log of an earlier watch is kept beside it.
            if path.exists() {
                let kept = path.with_extension("csv.1");
                std::fs::rename(&path, &kept).map_err(failed)?;
            }
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path);
            Box::new(BufWriter::with_capacity(1 << 18, file.map_err(failed)?))
        };
        let log = FlowCsv::new(out, true).map_err(failed)?;
        Ok(Self {
            setup,
            metrics,
            log,
            unflushed: 0,
            failing: false,
            reader_gone: false,
            path,
            to_stdout,
            style: Style::stdout(),
            tenths: 0,
        })
    }

    fn wrote(&mut self, result: &std::io::Result<()>) {
        let state = if result.is_ok() { "written" } else { "lost" };
        self.metrics.add(Id::LogRowsTotal, &[state], 1.0);
        self.unflushed += 1;
        self.check(result);
    }

    fn check(&mut self, result: &std::io::Result<()>) {
        match result {
            Ok(()) => self.failing = false,
            Err(error) if self.to_stdout && error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.reader_gone = true;
            }
            Err(error) if !self.failing => {
                self.failing = true;
                let path = self.path.display();
                self.setup.note(&format!(
                    "warning: {path}: {error}; rows are lost until it works again"
                ));
            }
            Err(_) => {}
        }
    }

    fn say(&mut self, line: &str) {
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            self.reader_gone = true;
        }
    }

    fn finish(mut self, watched: &Watched) -> Result<(), Fault> {
        let ledger = &watched.ledger;
        let text = format!(
            "watched {} packets in {} flows over {}; {} anomalous flows, {} incidents; {} packets in no flow for want of room, {} unaccounted",
            count(ledger.seen as f64),
            count(watched.flows as f64),
            time::words(watched.seconds),
            count(watched.anomalous as f64),
            watched.incidents,
            ledger.overflow(),
            ledger.unaccounted()
        );
        let flushed = self.log.flush();
        self.check(&flushed);
        self.setup.note(&text);
        if !watched.has_model {
            self.setup
                .note("stopped while still learning; nothing was scored");
        }
        if self.reader_gone {
            return Err(Fault::new(0, ""));
        }
        Ok(())
    }
}

impl Listener for Screen<'_> {
    fn learning(&mut self, have: usize, want: usize) {
        // A line for each tenth: a log keeps it, and a terminal is not flooded.
        let tenths = (have * 10 / want.max(1)).min(10);
        if tenths > self.tenths {
            self.tenths = tenths;
            self.setup.note(&format!(
                "learning what is usual: {} of {} flow records",
                count(have as f64),
                count(want as f64)
            ));
        }
    }

    fn learned(&mut self, model: &Model) {
        self.setup.note(&format!(
            "learned from {} flow records; watching (threshold {})",
            count(model.info().rows as f64),
            model.threshold()
        ));
        if model.threshold().is_infinite() {
            self.setup.note(super::setup::TOO_FEW);
        }
    }

    fn flow(&mut self, record: &FlowRecord, row: &Row, verdict: Option<&Scored>) {
        let result = match verdict {
            Some(scored) => self.log.scored(scored),
            None => self.log.unscored(record, row),
        };
        self.wrote(&result);
    }

    fn decided(&mut self, decision: &Decision) {
        let store = self.setup.store();
        match decision {
            Decision::Promoted(model) => {
                describe_model(self.metrics, model);
                self.setup
                    .note("learned anew from this traffic; in use now");
                keep(self.setup, &store, model, self.to_stdout);
            }
            Decision::Refused(why) => self.setup.note(&format!(
                "learned anew, and kept the model in use: {}",
                why.name()
            )),
            Decision::RolledBack(model, failing) => {
                describe_model(self.metrics, model);
                self.setup.note(&format!(
                    "warning: the new model {failing}; the one before is in use again"
                ));
                keep(self.setup, &store, model, self.to_stdout);
            }
        }
    }

    fn memory(&mut self, memory: &Memory) {
        let path = self.setup.store().folder().join("memory.bin");
        let path = path.display();
        self.setup.note(&match memory {
            Memory::Restored(rows) => format!("remembered {rows} flow records of earlier"),
            Memory::Unusable(error) => {
                format!("warning: {path}: {error}; what was remembered is lost, and remembering begins anew")
            }
            Memory::Unwritten(error) => {
                format!("warning: {path}: {error}; a restart will forget what was learned since")
            }
        });
    }

    fn unkept(&mut self, error: &std::io::Error) {
        let folder = self.setup.folder().join("evidence");
        self.setup.note(&format!(
            "warning: {}: {error}; evidence is lost until it works again",
            folder.display()
        ));
    }

    fn replaced(&mut self, model: &Model) {
        describe_model(self.metrics, model);
        self.setup.note(&format!(
            "another model is in use now: {} (threshold {})",
            &model.digest()[..8],
            model.threshold()
        ));
    }

    fn incident(&mut self, incident: &Incident) {
        if self.to_stdout {
            return;
        }
        let line = match self.setup.config.output.format {
            Format::Json => json::incident(incident).to_string(),
            _ => {
                let severity = incident.severity();
                let why = match incident.worst.reasons.first() {
                    Some(reason) if incident.kind == crate::score::Kind::UnusualFlow => {
                        format!(" ({reason})")
                    }
                    _ => String::new(),
                };
                format!(
                    "{}  {}  {}: {}{why}",
                    Stamp(incident.last).clock(),
                    self.style.severity(severity, &format!("{severity:8}")),
                    self.style.bold(incident.kind.name()),
                    incident.sentence()
                )
            }
        };
        self.say(&line);
    }

    fn pressed(&mut self, is_pressed: bool, stats: &Stats) {
        self.setup.note(&if is_pressed {
            "half-open flows pour in: those that repeat themselves are accounted by prefix until it is over".to_owned()
        } else {
            format!(
                "the flood of half-open flows is over; {} packets so far were accounted by prefix",
                count(stats.aggregated.packets as f64)
            )
        });
    }

    fn epoch(&mut self) {
        // At a terminal the log is for later; a pipe wants it now.
        if self.unflushed > 0 && (!self.to_stdout || !std::io::stdout().is_terminal()) {
            self.unflushed = 0;
            let flushed = self.log.flush();
            self.check(&flushed);
        }
    }
}
