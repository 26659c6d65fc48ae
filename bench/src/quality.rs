//! How well attacks are found: every labelled set of the shared data in one table, beside the usual tools on the same
//! rows in the same run.
//!
//! Each kind of data has a module with one function, `measure(data, options) -> Result<Vec<ResultRow>, QualityError>`;
//! [`GROUPS`] lists them. A set that is not there is named and left out, never silently.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use sensor::score::quality::{Judged, measure};
use serde::Serialize;

mod boosting;
mod calibration;
mod captures;
#[path = "../../model/tests/it/npz.rs"]
mod npz;
mod peer;
mod table;
mod tables;
mod zeek;

pub(crate) use peer::{Peer, PeerError, Supervised};

/// Options of `cargo xtask bench quality`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of labelled sets
    #[arg(long, value_name = "FOLDER", default_value = "../shared/data")]
    data: PathBuf,
    /// Measure only these groups of sets; may be given more than once
    #[arg(long, value_name = "GROUP")]
    only: Vec<String>,
    /// Independent seeds; means count
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=99))]
    seeds: u32,
    /// Python with scikit-learn and LightGBM, for the peers: `python3 -m venv V && V/bin/pip install scikit-learn lightgbm`
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
    /// Measure ours alone
    #[arg(long)]
    no_peers: bool,
    /// Also write everything as JSON, for example to bench/runs/DATE-quality.json; - prints it instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a group is asked to do.
pub(crate) struct Options {
    /// Independent seeds, 0 up to this.
    pub(crate) seeds: u32,
    /// The peers, unless they were not wanted or are not installed.
    pub(crate) peer: Option<Peer>,
}

/// Whether somebody looked at a set while choosing a setting. No label of any set reaches training or calibration of
/// what is scored on it, whichever part it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Settings were compared on it.
    ChosenOn,
    /// It was measured with what had been chosen elsewhere.
    Confirmed,
}

impl Part {
    /// In words.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ChosenOn => "chosen on",
            Self::Confirmed => "confirmed",
        }
    }
}

/// A ranking against labels.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ranking {
    /// Area under the ROC curve, mean over seeds; NaN (null) with one class.
    pub(crate) roc_auc: f64,
    /// Average precision, mean over seeds.
    pub(crate) pr_auc: f64,
}

impl Ranking {
    /// Mean over the rankings of several seeds; `attacks` says of each row whether it is one.
    pub(crate) fn mean(seeds: &[Vec<f32>], attacks: &[bool]) -> Self {
        let each = seeds.iter().map(|scores| {
            let mut rows: Vec<Judged> = scores
                .iter()
                .zip(attacks)
                .map(|(score, attack)| Judged {
                    score: f64::from(*score),
                    alarm: false,
                    attack: *attack,
                })
                .collect();
            measure(&mut rows)
        });
        let (roc_auc, pr_auc) = each.fold((0.0, 0.0), |(roc, pr), quality| {
            (roc + quality.roc_auc, pr + quality.pr_auc)
        });
        let count = seeds.len() as f64;
        Self {
            roc_auc: roc_auc / count,
            pr_auc: pr_auc / count,
        }
    }
}

/// What the threshold does that a budget or a share of false alarms set, never the labels.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct AtThreshold {
    /// Share of the alarms that are right.
    pub(crate) precision: f64,
    /// Share of the attacks that are alarmed.
    pub(crate) recall: f64,
    /// Harmonic mean of the two.
    pub(crate) f1: f64,
}

/// Incidents raised of those that are in the data.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Found {
    /// Raised.
    pub(crate) found: u32,
    /// There.
    pub(crate) planted: u32,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ResultRow {
    /// The set, and what is done with it, for example `nsl-kdd, clean`.
    pub(crate) set: String,
    /// What was measured, for example `forest`, `boosting`.
    pub(crate) model: &'static str,
    /// Whether choices were made on it.
    pub(crate) part: Part,
    /// Rows ranked.
    pub(crate) rows: u64,
    /// Attacks among them.
    pub(crate) attacks: u64,
    /// Ours; nothing where labels do not allow a ranking.
    pub(crate) ours: Option<Ranking>,
    /// The peer on the same rows, with its name and version.
    pub(crate) peer: Option<(String, Ranking)>,
    /// At the threshold.
    pub(crate) threshold: Option<AtThreshold>,
    /// False alarms a day of traffic; nothing where rows have no times.
    pub(crate) false_alarms_per_day: Option<f64>,
    /// From the first packet of an attack to its first alert, median, in seconds.
    pub(crate) seconds_to_detect: Option<f64>,
    /// Incidents.
    pub(crate) incidents: Option<Found>,
    /// What was promised, if anything.
    pub(crate) goal: Option<Ranking>,
    /// What a reader must know to read the line rightly; printed below the table.
    pub(crate) note: Option<String>,
}

