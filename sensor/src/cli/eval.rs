//! `eval`: scores against labels.

use std::{fs, io::Write, path::Path};

use serde_json::{Map, Value, json};

use super::{
    args::Eval,
    fault::{Fault, code},
    labels::is_classifier,
    setup::{Flags, Setup, output, style},
};
use crate::{
    config::Format,
    pipeline::Labels,
    score::{
        quality::{Quality, STEPS, curves, measure},
        rules::Rules,
    },
    sink::{
        escape::terminal,
        evaluation::{self, Evaluation, seconds_to_detect, sides},
        table::{Align, Style, Table},
    },
};

mod rows;

use rows::Rows;

pub(super) fn run(args: &Eval) -> Result<u8, Fault> {
    let flags = Flags::default()
        .timeouts(&args.timeouts)
        .format(args.printed.format);
    let setup = Setup::new(&args.common, &flags)?;
    let labels = match (&args.label, &args.rules) {
        (Some(_), Some(_)) => {
            return Err(Fault::new(code::USAGE, "give --label or --rules, not both"));
        }
        (label, None) => Labels::Column(label.clone().unwrap_or_else(|| "label".to_owned())),
        (None, Some(path)) => Labels::Rules(read_rules(path)?),
    };
    let mut rows = Rows::new(&labels);
    let mut by = String::new();
    let classifier = match args.model.name.as_deref() {
        Some(wanted) => Some(setup.model_path(Some(wanted))?).filter(|path| is_classifier(path)),
        None => None,
    };
    if let Some(model) = classifier {
        for path in &args.inputs.paths {
            by = rows.classified(&model, path, &labels)?;
        }
    } else if args.inputs.are_tables()? {
        for path in &args.inputs.paths {
            by = rows.table(&setup, args, path, &labels)?;
        }
    } else {
        by = rows.captures(&setup, args, &labels)?;
    }
    if rows.judged.is_empty() {
        return Err(Fault::new(
            code::NO_INPUT,
            "nothing to evaluate: no row in the input",
        ));
    }
    if let Some(threshold) = args.threshold {
        rows.threshold = threshold;
        for row in &mut rows.judged {
            row.alarm = row.score >= threshold;
        }
    }
    let quality = measure(&mut rows.judged);
    if let Some(path) = &args.report {
        report(args, path, &rows, &quality, by)?;
    }
    tell(&setup, args, &rows, &quality)
}

/// Rules that tell which flows are attacks.
pub(super) fn read_rules(path: &Path) -> Result<Rules, Fault> {
    let text =
        fs::read_to_string(path).map_err(|error| Fault::file(path, &error, code::NO_INPUT))?;
    Rules::parse(&text)
        .map_err(|what| Fault::new(code::CONFIG, format!("{}: {what}", path.display())))
}

fn report(
    args: &Eval,
    path: &Path,
    rows: &Rows,
    quality: &Quality,
    model: String,
) -> Result<(), Fault> {
    let inputs = args.inputs.paths.iter().map(|path| {
        path.file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned()
    });
    let mut out = output(path)?;
    evaluation::write(
        &mut out,
        &Evaluation {
            inputs: inputs.collect(),
            model,
            quality,
            curves: &curves(&rows.judged),
            threshold: rows.threshold,
            false_alarms_per_day: quality.false_alarms as f64 / rows.days(),
            confusion: &rows.confusion,
            planted: &rows.planted,
        },
    )
    .and_then(|()| out.flush())
    .map_err(|error| Fault::file(path, &error, code::FAILED))
}

