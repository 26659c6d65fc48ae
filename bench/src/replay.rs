//! The whole path on one core, beside its peers on the same file in the same run.
//!
//! Every measurement is a fresh process on one CPU, ours as well as theirs: wall time includes starting and reading
//! the file, peak memory is what the kernel says when it ends. Rounds are interleaved, so that a slow moment of the
//! machine hits all alike. What a stage costs is the difference between a run that stops before it and one that stops after it.

use std::{
    fs,
    io::BufWriter,
    path::{Path, PathBuf},
    process::ExitCode,
};

use sensor::capture::looped;
use serde::Serialize;

mod peers;
#[cfg_attr(not(target_os = "linux"), path = "replay/process_other.rs")]
mod process;
mod report;
pub(crate) mod stages;

use stages::{Prefix, Stopped};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Capture to replay [default: demo/office.pcap.zst]
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Loop the capture, with other hosts in each round, until it has this many packets; 0 takes the file as it is
    #[arg(long, default_value_t = 3_000_000)]
    packets: u64,
    /// Rounds; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// CPU to run on [default: the last one]
    #[arg(long)]
    cpu: Option<usize>,
    /// Measure ours alone
    #[arg(long)]
    no_peers: bool,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// Why there is nothing to print.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A file or folder of the run.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The capture could not be made.
    #[error(transparent)]
    Loop(#[from] looped::LoopError),
    /// A measured program failed.
    #[error("{command}: {what}")]
    Run {
        /// As typed.
        command: String,
        /// What went wrong.
        what: String,
    },
    /// This machine cannot be measured on.
    #[error("{0}")]
    Machine(String),
}

/// One run of one subject.
#[derive(Clone, Debug, Serialize)]
struct Sample {
    /// From start to end of the process.
    wall_seconds: f64,
    /// User and system time.
    cpu_seconds: f64,
    /// Largest resident set.
    peak_bytes: u64,
}

/// One subject over all rounds.
#[derive(Debug, Serialize)]
struct Subject {
    name: String,
    /// What was run, as typed.
    command: String,
    version: String,
    /// Packets that it says it read; `None` where it does not say.
    packets: Option<u64>,
    /// Flows that it says it made.
    flows: Option<u64>,
    samples: Vec<Sample>,
    /// Of ours: what the process measured inside, one for each round.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inside: Vec<Stopped>,
}

