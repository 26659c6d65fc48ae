//! Detection quality of forests over labelled tables: the experiment behind the defaults (docs/models.md).
//!
//! ```text
//! python3 bench/python/flow_tables.py ../shared/data /tmp/tables
//! cargo run --release -p model --example quality -- /tmp/tables [--seeds 5] [--only nsl] [--explain] [NAME=VALUE,...]...
//! ```
//! Each further argument is a configuration, settings by name on top of the defaults, e.g.
//! `shape=level-shared,range_share=1`. Prints ROC-AUC and average precision, means over the seeds.

use model::{Model, Rows, Schema, Settings};
use std::path::Path;

struct Task {
    name: String,
    schema: Schema,
    train: Rows,
    test: Rows,
    attack: Vec<bool>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args
        .next()
        .ok_or("usage: quality FOLDER [--seeds N] [--only PART] [SETTING=VALUE,...]...")?;
    let (mut seeds, mut only, mut configurations) = (5, String::new(), Vec::new());
    let mut explain = false;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seeds" => seeds = args.next().ok_or("--seeds wants a number")?.parse()?,
            "--explain" => explain = true,
            "--only" => only = args.next().ok_or("--only wants a part of a name")?,
            _ => configurations.push(arg),
        }
    }
    if configurations.is_empty() {
        configurations.push(String::new());
    }
    let mut names: Vec<String> = std::fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, std::io::Error>>()?;
    names.retain(|name| name.contains(&only));
    names.sort();
    let tasks: Vec<Task> = names
        .iter()
        .map(|name| read(&Path::new(&folder).join(name), name))
        .collect::<Result<_, _>>()?;
    print!("{:44}", "ROC-AUC/AP");
    tasks
        .iter()
        .for_each(|task| print!(" {:>13.13}", task.name));
    println!(" {:>13}", "network mean");
    for text in configurations {
        print!("{:44}", if text.is_empty() { "default" } else { &text });
        let (mut mean, mut network) = ((0.0, 0.0), 0.0);
        for task in &tasks {
            let (mut auc, mut ap) = (0.0, 0.0);
            for seed in 0..seeds {
                let model = Model::train(&task.train, &task.schema, &settings(&text, seed)?)?;
                let mut scores = vec![0.0; task.test.len()];
                model.scorer().score(&task.test, &mut scores);
                let (one, other) = areas(&scores, &task.attack);
                auc += one / seeds as f64;
                ap += other / seeds as f64;
            }
            print!(" {auc:>6.4}/{ap:<6.4}");
            if explain {
                explained(task, &settings(&text, 0)?)?;
            }
            if !task.name.starts_with("plain-") {
                mean = (mean.0 + auc, mean.1 + ap);
                network += 1.0;
            }
        }
        println!(" {:>6.4}/{:<6.4}", mean.0 / network, mean.1 / network);
    }
    Ok(())
}

/// How many alerts are ordinary again with so many columns put to what they are in a similar ordinary row.
fn explained(task: &Task, settings: &Settings) -> Result<(), Box<dyn std::error::Error>> {
    const MOST: usize = 16;
    let model = Model::train(&task.train, &task.schema, settings)?;
    let mut scores = vec![0.0; task.test.len()];
    model.scorer().score(&task.test, &mut scores);
    let mut alerts: Vec<usize> = (0..scores.len()).collect();
    alerts.retain(|&row| scores[row] >= model.threshold());
    let step = alerts.len().div_ceil(300).max(1);
    let mut needed = Vec::new();
    for &row in alerts.iter().step_by(step) {
        let why = model.counterfactual(task.test.row(row), MOST);
        needed.push(if why.suffices {
            why.columns.len()
        } else {
            MOST + 1
        });
    }
    print!("\n  {}: {} alerts", task.name, needed.len());
    for most in [1, 2, 3, 4, 6, 8, 12, MOST] {
        let share = needed.iter().filter(|&&count| count <= most).count() as f64;
        print!(", {:.3} with {most}", share / needed.len().max(1) as f64);
    }
    println!();
    Ok(())
}

/// The defaults with the settings named in `text`.
fn settings(text: &str, seed: u64) -> Result<Settings, Box<dyn std::error::Error>> {
    let mut value = serde_json::to_value(Settings {
        seed,
        ..Settings::default()
    })?;
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (name, setting) = pair.split_once('=').ok_or("a setting is NAME=VALUE")?;
        value[name] = serde_json::from_str(setting).unwrap_or_else(|_| setting.into());
    }
    Ok(serde_json::from_value(value)?)
}

fn read(folder: &Path, name: &str) -> Result<Task, Box<dyn std::error::Error>> {
    let schema: Schema = serde_json::from_slice(&std::fs::read(folder.join("schema.json"))?)?;
    let rows = |file: &str| -> Result<Rows, std::io::Error> {
        let bytes = std::fs::read(folder.join(file))?;
        let values = bytes
            .as_chunks()
            .0
            .iter()
            .map(|four| f32::from_le_bytes(*four))
            .collect();
        Ok(Rows {
            values,
            columns: schema.len(),
        })
    };
    Ok(Task {
        name: name.into(),
        train: rows("train.f32")?,
        test: rows("test.f32")?,
        attack: std::fs::read(folder.join("labels.u8"))?
            .iter()
            .map(|&label| label == 1)
            .collect(),
        schema,
    })
}

/// ROC-AUC and average precision; rows of equal score count as one step.
fn areas(scores: &[f32], attack: &[bool]) -> (f64, f64) {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let positives = attack.iter().filter(|&&attack| attack).count() as f64;
    let negatives = attack.len() as f64 - positives;
    let (mut hits, mut misses, mut auc, mut ap) = (0.0, 0.0, 0.0, 0.0);
    for step in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let found = step.iter().filter(|&&row| attack[row]).count() as f64;
        let wrong = step.len() as f64 - found;
        auc += wrong * (hits + found / 2.0);
        hits += found;
        misses += wrong;
        ap += found * hits / (hits + misses);
    }
    (auc / (positives * negatives), ap / positives)
}
