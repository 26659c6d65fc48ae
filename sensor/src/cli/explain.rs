//! `explain`: why a flow is anomalous, feature by feature.

use std::io::Write;

use model::Model;
use serde_json::{Value, json};

use super::{
    args::Explain,
    fault::{Fault, code},
    run::Top,
    setup::{Flags, Setup, output, show, style},
};
use crate::{
    config::Format,
    features::{MODEL_COLUMNS, Row, TABLE, is_judged, model_row},
    pipeline,
    score::{Judge, Reason, amount, explain},
    sink::{
        csv::{FLOW_COLUMNS, push_flow_columns},
        json,
        table::{Style, paragraph},
    },
};

/// Features changed at most to tell what would be ordinary.
const CHANGED: usize = 12;

/// A flow as the explanation needs it.
struct Flow {
    /// Values of [`FLOW_COLUMNS`].
    columns: Vec<String>,
    row: Row,
    score: f32,
}

pub(super) fn run(args: &Explain) -> Result<u8, Fault> {
    let flags = Flags::default()
        .timeouts(&args.timeouts)
        .format(args.printed.format);
    let setup = Setup::new(&args.common, &flags)?;
    let model = setup.model(args.model.name.as_deref())?;
    let flows = if args.inputs.are_tables()? {
        from_tables(args, &model)?
    } else {
        from_captures(&setup, args, &model)?
    };
    if let (Some(wanted), true) = (&args.flow, flows.is_empty()) {
        return Err(Fault::new(
            code::FAILED,
            format!(
                "no flow `{wanted}` in the input; flow_id and community_id are the first columns of the tables"
            ),
        ));
    }
    let mut out = output(&args.printed.output.path)?;
    match setup.config.output.format {
        Format::Json => {
            let all: Vec<Value> = flows.iter().map(|flow| value(&model, flow)).collect();
            writeln!(out, "{:#}", Value::from(all))?;
        }
        _ => {
            let style = style(&args.printed.output.path);
            for flow in &flows {
                tell(&mut out, &model, flow, style)?;
            }
        }
    }
    out.flush()?;
    Ok(0)
}

fn is_wanted(args: &Explain, id: &str, community_id: &str) -> bool {
    args.flow
        .as_ref()
        .is_some_and(|wanted| wanted == id || wanted == community_id)
}

fn from_captures(setup: &Setup, args: &Explain, model: &Model) -> Result<Vec<Flow>, Fault> {
    let mut top = Top::new(args.top);
    let mut found = Vec::new();
    let bar = setup.progress("scoring", &args.inputs.paths);
    let flow = |record: &crate::flow::FlowRecord, row: &Row, score| {
        let mut line = String::new();
        push_flow_columns(&mut line, record);
        Flow {
            columns: line.split(',').map(str::to_owned).collect(),
            row: *row,
            score,
        }
    };
    let summary = pipeline::score_capture(
        &args.inputs.paths,
        &setup.stages(),
        model,
        &mut |tick| show(&bar, tick),
        &mut |scored, _| {
            if args.flow.is_none() {
                top.offer(scored);
            } else {
                let id = format!("{:016x}", scored.record.id);
                if is_wanted(args, &id, &scored.record.community_id()) {
                    found.push(flow(&scored.record, &scored.row, scored.score));
                }
            }
            Ok(())
        },
    );
    bar.finish_and_clear();
    setup.damage(&summary?.pass);
    let most = top.explained(model);
    found.extend(
        most.iter()
            .map(|scored| flow(&scored.record, &scored.row, scored.score)),
    );
    Ok(found)
}

fn from_tables(args: &Explain, model: &Model) -> Result<Vec<Flow>, Fault> {
    let mut judge = Judge::default();
    let mut flows: Vec<Flow> = Vec::new();
    for path in &args.inputs.paths {
        let mut table = pipeline::Table::open(path)?;
        table.require_features()?;
        let places = FLOW_COLUMNS.map(|name| table.position(name));
        while let Some(record) = table.next_record()? {
            let columns: Vec<String> = places
                .iter()
                .map(|at| at.and_then(|at| record.get(at)).unwrap_or("").to_owned())
                .collect();
            if args.flow.is_some() && !is_wanted(args, &columns[0], &columns[1]) {
                continue;
            }
            let row = table.row()?;
            let score = judge.score_row(model, &row);
            flows.push(Flow {
                columns,
                row,
                score,
            });
            if args.flow.is_none() {
                flows.sort_by(|a, b| b.score.total_cmp(&a.score));
                flows.truncate(args.top);
            }
        }
    }
    Ok(flows)
}