/// Everything that a reader needs to judge the figures.
#[derive(Debug, Serialize)]
struct Run {
    machine: process::Machine,
    capture: String,
    capture_bytes: u64,
    packets: u64,
    rounds: u32,
    subjects: Vec<Subject>,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> ExitCode {
    match measure(args) {
        Ok(run) => {
            if args.json {
                println!(
                    "{}",
                    serde_json::to_string_pretty(&run).expect("numbers and strings")
                );
            } else {
                print!("{}", report::text(&run));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The pass to scores once more, with a model of the other shape of trees.
const LEVEL_SHARED: &str = "ours: to scores, level-shared";

fn measure(args: &Args) -> Result<Run, BenchError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = root.join("runs/tmp");
    let file = |path: &Path| {
        let path = path.to_path_buf();
        move |source| BenchError::File { path, source }
    };
    fs::create_dir_all(&scratch).map_err(file(&scratch))?;
    let input = args
        .capture
        .clone()
        .unwrap_or_else(|| root.join("../demo/office.pcap.zst"));
    let own = std::env::current_exe().map_err(file(Path::new("/proc/self/exe")))?;
    let capture = if args.packets == 0 {
        input.clone()
    } else {
        enlarged(&own, &input, args.packets, &scratch)?
    };
    let machine = process::pin(args.cpu)?;

    let model = scratch.join("model");
    let level_shared = scratch.join("model-level-shared");
    let stage = |prefix: Prefix, capture: &Path, model: &Path| {
        process::Job::new(&own)
            .arg("stage")
            .arg(prefix.name())
            .arg(capture)
            .arg("--model")
            .arg(model)
    };
    // In a process of its own: the kernel hands a parent's peak memory on to its children.
    eprintln!("training on {}", input.display());
    let train = |model: &Path| stage(Prefix::Features, &input, model).arg("--train");
    train(&model).run()?;
    train(&level_shared).arg("--level-shared").run()?;

    let mut subjects: Vec<(Subject, process::Job)> = Vec::new();
    for prefix in Prefix::ALL {
        let mut add = |title: &str, model: &Path| {
            let job = stage(prefix, &capture, model);
            subjects.push((Subject::new(title, &job, env!("CARGO_PKG_VERSION")), job));
        };
        add(prefix.title(), &model);
        if prefix == Prefix::Score {
            add(LEVEL_SHARED, &level_shared);
        }
    }
    if !args.no_peers {
        for peer in peers::installed(&capture, &scratch)? {
            subjects.push((Subject::new(peer.name, &peer.job, &peer.version), peer.job));
        }
    }
    // The first touch of the file belongs to nobody.
    let mut warm = fs::File::open(&capture).map_err(file(&capture))?;
    std::io::copy(&mut warm, &mut std::io::sink()).map_err(file(&capture))?;
    for round in 0..args.rounds {
        for (subject, job) in &mut subjects {
            eprint!(
                "\rround {} of {}: {:<40}",
                round + 1,
                args.rounds,
                subject.name
            );
            let (sample, output) = job.run()?;
            subject.samples.push(sample);
            if let Ok(stopped) = serde_json::from_str::<Stopped>(&output) {
                subject.packets = Some(stopped.packets);
                subject.flows = Some(stopped.flows);
                subject.inside.push(stopped);
            } else {
                (subject.packets, subject.flows) = peers::counts(&subject.name, &output);
            }
        }
    }
    eprintln!("\r{:<60}", "");
    let packets = subjects
        .iter()
        .find_map(|(subject, _)| subject.packets)
        .unwrap_or(0);
    Ok(Run {
        machine,
        capture: capture
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        capture_bytes: fs::metadata(&capture).map_err(file(&capture))?.len(),
        packets,
        rounds: args.rounds,
        subjects: subjects.into_iter().map(|(subject, _)| subject).collect(),
    })
}

impl Subject {
    fn new(name: &str, job: &process::Job, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            command: job.typed(),
            version: version.to_owned(),
            packets: None,
            flows: None,
            samples: Vec::new(),
            inside: Vec::new(),
        }
    }

    /// Median of a figure over the rounds.
    fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(figure).collect())
    }
}

/// Median; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[length / 2],
        length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
    }
}

/// Options of `bench enlarge`.
#[derive(clap::Args)]
pub(crate) struct Enlarge {
    input: PathBuf,
    packets: u64,
    output: PathBuf,
}

/// Writes a capture looped to so many packets.
pub(crate) fn enlarge(args: &Enlarge) -> ExitCode {
    let write = || -> Result<(), BenchError> {
        let out = fs::File::create(&args.output).map_err(|source| BenchError::File {
            path: args.output.clone(),
            source,
        })?;
        looped::write(
            &args.input,
            args.packets,
            BufWriter::with_capacity(1 << 20, out),
        )?;
        Ok(())
    };
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The capture looped to `packets` packets, kept for the next run. Made by a process of its own, so that this one stays
/// small: the kernel counts a parent's peak memory as its children's.
fn enlarged(own: &Path, input: &Path, packets: u64, scratch: &Path) -> Result<PathBuf, BenchError> {
    let name = input
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let stem = name.split('.').next().unwrap_or("capture");
    let path = scratch.join(format!("{stem}-{packets}.pcap"));
    let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    if modified(&path) > modified(input) {
        return Ok(path);
    }
    eprintln!("looping {} to {packets} packets", input.display());
    let unfinished = scratch.join(format!("{stem}-{packets}.unfinished"));
    process::Job::new(own)
        .arg("enlarge")
        .arg(input)
        .arg(packets.to_string())
        .arg(&unfinished)
        .run()?;
    fs::rename(&unfinished, &path).map_err(|source| BenchError::File {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
