//! `train`, `predict` and `model show` for those who have labels: the boosted classifier.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
};

use model::{BoostSettings, Classifier};
use serde_json::json;

use super::{
    args::Train,
    eval::read_rules,
    fault::{Fault, code},
    setup::{Setup, is_stdout, output, stdout, write_model},
};
use crate::{
    config::Format,
    features,
    pipeline::{LabelledTable, Labels},
    score::{count, store},
    sink::json::number,
};

mod predict;

pub(super) use predict::predict;

/// Where a classifier is kept unless a file is named. It is no version in the store: `live` and `run` want a forest.
const FILE: &str = "classifier.model";

/// Whether this file is a classifier, by its first bytes.
pub(super) fn is_classifier(path: &Path) -> bool {
    let mut start = [0; 64];
    File::open(path)
        .and_then(|mut file| file.read(&mut start))
        .is_ok_and(|read| Classifier::begins(&start[..read]))
}

/// `train --labels`, `train --rules`.
pub(super) fn train(setup: &Setup, args: &Train) -> Result<u8, Fault> {
    let labels = match (&args.labels, &args.rules) {
        (Some(column), None) => Labels::Column(column.clone()),
        (None, Some(path)) => Labels::Rules(read_rules(path)?),
        _ => {
            return Err(Fault::new(
                code::USAGE,
                "give --labels or --rules, not both",
            ));
        }
    };
    let table = LabelledTable::read(&args.inputs.paths, &labels, &args.ignored, args.two_classes)?;
    let model = &setup.config.model;
    let settings = BoostSettings {
        rounds: args
            .training
            .trees
            .map_or(BoostSettings::default().rounds, |trees| trees as usize),
        contamination: model.contamination,
        holdout: model.holdout,
        seed: model.seed,
        threads: model.threads,
        ..BoostSettings::default()
    };
    let classifier = Classifier::train(table.data(), &table.schema, &settings)
        .map_err(|error| Fault::new(code::FAILED, format!("cannot train: {error}")))?;
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| setup.folder().join(FILE));
    write_model(&path, &classifier.to_bytes())?;
    if !table.left_out.is_empty() {
        setup.note(&format!("not learned from: {}", table.left_out.join(", ")));
    }
    if is_stdout(&path) {
        return Ok(0);
    }
    let info = classifier.info();
    let mut out = output(&stdout())?;
    if setup.config.output.format == Format::Json {
        let value = json!({
            "model": path.display().to_string(),
            "digest": classifier.digest(),
            "rows": table.rows.len(),
            "features": classifier.schema().len(),
            "classes": info.classes,
            "class_rows": info.class_rows,
            "rounds": info.rounds,
            "trees": classifier.trees(),
            "threshold": number(classifier.threshold()),
        });
        writeln!(out, "{value:#}")?;
    } else {
        writeln!(
            out,
            "{}: {} rounds of boosting on {} rows, {} features; threshold {} (at most {} % of ordinary rows are above)",
            path.display(),
            info.rounds,
            count(table.rows.len() as f64),
            classifier.schema().len(),
            classifier.threshold(),
            info.settings.contamination * 100.0,
        )?;
        for (name, rows) in info.classes.iter().zip(&info.class_rows) {
            writeln!(out, "  {name}: {}", count(*rows as f64))?;
        }
    }
    out.flush()?;
    Ok(0)
}

/// `model show` of a classifier.
pub(super) fn describe(setup: &Setup, path: &Path, to: &Path) -> Result<u8, Fault> {
    let classifier = store::load_classifier(path)?;
    let info = classifier.info();
    let mut out = output(to)?;
    if setup.config.output.format == Format::Json {
        let value = json!({
            "path": path.display().to_string(),
            "kind": "boosting",
            "digest": classifier.digest(),
            "schema_digest": classifier.schema().digest(),
            "threshold": number(classifier.threshold()),
            "trees": classifier.trees(),
            "info": info,
            "columns": classifier.schema().columns,
        });
        writeln!(out, "{value:#}")?;
        out.flush()?;
        return Ok(0);
    }
    let fits = if classifier.accepts(&features::schema()).is_ok() {
        "the features of this program"
    } else {
        "columns of another table"
    };
    let settings = &info.settings;
    let classes: Vec<String> = info
        .classes
        .iter()
        .zip(&info.class_rows)
        .map(|(name, rows)| format!("{name} {}", count(*rows as f64)))
        .collect();
    let mut important: Vec<(usize, f64)> = info.importance.iter().copied().enumerate().collect();
    important.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let important: Vec<String> = important
        .into_iter()
        .take(8)
        .filter(|(_, share)| *share > 0.0)
        .map(|(column, share)| {
            format!(
                "{} {:.0} %",
                classifier.schema().columns[column].name,
                share * 100.0
            )
        })
        .collect();
    let lines = [
        ("file", path.display().to_string()),
        ("digest", classifier.digest()),
        ("made by", info.created_by.clone()),
        (
            "kind",
            "boosted trees (classifier, trained with labels)".to_owned(),
        ),
        ("features", format!("{}, {fits}", classifier.schema().len())),
        ("schema", classifier.schema().digest()),
        (
            "boosting",
            format!(
                "{} trees in {} rounds of at most {}, {} leaves, shrinkage {}, seed {}",
                classifier.trees(),
                info.rounds,
                settings.rounds,
                settings.leaves,
                settings.shrinkage,
                settings.seed
            ),
        ),
        ("classes", classes.join(", ")),
        ("important", important.join(", ")),
        (
            "held out",
            match info.held_out_loss {
                Some(loss) => format!(
                    "{} rows; logarithmic loss {loss}",
                    count(info.held_out as f64)
                ),
                None => {
                    "nothing: too few rows; it was not stopped early and not calibrated".to_owned()
                }
            },
        ),
        (
            "threshold",
            format!(
                "{} (contamination {}, {:?})",
                classifier.threshold(),
                settings.contamination,
                info.calibration
            ),
        ),
    ];
    for (name, text) in lines {
        writeln!(out, "{name:>13}  {}", crate::sink::escape::terminal(&text))?;
    }
    out.flush()?;
    Ok(0)
}
