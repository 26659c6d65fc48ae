//! `predict` with a classifier.

use std::{io::Write, path::Path};

use ::csv::StringRecord;
use model::Classifier;
use serde_json::{Map, Value};

use super::super::{
    args::Predict,
    fault::{Fault, code},
    predict::FILE,
    setup::{Setup, is_stdout, output},
};
use crate::{
    config::Format,
    pipeline::{Encoder, Foreign},
    score::{Severity, count, several, store},
    sink::{
        csv::{VERDICT_COLUMNS, push_text, push_verdict_parts},
        json::number,
    },
};

/// The column that predictions of a classifier have besides [`VERDICT_COLUMNS`].
const CLASS_COLUMN: &str = "predicted_class";

/// `predict` on tables: every column, then the verdict and the class.
pub(in crate::cli) fn predict(setup: &Setup, args: &Predict, model: &Path) -> Result<(), Fault> {
    let classifier = store::load_classifier(model)?;
    let format = args.table.form();
    if format == Format::Table {
        return Err(Fault::new(code::USAGE, "a classifier gives csv or json"));
    }
    let path = args.table.path(setup.folder(), FILE);
    let mut out: Option<Box<dyn Write>> = None;
    let mut header: Vec<String> = Vec::new();
    let (mut rows, mut alarms) = (0, 0);
    for input in &args.inputs.paths {
        let table = Foreign::read(input)?;
        let encoder = Encoder::of(&table, &classifier)?;
        let kept: Vec<usize> = (0..table.columns.len())
            .filter(|at| {
                let name = table.columns[*at].as_str();
                !VERDICT_COLUMNS.contains(&name) && name != CLASS_COLUMN
            })
            .collect();
        let columns: Vec<String> = kept.iter().map(|at| table.columns[*at].clone()).collect();
        if out.is_none() {
            let mut opened = output(&path)?;
            if format == Format::Csv {
                let mut line = String::new();
                for name in &columns {
                    push_text(&mut line, name);
                    line.push(',');
                }
                writeln!(opened, "{line}{},{CLASS_COLUMN}", VERDICT_COLUMNS.join(","))?;
            }
            header.clone_from(&columns);
            out = Some(opened);
        } else if header != columns {
            return Err(Fault::new(
                code::FAILED,
                format!("{}: other columns than the first table's", input.display()),
            ));
        }
        let Some(out) = &mut out else { continue };
        let mut batch = Batch::new(&classifier, &header, format);
        table.each(|record| {
            encoder.push(record, &mut batch.values);
            batch.records.push(
                kept.iter()
                    .map(|at| record.get(*at).unwrap_or(""))
                    .collect(),
            );
            rows += 1;
            if batch.records.len() == BATCH {
                alarms += batch.write(out)?;
            }
            Ok::<(), Fault>(())
        })?;
        alarms += batch.write(out)?;
    }
    if let Some(mut out) = out {
        out.flush()?;
    }
    if !is_stdout(&path) {
        setup.note(&format!(
            "{}: {}, {} of them called attacks",
            path.display(),
            several(f64::from(rows), "row"),
            count(alarms as f64)
        ));
    }
    Ok(())
}

/// Rows scored at once.
const BATCH: usize = 4096;

struct Batch<'a> {
    classifier: &'a Classifier,
    header: &'a [String],
    format: Format,
    values: Vec<f32>,
    records: Vec<StringRecord>,
}

impl<'a> Batch<'a> {
    fn new(classifier: &'a Classifier, header: &'a [String], format: Format) -> Self {
        Self {
            classifier,
            header,
            format,
            values: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Writes what was collected; how many rows were alarmed.
    fn write(&mut self, out: &mut dyn Write) -> std::io::Result<u64> {
        let (width, names) = (
            self.classifier.schema().len(),
            &self.classifier.info().classes,
        );
        let shares = self.classifier.probabilities(&self.values);
        let mut scores = vec![0.0; self.records.len()];
        self.classifier.score(&self.values, &mut scores);
        let mut alarms = 0;
        let mut line = String::new();
        let each = self
            .records
            .iter()
            .zip(self.values.chunks_exact(width))
            .zip(shares.chunks_exact(names.len()).zip(&scores));
        for ((record, row), (shares, score)) in each {
            let p_value = self.classifier.p_value(*score);
            let alarm = *score >= self.classifier.threshold();
            alarms += u64::from(alarm);
            let severity = Severity::of(p_value, alarm).name();
            let most = (1..names.len()).fold(0, |most, class| {
                if shares[class] > shares[most] {
                    class
                } else {
                    most
                }
            });
            let reasons = if alarm {
                reasons(self.classifier, row)
            } else {
                String::new()
            };
            if self.format == Format::Json {
                let mut object: Map<String, Value> = self
                    .header
                    .iter()
                    .cloned()
                    .zip(record.iter().map(Value::from))
                    .collect();
                let probabilities: Map<String, Value> = names
                    .iter()
                    .cloned()
                    .zip(shares.iter().map(|share| number(*share)))
                    .collect();
                object.insert("score".to_owned(), number(*score));
                object.insert("p_value".to_owned(), p_value.into());
                object.insert("severity".to_owned(), severity.into());
                object.insert(
                    "prediction".to_owned(),
                    if alarm { "anomaly" } else { "normal" }.into(),
                );
                object.insert("reasons".to_owned(), reasons.into());
                object.insert(CLASS_COLUMN.to_owned(), names[most].clone().into());
                object.insert("probabilities".to_owned(), probabilities.into());
                writeln!(out, "{}", Value::Object(object))?;
                continue;
            }
            line.clear();
            for text in record {
                push_text(&mut line, text);
                line.push(',');
            }
            push_verdict_parts(&mut line, *score, p_value, alarm, severity, &reasons);
            line.push(',');
            push_text(&mut line, &names[most]);
            writeln!(out, "{line}")?;
        }
        self.values.clear();
        self.records.clear();
        Ok(alarms)
    }
}

/// The three columns that spoke most for an attack: value, and by what factor each raised its odds.
fn reasons(classifier: &Classifier, row: &[f32]) -> String {
    let mut moved: Vec<(usize, f32)> = classifier
        .contributions(row)
        .into_iter()
        .enumerate()
        .collect();
    moved.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let words = &classifier.info().words;
    let text = |&(column, moved): &(usize, f32)| {
        let value = row[column];
        let word = words.get(column).filter(|words| !words.is_empty());
        let value = match word {
            _ if value.is_nan() => "missing".to_owned(),
            Some(words) => words
                .get(value as usize)
                .cloned()
                .unwrap_or_else(|| "a word not seen before".to_owned()),
            None => value.to_string(),
        };
        format!(
            "{} is {value} (odds x {:.3})",
            classifier.schema().columns[column].name,
            f64::from(moved).exp()
        )
        .replace(".000)", ")")
    };
    let spoke = moved.iter().take(3).filter(|(_, moved)| *moved > 0.0);
    spoke.map(text).collect::<Vec<_>>().join(" | ")
}
