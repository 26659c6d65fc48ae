//! Our side: the stages up to a point, over one capture, in this process.

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use model::Model;
use sensor::{
    capture::{self, Capture, Epoch, Progress, replay},
    config::{Config, Layers, Shape},
    flow::{self, FlowEndReason, Table},
    pipeline,
    score::Judge,
};
use sensor_ebpf::maps::Ledger;
use serde::{Deserialize, Serialize};

/// How far a run goes. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Prefix {
    /// Frames out of the file.
    Read,
    /// Parsed and counted into the deltas of an epoch.
    Account,
    /// Merged into flow records.
    Flow,
    /// Context kept, features computed for each record that is due.
    Features,
    /// Each row scored, in batches of at least [`BATCH_ROWS`].
    Score,
    /// The product's own scoring pass: p-values, reasons for the anomalous, incidents.
    Incidents,
}

impl Prefix {
    pub(super) const ALL: [Self; 6] = [
        Self::Read,
        Self::Account,
        Self::Flow,
        Self::Features,
        Self::Score,
        Self::Incidents,
    ];

    /// As on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value()
            .expect("none is skipped")
            .get_name()
            .to_owned()
    }

    /// As in the report.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Read => "ours: read",
            Self::Account => "ours: to epoch deltas",
            Self::Flow => "ours: to flow records",
            Self::Features => "ours: to features",
            Self::Score => "ours: to scores",
            Self::Incidents => "ours: to incidents",
        }
    }
}

/// Rows that are collected before they are scored: the scorer works on many rows at once.
const BATCH_ROWS: usize = 256;

/// One epoch in so many is timed: asking for the time costs as much as a quiet epoch's flows. A prime, so that it keeps
/// step with nothing.
pub(super) const TIMED_EPOCHS: u64 = 13;

