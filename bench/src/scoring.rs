//! Cost of scoring a row and of training a forest: every path of ours, and scikit-learn's where it is installed.
//!
//! Rows are made up (heavy-tailed sizes and times, shares, ports), so that anyone can run this; timings are the
//! median over repetitions of one process on one core, quantisation included.

use std::process::{Command, ExitCode};
use std::time::Instant;

use model::{Column, Model, Path, Rows, Schema, Scratch, Settings, Shape, Transform};
use serde::Serialize;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Rows to train on when training is timed
    #[arg(long, default_value_t = 1_000_000)]
    training_rows: usize,
    /// Python whose scikit-learn is measured beside, if it has one
    #[arg(long, default_value = "python3")]
    python: String,
}

/// Everything measured.
#[derive(Serialize)]
struct Report {
    trees: usize,
    subsample: usize,
    scoring: Vec<Scoring>,
    training: Vec<Training>,
    /// What `bench/python/sklearn_forest.py` printed, or why nothing.
    scikit_learn: serde_json::Value,
}

#[derive(Serialize)]
struct Scoring {
    shape: Shape,
    path: String,
    columns: usize,
    batch: usize,
    ns_per_row: f64,
}

#[derive(Serialize)]
struct Training {
    shape: Shape,
    columns: usize,
    rows: usize,
    threads: usize,
    ms: f64,
}

/// Runs and prints.
pub(crate) fn run(args: &Args) -> ExitCode {
    match measure(args) {
        Ok(report) if args.json => {
            println!(
                "{}",
                serde_json::to_string(&report).expect("a report is numbers and names")
            );
            ExitCode::SUCCESS
        }
        Ok(report) => {
            print(&report);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<Report, model::TrainError> {
    let settings = Settings {
        threads: 1,
        ..Settings::default()
    };
    let mut scoring = Vec::new();
    for columns in [20, 40, 90] {
        let (rows, schema) = (traffic(20_000, columns), schema(columns));
        for shape in [Shape::LevelShared, Shape::Ordinary] {
            let model = Model::train(
                &rows,
                &schema,
                &Settings {
                    shape,
                    ..settings.clone()
                },
            )?;
            for path in Path::available() {
                for batch in [4096, 1] {
                    let ns_per_row = time_scoring(&model, &rows, path, batch);
                    let path = format!("{path:?}").to_lowercase();
                    scoring.push(Scoring {
                        shape,
                        path,
                        columns,
                        batch,
                        ns_per_row,
                    });
                }
            }
        }
    }
    let mut training = Vec::new();
    for columns in [20, 90] {
        let (rows, schema) = (traffic(args.training_rows, columns), schema(columns));
        for (shape, threads) in [
            (Shape::LevelShared, 1),
            (Shape::LevelShared, 0),
            (Shape::Ordinary, 0),
        ] {
            let settings = Settings {
                shape,
                threads,
                ..settings.clone()
            };
            let ms = median((0..3).map(|seed| {
                let settings = Settings {
                    seed,
                    ..settings.clone()
                };
                let start = Instant::now();
                let model = Model::train(&rows, &schema, &settings);
                assert!(model.is_ok(), "what was trained above can be trained again");
                start.elapsed().as_secs_f64() * 1e3
            }));
            let threads = if threads == 0 {
                std::thread::available_parallelism().map_or(1, usize::from)
            } else {
                threads
            };
            training.push(Training {
                shape,
                columns,
                rows: rows.len(),
                threads,
                ms,
            });
        }
    }
    Ok(Report {
        trees: settings.trees,
        subsample: settings.subsample,
        scoring,
        training,
        scikit_learn: scikit_learn(&args.python),
    })
}

/// Nanoseconds per row, median over repetitions.
fn time_scoring(model: &Model, rows: &Rows, path: Path, batch: usize) -> f64 {
    let mut scratch = Scratch::with_path(path).expect("available paths run here");
    let batches = if batch == 1 { 2000 } else { 4 };
    let mut out = vec![0.0; batch];
    median((0..15).map(|_| {
        let start = Instant::now();
        for values in rows.values.chunks_exact(batch * rows.columns).take(batches) {
            model.score_with(&mut scratch, values, &mut out);
            std::hint::black_box(&mut out);
        }
        start.elapsed().as_secs_f64() * 1e9 / (batch * batches) as f64
    }))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print(report: &Report) {
    println!(
        "scoring, {} trees x {}, one core, ns per row (quantisation included)",
        report.trees, report.subsample
    );
    println!(
        "{:>8} {:>6} {:>13} {:>9} {:>9}",
        "columns", "batch", "trees", "path", "ns/row"
    );
    for line in &report.scoring {
        let shape = format!("{:?}", line.shape);
        println!(
            "{:>8} {:>6} {shape:>13} {:>9} {:>9.1}",
            line.columns, line.batch, line.path, line.ns_per_row
        );
    }
    println!("\ntraining, quantiles, calibration and digest of the rows included");
    println!(
        "{:>8} {:>9} {:>13} {:>8} {:>9}",
        "columns", "rows", "trees", "threads", "ms"
    );
    for line in &report.training {
        let shape = format!("{:?}", line.shape);
        println!(
            "{:>8} {:>9} {shape:>13} {:>8} {:>9.1}",
            line.columns, line.rows, line.threads, line.ms
        );
    }
    println!("\nscikit-learn: {}", report.scikit_learn);
}

/// Runs the script beside, which prints a JSON object.
fn scikit_learn(python: &str) -> serde_json::Value {
    let script = include_str!("../python/sklearn_forest.py");
    match Command::new(python).args(["-c", script, "time"]).output() {
        Ok(output) if output.status.success() => {
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| "gave no JSON".into())
        }
        Ok(_) => "not installed".into(),
        Err(_) => format!("no {python}").into(),
    }
}

fn schema(columns: usize) -> Schema {
    let kinds = [
        ("bytes", Transform::SignedLog),
        ("seconds", Transform::SignedLog),
        ("share", Transform::Linear),
        ("packets", Transform::SignedLog),
        ("port", Transform::Categorical),
    ];
    let column = |i: usize| Column::new(format!("{}_{i}", kinds[i % 5].0), "1", kinds[i % 5].1);
    Schema::new((0..columns).map(column).collect())
}

/// Rows of made-up traffic, one value in fifty missing.
fn traffic(count: usize, columns: usize) -> Rows {
    let mut state = 1u64;
    let mut unit = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    let mut rows = Rows::with_columns(columns);
    rows.values = (0..count * columns)
        .map(|at| {
            let (u, v) = (unit(), unit());
            match at % columns % 5 {
                _ if v < 0.02 => f32::NAN,
                0 => (40.0 / (1.0 - u).powf(1.3)).round(),
                1 => 0.001 / (1.0 - u),
                2 => u * v,
                3 => (1.0 / (1.0 - u)).floor(),
                _ if v < 0.1 => (u * 60_000.0).floor(),
                _ => [443.0, 80.0, 53.0, 22.0][(u * 4.0) as usize],
            }
        })
        .collect();
    rows
}
