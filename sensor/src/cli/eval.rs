//! `eval`: scores against labels.

use std::{fs, io::Write, path::Path};

use serde_json::{Value, json};

use super::{
    args::Eval,
    fault::{Fault, code},
    setup::{Flags, Setup, output, show},
};
use crate::{
    config::Format,
    features::model_row,
    pipeline::{self, is_table},
    score::{
        Judge,
        quality::{Judged, Quality, measure},
        rules::{Rules, Talk},
    },
    time::Stamp,
};

/// Where labels come from.
enum Labels {
    Column(String),
    Rules(Rules),
}

/// Rows with the time they span.
#[derive(Default)]
struct Rows {
    judged: Vec<Judged>,
    first: Option<u64>,
    last: u64,
    threshold: f64,
}

impl Rows {
    fn span(&mut self, start: u64, end: u64) {
        self.first = Some(self.first.map_or(start, |first| first.min(start)));
        self.last = self.last.max(end);
    }

    /// Days of traffic; NaN where the table has no times.
    fn days(&self) -> f64 {
        self.first.map_or(f64::NAN, |first| {
            crate::time::between(first, self.last) / 86_400.0
        })
    }
}

pub(super) fn run(args: &Eval) -> Result<u8, Fault> {
    let flags = Flags::default()
        .timeouts(&args.timeouts)
        .format(args.format);
    let setup = Setup::new(&args.common, &flags)?;
    let labels = match (&args.label, &args.rules) {
        (Some(_), Some(_)) => {
            return Err(Fault::new(code::USAGE, "give --label or --rules, not both"));
        }
        (label, None) => Labels::Column(label.clone().unwrap_or_else(|| "label".to_owned())),
        (None, Some(path)) => Labels::Rules(read_rules(path)?),
    };
    let mut rows = Rows {
        threshold: f64::NAN,
        ..Rows::default()
    };
    let tables = args.inputs.iter().filter(|path| is_table(path)).count();
    if tables == 0 {
        captures(&setup, args, &labels, &mut rows)?;
    } else {
        for path in &args.inputs {
            table(&setup, args, path, &labels, &mut rows)?;
        }
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
    tell(&setup, args, &rows, &quality)
}

pub(super) fn read_rules(path: &Path) -> Result<Rules, Fault> {
    let text =
        fs::read_to_string(path).map_err(|error| Fault::file(path, &error, code::NO_INPUT))?;
    Rules::parse(&text)
        .map_err(|what| Fault::new(code::CONFIG, format!("{}: {what}", path.display())))
}

fn captures(setup: &Setup, args: &Eval, labels: &Labels, rows: &mut Rows) -> Result<(), Fault> {
    let Labels::Rules(rules) = labels else {
        return Err(Fault::new(
            code::USAGE,
            "captures have no column of labels: give --rules FILE, or predictions with labels",
        ));
    };
    let model = setup.model(args.model.as_deref())?;
    let bar = setup.progress("scoring", &args.inputs);
    let summary = pipeline::score_capture(
        &args.inputs,
        &setup.stages(),
        &model,
        &mut |tick| show(&bar, tick),
        &mut |scored, _| {
            let record = &scored.record;
            rows.span(record.start(), record.last());
            rows.judged.push(Judged {
                score: f64::from(scored.score),
                alarm: scored.anomalous,
                attack: rules.matches(&Talk {
                    hosts: [record.source(), record.destination()],
                    port: record.destination_port(),
                    start: record.start(),
                    end: record.last(),
                }),
            });
            Ok(())
        },
    );
    bar.finish_and_clear();
    setup.damage(&summary?.pass);
    rows.threshold = f64::from(model.threshold());
    Ok(())
}

fn table(
    setup: &Setup,
    args: &Eval,
    path: &Path,
    labels: &Labels,
    rows: &mut Rows,
) -> Result<(), Fault> {
    let mut table = pipeline::Table::open(path)?;
    let missing = |column: &str| {
        Fault::new(
            code::FAILED,
            format!(
                "{}: no column `{column}`; it has {}",
                path.display(),
                some(&table.columns)
            ),
        )
    };
    let label = match labels {
        Labels::Column(name) => Some(table.position(name).ok_or_else(|| missing(name))?),
        Labels::Rules(_) => None,
    };
    let place = |name: &str| table.position(name);
    let (start, end) = (place("start_time"), place("end_time"));
    let (source, destination, port) = (place("src_ip"), place("dst_ip"), place("dst_port"));
    let (score_at, prediction) = (place("score"), place("prediction"));
    let scored = score_at.is_some() && args.model.is_none();
    let model = if scored {
        None
    } else {
        table.require_features()?;
        Some(setup.model(args.model.as_deref())?)
    };
    let mut judge = Judge::default();
    let mut line = 1_u64;
    loop {
        line += 1;
        let Some(record) = table.next_record()? else {
            break;
        };
        let field = |at: Option<usize>| at.and_then(|at| record.get(at)).unwrap_or("");
        let time = |at| Stamp::parse(field(at)).map(|stamp| stamp.0);
        let (began, ended) = (time(start), time(end));
        let attack = match labels {
            Labels::Column(_) => is_attack(field(label)),
            Labels::Rules(rules) => {
                let host = |at| field(at).parse().ok();
                let (Some(from), Some(to), Some(began)) = (host(source), host(destination), began)
                else {
                    return Err(Fault::new(
                        code::FAILED,
                        format!(
                            "{}: line {line}: no addresses and times to match rules with",
                            path.display()
                        ),
                    ));
                };
                rules.matches(&Talk {
                    hosts: [from, to],
                    port: field(port).parse().unwrap_or(0),
                    start: began,
                    end: ended.unwrap_or(began),
                })
            }
        };
        if let Some(began) = began {
            rows.span(began, ended.unwrap_or(began));
        }
        let given = field(score_at).parse::<f64>();
        let alarmed = field(prediction) == "anomaly";
        let (score, alarm) = match &model {
            None => {
                let score = given.map_err(|_| {
                    Fault::new(
                        code::FAILED,
                        format!(
                            "{}: line {line}: no number in column `score`",
                            path.display()
                        ),
                    )
                })?;
                (score, alarmed)
            }
            Some(model) => {
                let score = judge.score_values(model, &model_row(&table.row()?))[0];
                (f64::from(score), score >= model.threshold())
            }
        };
        // The threshold of a table is the least score that was alarmed.
        match &model {
            Some(model) => rows.threshold = f64::from(model.threshold()),
            None if alarm => rows.threshold = rows.threshold.min(score),
            None => {}
        }
        rows.judged.push(Judged {
            score,
            alarm,
            attack,
        });
    }
    Ok(())
}

fn some(columns: &[String]) -> String {
    let shown: Vec<&str> = columns.iter().take(20).map(String::as_str).collect();
    let more = columns.len().saturating_sub(shown.len());
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whether the value of a label column names an attack.
fn is_attack(label: &str) -> bool {
    const ORDINARY: [&str; 9] = [
        "",
        "0",
        "0.0",
        "false",
        "no",
        "benign",
        "normal",
        "background",
        "-",
    ];
    !ORDINARY.contains(
        &label
            .trim()
            .trim_end_matches('.')
            .to_ascii_lowercase()
            .as_str(),
    )
}

fn tell(setup: &Setup, args: &Eval, rows: &Rows, quality: &Quality) -> Result<u8, Fault> {
    let per_day = quality.false_alarms as f64 / rows.days();
    let mut out = output(&args.output)?;
    let known = |number: f64| {
        if number.is_finite() {
            json!(number)
        } else {
            Value::Null
        }
    };
    let values = [
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
    match setup.config.output.format {
        Format::Json => {
            let object: serde_json::Map<_, _> = values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
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
            histogram(&mut out, quality)?;
        }
    }
    out.flush()?;
    Ok(0)
}

/// Scores as text: a line for each step, ordinary and attack rows on a logarithmic scale.
fn histogram(out: &mut dyn Write, quality: &Quality) -> Result<(), Fault> {
    const WIDTH: f64 = 30.0;
    let most = quality
        .histogram
        .iter()
        .flatten()
        .copied()
        .max()
        .unwrap_or(1);
    let bar = |rows: u64| {
        let length = (rows as f64).ln_1p() / (most as f64).ln_1p() * WIDTH;
        "#".repeat(length.ceil() as usize)
    };
    writeln!(out, "\n  score       ordinary  {:30}      attack", "")?;
    let (least, greatest) = quality.range;
    for (step, [ordinary, attack]) in quality.histogram.iter().enumerate() {
        let from = least + (greatest - least) * step as f64 / 20.0;
        writeln!(
            out,
            "  {from:<8.4} {ordinary:>11}  {:30} {attack:>11}  {}",
            bar(*ordinary),
            bar(*attack)
        )?;
    }
    Ok(())
}