/// Options of `bench stage`, which the benchmark runs for each measurement.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Last stage
    prefix: Prefix,
    /// Capture
    capture: PathBuf,
    /// Model to score with
    #[arg(long)]
    model: PathBuf,
    /// Train the model instead, with trees of the program's default shape
    #[arg(long)]
    train: bool,
    /// Train level-shared trees
    #[arg(long, requires = "train")]
    level_shared: bool,
}

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// The capture.
    #[error(transparent)]
    Capture(#[from] capture::CaptureError),
    /// The model cannot be read.
    #[error("model: {0}")]
    Load(#[from] model::LoadError),
    /// The model cannot be written.
    #[error("model: {0}")]
    Save(#[from] model::SaveError),
    /// A pass over the capture.
    #[error(transparent)]
    Pass(#[from] pipeline::Error),
}

/// What a run counted and measured. Times of the process as a whole are taken outside.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stopped {
    /// Frames read.
    pub(super) packets: u64,
    /// Records ended.
    pub(super) flows: u64,
    /// Records due, ended or not: rows made and scored.
    pub(super) rows: u64,
    /// Packets counted in no flow for want of room.
    pub(super) overflow: u64,
    /// Packets in no counter at all.
    pub(super) unaccounted: i64,
    /// From the first frame to the last result.
    pub(super) seconds: f64,
    /// Time inside the scorer.
    pub(super) score_seconds: f64,
    /// Work at an epoch's end: flows, context, features, and each batch of scores; nanoseconds at [`QUANTILES`], over one
    /// epoch in [`TIMED_EPOCHS`].
    pub(super) latency_ns: Vec<u64>,
}

/// Quantiles of [`Stopped::latency_ns`].
pub(super) const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 1.0];

/// Runs the stages and prints what they counted as JSON.
pub(crate) fn run(args: &Args) -> ExitCode {
    match stages(args) {
        Ok(stopped) => {
            println!("{}", serde_json::to_string(&stopped).expect("numbers"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn stages(args: &Args) -> Result<Stopped, StageError> {
    let inputs = [args.capture.clone()];
    if args.train {
        let training = pipeline::Training {
            model: model::Settings {
                shape: if args.level_shared {
                    model::Shape::LevelShared
                } else {
                    default_shape()
                },
                ..model::Settings::default()
            },
            rows: TRAINING_ROWS,
            trusting: false,
        };
        let settings = pipeline::Settings::default();
        let learned = pipeline::train_on_captures(
            &inputs,
            &settings,
            &training,
            &mut |_| {},
            &mut |_, _| Ok(()),
        )?;
        learned.model.save(&args.model)?;
        return Ok(Stopped::default());
    }
    let model = if args.prefix >= Prefix::Score {
        Some(Model::load(&args.model)?)
    } else {
        None
    };
    let begin = Instant::now();
    let mut stopped = match (args.prefix, &model) {
        (Prefix::Read, _) => read(&args.capture)?,
        (Prefix::Account | Prefix::Flow, _) => to_flows(&inputs, args.prefix)?,
        (_, Some(model)) if args.prefix == Prefix::Incidents => to_incidents(&inputs, model)?,
        (_, model) => to_scores(&inputs, model.as_ref())?,
    };
    stopped.seconds = begin.elapsed().as_secs_f64();
    Ok(stopped)
}

/// Form of the trees that the program grows where nobody says otherwise.
fn default_shape() -> model::Shape {
    let defaults = Config::from_layers(&Layers::default()).expect("the defaults are valid");
    match defaults.model.shape {
        Shape::LevelShared => model::Shape::LevelShared,
        Shape::Ordinary => model::Shape::Ordinary,
    }
}

/// Rows sampled to train on.
const TRAINING_ROWS: usize = 200_000;

impl Stopped {
    fn count(&mut self, ledger: &Ledger) {
        self.packets += ledger.seen;
        self.overflow += ledger.overflow();
        self.unaccounted += ledger.unaccounted();
    }
}

fn read(capture: &Path) -> Result<Stopped, StageError> {
    let mut packets = 0;
    capture::input::frames(capture, |record| {
        black_box(record.frame.first());
        packets += 1;
    })?;
    Ok(Stopped {
        packets,
        ..Stopped::default()
    })
}

fn to_flows(inputs: &[PathBuf], prefix: Prefix) -> Result<Stopped, StageError> {
    let mut stopped = Stopped::default();
    let mut source = replay::Replay::open(inputs, replay::Settings::default())?;
    let mut table = Table::new(flow::Settings::default());
    let mut epoch = Epoch::default();
    let (mut changes, mut due) = (Vec::new(), Vec::new());
    while source.next_epoch(&mut epoch)? == Progress::Epoch {
        stopped.count(&epoch.ledger);
        if prefix == Prefix::Account {
            black_box(&epoch.flows);
            continue;
        }
        while table.advance(epoch.index, &mut due).is_some() {}
        table.merge(&epoch, &mut changes, &mut due);
        black_box(&due);
        stopped.rows += due.len() as u64;
        due.clear();
    }
    table.flush(FlowEndReason::ForcedEnd, &mut due);
    stopped.rows += due.len() as u64;
    stopped.flows = table.stats().ended.iter().sum();
    Ok(stopped)
}

/// With a model to scores, without one to features. Context and features are the product's own stages.
fn to_scores(inputs: &[PathBuf], model: Option<&Model>) -> Result<Stopped, StageError> {
    let mut stopped = Stopped::default();
    let mut source = replay::Replay::open(inputs, replay::Settings::default())?;
    let mut stages = pipeline::Stages::new(&pipeline::Settings::default());
    let mut scoring = model.map(|model| Scoring {
        model,
        judge: Judge::default(),
    });
    let mut epoch = Epoch::default();
    let mut batch = pipeline::Batch::new();
    let mut taken = |batch: &mut pipeline::Batch, stopped: &mut Stopped, last: bool| {
        if let Some(scoring) = &mut scoring {
            if batch.len() < BATCH_ROWS && !last {
                return;
            }
            scoring.score(batch, stopped);
        }
        stopped.rows += batch.len() as u64;
        black_box(&batch);
        batch.clear();
    };
    // 1 ns to a minute, two digits.
    let mut latency =
        Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 2).expect("constant bounds");
    let mut epochs = 0_u64;
    while source.next_epoch(&mut epoch)? == Progress::Epoch {
        epochs += 1;
        let begin = epochs.is_multiple_of(TIMED_EPOCHS).then(Instant::now);
        stopped.count(&epoch.ledger);
        stages.observe(&epoch, &mut batch);
        taken(&mut batch, &mut stopped, false);
        if let Some(begin) = begin {
            let nanoseconds = begin.elapsed().as_nanos();
            latency.saturating_record(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        }
    }
    stages.finish(&mut batch);
    taken(&mut batch, &mut stopped, true);
    stopped.flows = stages.flow_stats().ended.iter().sum();
    stopped.latency_ns = QUANTILES
        .iter()
        .map(|quantile| latency.value_at_quantile(*quantile))
        .collect();
    Ok(stopped)
}

/// The product's own scorer, timed.
struct Scoring<'a> {
    model: &'a Model,
    judge: Judge,
}

impl Scoring<'_> {
    fn score(&mut self, batch: &pipeline::Batch, stopped: &mut Stopped) {
        let begin = Instant::now();
        black_box(self.judge.score(self.model, batch));
        stopped.score_seconds += begin.elapsed().as_secs_f64();
    }
}

fn to_incidents(inputs: &[PathBuf], model: &Model) -> Result<Stopped, StageError> {
    let settings = pipeline::Settings::default();
    let summary =
        pipeline::score_capture(inputs, &settings, model, &mut |_| {}, &mut |_, _| Ok(()))?;
    let mut stopped = Stopped {
        flows: summary.flows,
        rows: summary.scored,
        ..Stopped::default()
    };
    stopped.count(&summary.pass.ledger);
    Ok(stopped)
}
