//! `predict`: verdicts for captures or tables.

use std::{io::Write, path::Path};

use model::{Model, OnlineQuantile};
use serde_json::{Map, Value};

use super::{
    args::Predict,
    draft::Draft,
    fault::{Fault, code},
    labels,
    setup::{Flags, Setup, is_stdout, show, style},
};
use crate::{
    config::Format,
    features::{Row, is_judged},
    flow::key_address,
    pipeline::{self, TalkColumns},
    score::{Judge, RateControl, Severity, Teacher, count, explain, rules::Talk},
    sink::{
        csv::{VERDICT_COLUMNS, push_text, push_verdict_parts, reasons_text},
        flows::FlowSink,
    },
};

/// Name of the file with predictions, unless another is named.
pub(super) const FILE: &str = "predictions";

pub(super) fn run(args: &Predict) -> Result<u8, Fault> {
    let flags = Flags::default()
        .timeouts(&args.timeouts)
        .alerts(&args.alerts);
    let setup = Setup::new(&args.common, &flags)?.ending_when_told()?;
    let model = setup.model_path(args.model.name.as_deref())?;
    if labels::is_classifier(&model) {
        return labels::predict(&setup, args, &model).map(|()| 0);
    }
    let model = setup.model(args.model.name.as_deref())?;
    let format = args.table.form();
    let path = args.table.path(setup.folder(), FILE);
    let (rows, anomalous, ended) = if args.inputs.are_tables()? {
        let (rows, anomalous) = from_tables(&setup, args, &model, format, &path)?;
        (rows, anomalous, 0)
    } else {
        captures(&setup, args, &model, format, &path)?
    };
    if !is_stdout(&path) {
        setup.note(&format!(
            "{}: {} flow records, {} of them anomalous",
            path.display(),
            count(rows as f64),
            count(anomalous as f64)
        ));
    }
    Ok(ended)
}

fn captures(
    setup: &Setup,
    args: &Predict,
    model: &Model,
    format: Format,
    path: &Path,
) -> Result<(u64, u64, u8), Fault> {
    let failed = |error| Fault::file(path, &error, code::FAILED);
    let bar = setup.progress("scoring", &args.inputs.paths);
    pipeline::check(&args.inputs.paths)?;
    let columnar = args.table.is_columnar(path);
    let (draft, out): (Draft, Box<dyn Write>) = match columnar {
        true => (Draft::new(path)?, Box::new(std::io::sink())),
        false => Draft::written(path)?,
    };
    let mut sink = match columnar {
        true => FlowSink::parquet(draft.path(), true),
        false => FlowSink::new(out, format, true),
    }
    .map_err(failed)?;
    let summary = pipeline::score_capture(
        &args.inputs.paths,
        &setup.stages(),
        model,
        &mut |tick| show(&bar, tick),
        &mut |scored, _| Ok(sink.scored(scored)?),
    );
    bar.finish_and_clear();
    let summary = summary.map_err(|error| Fault::of_pass(path, error))?;
    sink.finish(style(path)).map_err(failed)?;
    draft.keep()?;
    setup.damage(&summary.pass);
    setup.told(&summary);
    let ended = setup.interrupted(&summary.pass);
    Ok((summary.flows, summary.anomalous, ended))
}

/// Rows scored at once.
const BATCH: usize = 4096;
/// Anomalous rows of a table that are explained one by one; each takes about a hundred times as long as a score.
const EXPLAINED: u64 = 20_000;

/// Every column of the table, then the verdict.
fn from_tables(
    setup: &Setup,
    args: &Predict,
    model: &Model,
    format: Format,
    path: &Path,
) -> Result<(u64, u64), Fault> {
    let failed = |error| Fault::file(path, &error, code::FAILED);
    if args.table.is_columnar(path) {
        return Err(Fault::new(
            code::USAGE,
            "tables give csv or json; captures give Parquet too",
        ));
    }
    if format == Format::Table {
        return Err(Fault::new(
            code::USAGE,
            "tables give csv or json; captures give a table too",
        ));
    }
    let (mut rows, mut anomalous) = (0, 0);
    let mut begun: Option<(Draft, Box<dyn Write>)> = None;
    let mut header: Vec<String> = Vec::new();
    let mut verdicts = Verdicts::new(model, setup.config.score.hold_rate);
    for input in &args.inputs.paths {
        let mut table = pipeline::Table::open(input)?;
        table.require_features()?;
        let kept = table.without_verdicts();
        let talks = TalkColumns::of(&table.columns);
        let columns: Vec<String> = kept.iter().map(|at| table.columns[*at].clone()).collect();
        if begun.is_none() {
            let (draft, mut opened) = Draft::written(path)?;
            if format == Format::Csv {
                writeln!(
                    opened,
                    "{},{}",
                    columns.join(","),
                    VERDICT_COLUMNS.join(",")
                )
                .map_err(failed)?;
            }
            header.clone_from(&columns);
            begun = Some((draft, opened));
        } else if header != columns {
            return Err(Fault::new(
                code::FAILED,
                format!("{}: other columns than the first table's", input.display()),
            ));
        }
        let Some((_, out)) = &mut begun else { continue };
        let mut batch: Vec<Line> = Vec::with_capacity(BATCH);
        loop {
            let more = match table.next_record()? {
                Some(record) => {
                    let fields = kept
                        .iter()
                        .map(|at| record.get(*at).unwrap_or("").to_owned())
                        .collect();
                    let talk = talks.talk(record);
                    batch.push(Line {
                        fields,
                        talk,
                        row: table.row()?,
                    });
                    true
                }
                None => false,
            };
            if setup.is_told_to_stop() {
                return Err(Fault::interrupted("nothing was written"));
            }
            if batch.len() == BATCH || !more {
                rows += batch.len() as u64;
                anomalous += write(&mut verdicts, &header, &mut batch, anomalous, format, out)
                    .map_err(failed)?;
            }
            if !more {
                break;
            }
        }
    }
    if let Some((draft, mut out)) = begun {
        out.flush().map_err(failed)?;
        drop(out);
        draft.keep()?;
    }
    Ok((rows, anomalous))
}