fn value(model: &Model, flow: &Flow) -> Value {
    let reasons = explain(model, &flow.row);
    json!({
        "flow": FLOW_COLUMNS.iter().zip(&flow.columns).map(|(name, text)| ((*name).to_owned(), Value::from(text.as_str()))).collect::<serde_json::Map<_, _>>(),
        "score": json::number(flow.score),
        "threshold": json::number(model.threshold()),
        "p_value": model.p_value(flow.score),
        "prediction": if flow.score >= model.threshold() { "anomaly" } else { "normal" },
        "model": model.digest(),
        "reasons": json::reasons(&reasons),
        "ordinary_again": ordinary_again(model, &flow.row),
    })
}

/// What the flow would have to be to be ordinary: the fewest features found, each with the value that the most similar
/// flow kept from the baseline has.
fn ordinary_again(model: &Model, row: &Row) -> Value {
    if !is_judged(row) {
        return Value::Null;
    }
    let why = model.counterfactual(&model_row(row), CHANGED);
    if why.normal.is_empty() {
        return Value::Null;
    }
    let changes: serde_json::Map<String, Value> = (why.columns.iter())
        .map(|one| {
            let name = TABLE[MODEL_COLUMNS[one.column]].name;
            (name.to_owned(), json::number(why.normal[one.column]))
        })
        .collect();
    json!({
        "with": changes,
        "score": json::number(why.score_without),
        "suffices": why.suffices,
        "distance": json::number(why.distance),
    })
}

/// Said of flows that models are not asked about.
const NOT_JUDGED: &str = "not of IP: no model is asked about it, only what its host does";

fn tell(out: &mut dyn Write, model: &Model, flow: &Flow, style: Style) -> Result<(), Fault> {
    let [
        id,
        community,
        start,
        end,
        source,
        source_port,
        destination,
        port,
        protocol,
        ..,
    ] = &flow.columns[..]
    else {
        return Ok(());
    };
    let p_value = model.p_value(flow.score);
    let verdict = if flow.score >= model.threshold() {
        "anomalous"
    } else {
        "not anomalous"
    };
    writeln!(out, "{}", style.bold(&format!("Flow {id}  {community}")))?;
    paragraph(
        out,
        &format!("{protocol} {source} {source_port} to {destination} {port}, {start} to {end}"),
        "  ",
        style.width,
    )?;
    if !is_judged(&flow.row) {
        paragraph(out, NOT_JUDGED, "  ", style.width)?;
        writeln!(out)?;
        return Ok(());
    }
    paragraph(
        out,
        &format!(
            "score {}, threshold {}: {verdict}; {} as odd or odder in ordinary traffic",
            flow.score,
            model.threshold(),
            one_in(p_value)
        ),
        "  ",
        style.width,
    )?;
    for reason in explain(model, &flow.row) {
        let Reason { weight, .. } = reason;
        paragraph(
            out,
            &format!("{:>3.0} %  {reason}", weight * 100.0),
            "    ",
            style.width,
        )?;
    }
    let why = model.counterfactual(&model_row(&flow.row), CHANGED);
    if why.suffices {
        let changes: Vec<String> = (why.columns.iter())
            .map(|one| {
                let feature = &TABLE[MODEL_COLUMNS[one.column]];
                let said = |value| amount(value, feature.unit);
                let (here, there) = (said(one.value), said(why.normal[one.column]));
                format!("{} {there} instead of {here}", feature.name)
            })
            .collect();
        let text = format!(
            "ordinary again, like the most similar flow kept from the baseline, with {}",
            changes.join(", ")
        );
        paragraph(out, &text, "    ", style.width)?;
    }
    writeln!(out)?;
    Ok(())
}

fn one_in(p_value: f64) -> String {
    format!(
        "1 flow in {} is",
        crate::score::count((1.0 / p_value).min(1e12))
    )
}