fn tell(setup: &Setup, args: &Eval, rows: &Rows, quality: &Quality) -> Result<u8, Fault> {
    let per_day = quality.false_alarms as f64 / rows.days();
    let mut out = output(&args.printed.output.path)?;
    let known = |number: f64| {
        if number.is_finite() {
            json!(number)
        } else {
            Value::Null
        }
    };
    let found = rows.planted.iter().filter(|attack| attack.told > 0).count();
    let mut values = vec![
        ("roc_auc", known(quality.roc_auc)),
        ("pr_auc", known(quality.pr_auc)),
        ("precision", known(quality.precision)),
        ("recall", known(quality.recall)),
        ("f1", known(quality.f1)),
        ("threshold", known(rows.threshold)),
        ("rows", json!(quality.rows)),
        ("positives", json!(quality.positives)),
        ("false_alarms_per_day", known(per_day)),
    ];
    if !rows.planted.is_empty() {
        values.push(("attacks_planted", json!(rows.planted.len())));
        values.push(("attacks_found", json!(found)));
        values.push(("seconds_to_detect", known(seconds_to_detect(&rows.planted))));
    }
    match setup.config.output.format {
        Format::Json => {
            let mut object: Map<String, Value> = values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            let mut confusion: Map<String, Value> = Map::new();
            for ((label, called), count) in &rows.confusion {
                confusion.entry(label.clone()).or_insert_with(|| json!({}))[called] = json!(count);
            }
            object.insert("confusion".to_owned(), confusion.into());
            writeln!(out, "{:#}", Value::Object(object))?;
        }
        Format::Csv => {
            let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
            let numbers: Vec<_> = values
                .iter()
                .map(|(_, value)| match value {
                    Value::Null => String::new(),
                    value => value.to_string(),
                })
                .collect();
            writeln!(out, "{}\n{}", names.join(","), numbers.join(","))?;
        }
        Format::Table => {
            for (name, value) in values {
                let text = match value {
                    Value::Null => "not defined".to_owned(),
                    value => value
                        .as_f64()
                        .filter(|_| value.is_f64())
                        .map_or_else(|| value.to_string(), |number| format!("{number:.4}")),
                };
                writeln!(out, "{:>21}  {text}", name.replace('_', " "))?;
            }
            confusion(&mut out, rows, style(&args.printed.output.path))?;
            histogram(&mut out, quality)?;
        }
    }
    out.flush()?;
    Ok(0)
}

/// What was called what, where it is not too wide to be read.
fn confusion(out: &mut dyn Write, rows: &Rows, style: Style) -> Result<(), Fault> {
    const WIDEST: usize = 12;
    let (labels, called) = sides(&rows.confusion);
    if labels.len() < 2 || called.len() > WIDEST {
        return Ok(());
    }
    let shown: Vec<_> = called.iter().map(|name| terminal(name)).collect();
    let mut columns = vec![("label", Align::Left)];
    columns.extend(shown.iter().map(|name| (name.as_ref(), Align::Right)));
    let mut table = Table::new(&columns);
    for label in labels {
        let count = |name: &&str| rows.confusion.get(&(label.to_owned(), (*name).to_owned()));
        let cells = called
            .iter()
            .map(|name| count(name).map_or_else(String::new, u64::to_string));
        table.row(std::iter::once(label.to_owned()).chain(cells));
    }
    writeln!(out)?;
    table.write(out, "  ", style)?;
    Ok(())
}

/// Scores as text: a line for each step, ordinary and attack rows on a logarithmic scale.
fn histogram(out: &mut dyn Write, quality: &Quality) -> Result<(), Fault> {
    const WIDTH: f64 = 30.0;
    /// Steps of the measure in a line.
    const TOGETHER: usize = 3;
    let lines: Vec<[u64; 2]> = quality
        .histogram
        .chunks(TOGETHER)
        .map(|steps| {
            steps
                .iter()
                .fold([0; 2], |sum, step| [sum[0] + step[0], sum[1] + step[1]])
        })
        .collect();
    let most = lines.iter().flatten().copied().max().unwrap_or(1);
    let bar = |rows: u64| {
        let length = (rows as f64).ln_1p() / (most as f64).ln_1p() * WIDTH;
        "#".repeat(length.ceil() as usize)
    };
    writeln!(out, "\n  score       ordinary  {:30}      attack", "")?;
    let (least, greatest) = quality.range;
    for (step, [ordinary, attack]) in lines.iter().enumerate() {
        let from = least + (greatest - least) * (step * TOGETHER) as f64 / STEPS as f64;
        writeln!(
            out,
            "  {from:<8.4} {ordinary:>11}  {:30} {attack:>11}  {}",
            bar(*ordinary),
            bar(*attack)
        )?;
    }
    Ok(())
}