/// A line of a table.
struct Line {
    fields: Vec<String>,
    /// Between whom and when, if the table says.
    talk: Option<Talk>,
    row: Row,
}

/// What is said of lines, in their order.
struct Verdicts<'a> {
    model: &'a Model,
    judge: Judge,
    /// Nothing where what is called an anomaly goes by calibration alone.
    control: Option<RateControl>,
    /// Traffic time of the latest line.
    now: u64,
}

impl<'a> Verdicts<'a> {
    fn new(model: &'a Model, hold_rate: bool) -> Self {
        Self {
            model,
            judge: Judge::default(),
            control: hold_rate.then(RateControl::default),
            now: 0,
        }
    }

    /// Whether a line with this score is an anomaly. Where the table has neither hosts nor times, all lines teach, and as many make a window of traffic time as
    /// the limit takes to rise by what it may fall in one.
    fn is_anomaly(&mut self, score: f32, p_value: f64, talk: Option<&Talk>) -> bool {
        let odd = score >= self.model.threshold();
        let Some(control) = &mut self.control else {
            return odd;
        };
        self.now = match talk {
            Some(talk) => talk.end,
            None => {
                let window = OnlineQuantile::WINDOW_NS as f64;
                let step = window * self.model.info().settings.contamination / 4.0;
                self.now.saturating_add(step as u64)
            }
        };
        let teacher = talk.map_or(Teacher::Unknown, |talk| {
            Teacher::Host(key_address(talk.hosts[0]))
        });
        let ruling = control.judge(self.model, p_value, self.now, teacher);
        odd && ruling.is_rare
    }
}

fn write(
    verdicts: &mut Verdicts<'_>,
    header: &[String],
    batch: &mut Vec<Line>,
    before: u64,
    format: Format,
    out: &mut dyn Write,
) -> std::io::Result<u64> {
    let model = verdicts.model;
    let rows: Vec<&Row> = batch.iter().map(|line| &line.row).collect();
    let scores = verdicts.judge.score_rows(model, &rows).to_vec();
    let (mut anomalous, mut line) = (0, String::new());
    for (Line { fields, talk, row }, score) in batch.drain(..).zip(&scores) {
        let p_value = model.p_value(*score);
        let odd = is_judged(&row) && verdicts.is_anomaly(*score, p_value, talk.as_ref());
        anomalous += u64::from(odd);
        let reasons = if odd && before + anomalous <= EXPLAINED {
            explain(model, &row)
        } else {
            Vec::new()
        };
        let severity = Severity::of(p_value, odd).name();
        let reasons = reasons_text(None, &reasons);
        line.clear();
        if format == Format::Json {
            let mut object: Map<String, Value> = header
                .iter()
                .zip(fields)
                .map(|(column, text)| (column.clone(), field(column, text)))
                .collect();
            object.insert("score".to_owned(), crate::sink::json::number(*score));
            object.insert("p_value".to_owned(), p_value.into());
            object.insert("severity".to_owned(), severity.into());
            object.insert(
                "prediction".to_owned(),
                if odd { "anomaly" } else { "normal" }.into(),
            );
            object.insert("reasons".to_owned(), reasons.into());
            writeln!(out, "{}", Value::Object(object))?;
            continue;
        }
        for text in &fields {
            push_text(&mut line, text);
            line.push(',');
        }
        push_verdict_parts(&mut line, *score, p_value, odd, severity, &reasons);
        writeln!(out, "{line}")?;
    }
    Ok(anomalous)
}

/// Columns whose values are names, whatever they look like.
const NAMES: [&str; 8] = [
    "flow_id",
    "community_id",
    "start_time",
    "end_time",
    "src_ip",
    "dst_ip",
    "protocol",
    "end_reason",
];

/// A field as JSON: a number where it is one.
fn field(column: &str, text: String) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    if NAMES.contains(&column) {
        return text.into();
    }
    match (text.parse::<u64>(), text.parse::<f64>()) {
        (Ok(number), _) => number.into(),
        (_, Ok(number)) if number.is_finite() => number.into(),
        _ => text.into(),
    }
}
