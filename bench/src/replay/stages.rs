//! Our side: the stages up to a point, over one capture, in this process.

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use model::{Model, Rows, Scorer};
use sensor::{
    capture::{self, Capture, Epoch, Progress, replay},
    context::{self, Context},
    features::{self, MODEL_COUNT},
    flow::{self, Change, FlowEndReason, FlowRecord, Table},
};
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
    /// Each row scored.
    Score,
}

impl Prefix {
    pub(super) const ALL: [Self; 5] = [
        Self::Read,
        Self::Account,
        Self::Flow,
        Self::Features,
        Self::Score,
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
        }
    }
}

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
    /// Train the model instead
    #[arg(long)]
    train: bool,
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
    /// The capture gives no model.
    #[error("training: {0}")]
    Train(#[from] model::TrainError),
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
    /// From an epoch's end to the last score of what was due at it, nanoseconds at the quantiles below.
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
    if args.train {
        train(&args.capture, &args.model)?;
        return Ok(Stopped::default());
    }
    let model;
    let mut scorer = None;
    if args.prefix >= Prefix::Score {
        model = Model::load(&args.model)?;
        scorer = Some(model.scorer());
    }
    let begin = Instant::now();
    let mut stopped = if args.prefix == Prefix::Read {
        let mut packets = 0;
        capture::input::frames(&args.capture, |record| {
            black_box(record.frame.first());
            packets += 1;
        })?;
        Stopped {
            packets,
            ..Stopped::default()
        }
    } else {
        let mut path = Stages::new(args.prefix, scorer);
        path.replay(&args.capture)?;
        path.stopped
    };
    stopped.seconds = begin.elapsed().as_secs_f64();
    Ok(stopped)
}

/// Trains a model on the features of a capture.
fn train(capture: &Path, to: &Path) -> Result<(), StageError> {
    let mut path = Stages::new(Prefix::Features, None);
    path.keep_rows = true;
    path.replay(capture)?;
    let settings = model::Settings::default();
    let model = Model::train(&path.rows, &features::schema(), &settings)?;
    model.save(to)?;
    Ok(())
}

/// The stages, put together as the pipeline does, with a place to stop.
struct Stages<'a> {
    prefix: Prefix,
    table: Table,
    context: Context,
    scorer: Option<Scorer<'a>>,
    rows: Rows,
    keep_rows: bool,
    scores: Vec<f32>,
    latency: Histogram<u64>,
    stopped: Stopped,
}

impl<'a> Stages<'a> {
    fn new(prefix: Prefix, scorer: Option<Scorer<'a>>) -> Self {
        Self {
            prefix,
            table: Table::new(flow::Settings::default()),
            context: Context::new(&context::Settings::default()),
            scorer,
            rows: Rows::with_columns(MODEL_COUNT),
            keep_rows: false,
            scores: Vec::new(),
            // 1 ns to a minute, two digits.
            latency: Histogram::new_with_bounds(1, 60_000_000_000, 2).expect("constant bounds"),
            stopped: Stopped::default(),
        }
    }

    fn replay(&mut self, capture: &Path) -> Result<(), StageError> {
        let mut source =
            replay::Replay::open(&[capture.to_path_buf()], replay::Settings::default())?;
        let mut epoch = Epoch::default();
        let mut changes: Vec<Change> = Vec::new();
        let mut due: Vec<FlowRecord> = Vec::new();
        while source.next_epoch(&mut epoch)? == Progress::Epoch {
            let begin = Instant::now();
            let ledger = &epoch.ledger;
            self.stopped.packets += ledger.seen;
            self.stopped.overflow +=
                ledger.overflow_full + ledger.overflow_memory + ledger.overflow_other;
            self.stopped.unaccounted += ledger.unaccounted();
            if self.prefix < Prefix::Flow {
                black_box(&epoch.flows);
                continue;
            }
            while let Some(boundary) = self.table.advance(epoch.index, &mut due) {
                if self.prefix >= Prefix::Features {
                    self.context.advance(boundary);
                }
                self.evaluate(&mut due);
            }
            self.table.merge(&epoch, &mut changes, &mut due);
            if self.prefix >= Prefix::Features {
                self.context.absorb(&epoch, &changes);
            }
            self.evaluate(&mut due);
            self.latency
                .saturating_record(begin.elapsed().as_nanos() as u64);
        }
        self.table.flush(FlowEndReason::ForcedEnd, &mut due);
        self.evaluate(&mut due);
        self.stopped.flows = self.table.stats().ended.iter().sum();
        if self.prefix >= Prefix::Flow {
            self.stopped.latency_ns = QUANTILES
                .iter()
                .map(|quantile| self.latency.value_at_quantile(*quantile))
                .collect();
        }
        Ok(())
    }

    /// Features and scores of what is due, as far as the run goes.
    fn evaluate(&mut self, due: &mut Vec<FlowRecord>) {
        self.stopped.rows += due.len() as u64;
        if self.prefix >= Prefix::Features {
            if !self.keep_rows {
                self.rows.values.clear();
            }
            for record in due.iter() {
                let row = features::extract(record, &self.context.view(record));
                self.rows.push(&features::model_row(&row));
            }
            black_box(&self.rows.values);
            if let Some(scorer) = &mut self.scorer {
                let begin = Instant::now();
                self.scores.clear();
                self.scores.resize(due.len(), 0.0);
                scorer.score(&self.rows.values, &mut self.scores);
                black_box(&self.scores);
                self.stopped.score_seconds += begin.elapsed().as_secs_f64();
            }
        }
        due.clear();
    }
}
