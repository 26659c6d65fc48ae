//! Labelled flow tables: the forest beside scikit-learn's, on the same rows.
//!
//! Tasks are those of docs/models.md: what is trained on has no labels; *clean* trains on half of the ordinary rows,
//! *hidden* on the same with 5 % attacks among them, the others on all that is ranked. The defaults were chosen with
//! CIC, KDD99, NSL and the UNSW backdoors in view; the other UNSW attacks were not looked at. Each task has a second line:
//! the forest with an autoencoder of weight [`BESIDE`], whose form was chosen on the tasks marked so. The tasks that
//! the goal for the mean is about, seven of network traffic, have a line for their mean.

use std::path::{Path, PathBuf};

use model::{Column, Model, Rows, Schema, Settings, Shape, Transform};
use sensor::pipeline::{LabelledTable, Labels};

use super::{Options, Part, QualityError, Ranking, ResultRow, npz};

/// Weight of the autoencoder in the second line of each task.
const BESIDE: f32 = 0.3;
/// Tasks whose mean has a goal of its own, by the beginning of their names.
const NETWORK: [&str; 5] = [
    "kdd99",
    "nsl-kdd",
    "unsw-nb15, Backdoor",
    "cic-ids2017, clean",
    "cic-ids2017, 5 %",
];
/// That goal: ROC-AUC and average precision.
const NETWORK_GOAL: Ranking = Ranking {
    roc_auc: 0.950,
    pr_auc: 0.72,
};
/// Standard sets with a goal, as NumPy archives: the name, and the goal.
const STANDARD: [(&str, &str, (f64, f64)); 3] = [
    ("kdd http", "16_http.npz", (0.999, 0.95)),
    ("kdd smtp", "34_smtp.npz", (0.91, 0.30)),
    ("shuttle", "32_shuttle.npz", (0.997, 0.975)),
];

/// What is trained on, and what is ranked.
#[derive(Clone, Copy)]
enum Split {
    /// Half of the ordinary rows; everything else.
    Clean,
    /// The same with attacks, 5 % of all, among them; everything else.
    Hidden,
    /// Everything; the same.
    All,
}

/// A task.
struct Task {
    set: String,
    split: Split,
    part: Part,
    /// Rows of these classes are attacks; rows of others but 0 are left out.
    attacks: Vec<u32>,
    /// Attacks taken, at most this share of the ordinary rows.
    most: f64,
    goal: (f64, f64),
}