impl ResultRow {
    /// A line with nothing measured yet.
    pub(crate) fn new(set: impl Into<String>, model: &'static str, part: Part) -> Self {
        Self {
            set: set.into(),
            model,
            part,
            rows: 0,
            attacks: 0,
            ours: None,
            peer: None,
            threshold: None,
            false_alarms_per_day: None,
            seconds_to_detect: None,
            incidents: None,
            goal: None,
            note: None,
        }
    }
}

/// Why a group has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QualityError {
    /// The data is not there.
    #[error("not there: {}", .0.display())]
    Absent(PathBuf),
    /// A file cannot be read or does not hold what it should.
    #[error("{}: {what}", path.display())]
    Data {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// No model could be trained.
    #[error(transparent)]
    Train(#[from] model::TrainError),
    /// A peer failed.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The product's own pipeline failed.
    #[error("{0}")]
    Sensor(String),
}

/// Measures the sets of one kind.
type Measure = fn(data: &Path, options: &Options) -> Result<Vec<ResultRow>, QualityError>;

/// Kinds of data, in the order of the table.
const GROUPS: &[(&str, Measure)] = &[
    ("tables", tables::measure),
    ("boosting", boosting::measure),
    ("captures", captures::measure),
    ("zeek", zeek::measure),
    ("calibration", calibration::measure),
];

/// Evidence of a run.
#[derive(Serialize)]
struct Run<'a> {
    command: String,
    seeds: u32,
    peers: Option<&'a str>,
    groups: Vec<Group>,
}

/// Results of one group, or why there are none.
#[derive(Serialize)]
struct Group {
    name: &'static str,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_run: Option<String>,
    rows: Vec<ResultRow>,
}

/// Measures and prints. Ends with a failure if a group failed for another reason than that its data is absent.
pub(crate) fn run(args: &Args) -> ExitCode {
    for wanted in &args.only {
        if !GROUPS.iter().any(|(name, _)| name == wanted) {
            let known: Vec<_> = GROUPS.iter().map(|(name, _)| *name).collect();
            eprintln!("bench: no group `{wanted}`; there are {}", known.join(", "));
            return ExitCode::from(2);
        }
    }
    let peer = if args.no_peers {
        None
    } else {
        Peer::find(&args.python)
            .inspect_err(|error| eprintln!("peers are left out: {error}"))
            .ok()
    };
    let options = Options {
        seeds: args.seeds,
        peer,
    };
    let mut failed = false;
    let mut groups = Vec::new();
    for (name, measure) in GROUPS {
        if !args.only.is_empty() && !args.only.iter().any(|wanted| wanted == name) {
            continue;
        }
        eprintln!("measuring: {name}");
        let start = std::time::Instant::now();
        let (rows, not_run) = match measure(&args.data, &options) {
            Ok(rows) => (rows, None),
            Err(error) => {
                failed |= !matches!(error, QualityError::Absent(_));
                eprintln!("not run: {name}: {error}");
                (Vec::new(), Some(error.to_string()))
            }
        };
        groups.push(Group {
            name,
            seconds: start.elapsed().as_secs_f64(),
            not_run,
            rows,
        });
    }
    let run = Run {
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        seeds: args.seeds,
        peers: options.peer.as_ref().map(Peer::versions),
        groups,
    };
    if let Err(error) = tell(&run, args.json.as_deref()) {
        eprintln!("bench: {error}");
        failed = true;
    }
    ExitCode::from(u8::from(failed))
}

/// The table on standard output, and the JSON where it was asked for.
fn tell(run: &Run<'_>, json: Option<&Path>) -> std::io::Result<()> {
    let text = || serde_json::to_string_pretty(run).map_err(std::io::Error::other);
    let mut out = std::io::stdout().lock();
    match json {
        Some(path) if path.as_os_str() == "-" => writeln!(out, "{}", text()?),
        path => {
            if let Some(path) = path {
                std::fs::write(path, text()? + "\n")?;
            }
            out.write_all(table::text(run).as_bytes())
        }
    }
}