/// Measures all tables.
pub(crate) fn measure(data: &Path, options: &Options) -> Result<Vec<ResultRow>, QualityError> {
    let folder = data.join("labelled-flow-tables");
    if !folder.is_dir() {
        return Err(QualityError::Absent(folder));
    }
    let mut rows = Vec::new();
    let mut run = |paths: &[PathBuf], label: &str, tasks: &dyn Fn(&LabelledTable) -> Vec<Task>| {
        let labels = Labels::Column(label.to_owned());
        let table = LabelledTable::read(paths, &labels, &[], false)
            .map_err(|error| QualityError::Sensor(error.to_string()))?;
        for task in tasks(&table) {
            rows.extend(one(&table, &task, options)?);
        }
        Ok::<(), QualityError>(())
    };
    let every = |table: &LabelledTable| (1..table.names.len() as u32).collect::<Vec<_>>();
    let task = |set: &str, split, attacks, goal| Task {
        set: set.to_owned(),
        split,
        part: Part::ChosenOn,
        attacks,
        most: 1e9,
        goal,
    };
    run(&[folder.join("kddcup99-10percent.gz")], "class", &|table| {
        let count = |class: u32| table.classes.iter().filter(|one| **one == class).count();
        let rare = every(table)
            .into_iter()
            .filter(|class| count(*class) < 2000);
        let mut one_percent = task("kdd99, 1 % attacks", Split::All, every(table), (0.99, 0.70));
        one_percent.most = 1.0 / 99.0;
        vec![
            one_percent,
            task(
                "kdd99, rare attacks",
                Split::All,
                rare.collect(),
                (0.97, 0.50),
            ),
        ]
    })?;
    run(
        &[folder.join("nsl-kdd-train-20percent.txt.xz")],
        "class",
        &|table| {
            vec![
                task("nsl-kdd, clean", Split::Clean, every(table), (0.970, 0.972)),
                task(
                    "nsl-kdd, 5 % hidden",
                    Split::Hidden,
                    every(table),
                    (0.965, 0.968),
                ),
            ]
        },
    )?;
    run(
        &[folder.join("unsw-nb15-even.csv.xz")],
        "attack_cat",
        &|table| {
            let class = |name: &str| table.names.iter().position(|one| one.trim() == name);
            let mut tasks = vec![task(
                "unsw-nb15, Backdoor",
                Split::All,
                class("Backdoor")
                    .map(|class| class as u32)
                    .into_iter()
                    .collect(),
                (0.90, 0.55),
            )];
            for (class, name) in table.names.iter().enumerate().skip(1) {
                if name.trim() != "Backdoor" {
                    let set = format!("unsw-nb15, {}, clean", name.trim());
                    let mut other =
                        task(&set, Split::Clean, vec![class as u32], (f64::NAN, f64::NAN));
                    other.part = Part::Confirmed;
                    tasks.push(other);
                }
            }
            tasks
        },
    )?;
    let cic = folder.join("cicids2017-improved");
    let fault = |error: std::io::Error| QualityError::Data {
        path: cic.clone(),
        what: error.to_string(),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&cic).map_err(fault)? {
        files.push(entry.map_err(fault)?.path());
    }
    files.sort();
    run(&files, "Label", &|table| {
        vec![
            task(
                "cic-ids2017, clean",
                Split::Clean,
                every(table),
                (0.92, 0.72),
            ),
            task(
                "cic-ids2017, 5 % hidden",
                Split::Hidden,
                every(table),
                (0.90, 0.66),
            ),
        ]
    })?;
    rows.extend(means(&rows));
    for (set, file, goal) in STANDARD {
        let path = data.join("isolation-forest-benchmarks").join(file);
        if path.is_file() {
            rows.extend(one(
                &standard(&path),
                &task(set, Split::All, vec![1], goal),
                options,
            )?);
        }
    }
    Ok(rows)
}

/// A standard set: columns of numbers that nobody has named.
fn standard(path: &Path) -> LabelledTable {
    let arrays = npz::read(path);
    let (x, y) = (&arrays["X"], &arrays["y"]);
    let columns = x.shape[1];
    let column = |at: usize| Column::new(format!("x{at}"), "1", Transform::Linear);
    LabelledTable {
        schema: Schema::new((0..columns).map(column).collect()),
        rows: Rows {
            values: x.values.iter().map(|value| *value as f32).collect(),
            columns,
        },
        classes: y.values.iter().map(|class| *class as u32).collect(),
        names: vec!["ordinary".to_owned(), "outlier".to_owned()],
        words: vec![Vec::new(); columns],
        left_out: Vec::new(),
    }
}

/// The mean of the network tasks, a line for each model.
fn means(rows: &[ResultRow]) -> Vec<ResultRow> {
    let mean = |rankings: &[Ranking]| {
        let count = rankings.len() as f64;
        let sum = |of: &dyn Fn(&Ranking) -> f64| rankings.iter().map(of).sum::<f64>() / count;
        Ranking {
            roc_auc: sum(&|one| one.roc_auc),
            pr_auc: sum(&|one| one.pr_auc),
        }
    };
    let mut results = Vec::new();
    for model in [FOREST, ENSEMBLE] {
        let network: Vec<&ResultRow> = rows
            .iter()
            .filter(|row| row.model == model)
            .filter(|row| NETWORK.iter().any(|name| row.set.starts_with(name)))
            .collect();
        let ours: Vec<Ranking> = network.iter().filter_map(|row| row.ours).collect();
        let peers: Vec<&(String, Ranking)> =
            network.iter().filter_map(|row| row.peer.as_ref()).collect();
        let set = format!("mean of {} network tasks", ours.len());
        let mut row = ResultRow::new(set, model, Part::ChosenOn);
        row.ours = Some(mean(&ours));
        row.peer = peers.first().map(|(name, _)| {
            let of: Vec<Ranking> = peers.iter().map(|(_, ranking)| *ranking).collect();
            (name.clone(), mean(&of))
        });
        row.goal = Some(NETWORK_GOAL);
        results.push(row);
    }
    results
}

const FOREST: &str = "forest";
const ENSEMBLE: &str = "forest + autoencoder";

fn one(
    table: &LabelledTable,
    task: &Task,
    options: &Options,
) -> Result<[ResultRow; 2], QualityError> {
    // In an order drawn once for all seeds: the split belongs to the task.
    let mut order: Vec<usize> = (0..table.rows.len()).collect();
    order.sort_by_key(|at| super::boosting::hash(*at as u64));
    let (mut ordinary, mut attacks): (Vec<usize>, Vec<usize>) = (order.into_iter())
        .filter(|at| table.classes[*at] == 0 || task.attacks.contains(&table.classes[*at]))
        .partition(|at| table.classes[*at] == 0);
    attacks.truncate((ordinary.len() as f64 * task.most) as usize);
    let train: Vec<usize> = match task.split {
        Split::All => ordinary.iter().chain(&attacks).copied().collect(),
        Split::Clean => ordinary.drain(..ordinary.len() / 2).collect(),
        Split::Hidden => {
            let half = ordinary.len() / 2;
            let hidden = attacks.drain(..attacks.len().min(half / 19));
            ordinary.drain(..half).chain(hidden).collect()
        }
    };
    let truth: Vec<bool> = (0..ordinary.len() + attacks.len())
        .map(|at| at >= ordinary.len())
        .collect();
    ordinary.append(&mut attacks);
    let rows = |places: &[usize]| {
        let mut rows = Rows::with_columns(table.rows.columns);
        places.iter().for_each(|at| rows.push(table.rows.row(*at)));
        rows
    };
    let (train, test) = (rows(&train), rows(&ordinary));
    let [forest, ensemble] = scores(&table.schema, &train, &test, options.seeds)?;
    let mut row = ResultRow::new(task.set.clone(), FOREST, task.part);
    row.rows = test.len() as u64;
    row.attacks = truth.iter().filter(|attack| **attack).count() as u64;
    row.ours = Some(Ranking::mean(&forest, &truth));
    if let Some(peer) = &options.peer {
        let theirs = peer.isolation_forest(&train, &test, options.seeds)?;
        row.peer = Some(("scikit-learn".to_owned(), Ranking::mean(&theirs, &truth)));
    }
    let (roc_auc, pr_auc) = task.goal;
    row.goal = (!roc_auc.is_nan()).then_some(Ranking { roc_auc, pr_auc });
    let mut beside = row.clone();
    beside.model = ENSEMBLE;
    beside.ours = Some(Ranking::mean(&ensemble, &truth));
    Ok([row, beside])
}

/// Scores of the test rows by the forest and by the forest with an autoencoder, for each seed; seeds are shared among
/// the machine's cores.
fn scores(
    schema: &Schema,
    train: &Rows,
    test: &Rows,
    seeds: u32,
) -> Result<[Vec<Vec<f32>>; 2], QualityError> {
    let score = |seed: u32, autoencoder: f32| {
        let settings = Settings {
            seed: u64::from(seed),
            shape: Shape::Ordinary,
            autoencoder,
            threads: 1,
            ..Settings::default()
        };
        let model = Model::train(train, schema, &settings)?;
        let mut scores = vec![0.0; test.len()];
        model.scorer().score(test, &mut scores);
        Ok::<_, model::TrainError>(scores)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let all: Vec<u32> = (0..seeds).collect();
    let share = all.len().div_ceil(cores).max(1);
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = all
            .chunks(share)
            .map(|seeds| {
                let both = |&seed: &u32| Ok([score(seed, 0.0)?, score(seed, BESIDE)?]);
                scope.spawn(move || seeds.iter().map(both).collect::<Result<Vec<_>, _>>())
            })
            .collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().expect("a worker does not panic")
        };
        workers
            .into_iter()
            .map(join)
            .collect::<Result<Vec<_>, model::TrainError>>()
    })?;
    let (forest, ensemble) = parts.into_iter().flatten().map(|[a, b]| (a, b)).unzip();
    Ok([forest, ensemble])
}
