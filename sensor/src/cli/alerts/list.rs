//! `alerts list` and `alerts export`.

use std::io::Write as _;

use serde_json::{Value, json};

use super::{
    super::{
        fault::{Fault, code},
        setup::{is_stdout, output, style},
        sheet::{self, Column, Sheet, csv_header, csv_line, object, when},
    },
    args::{Export, List},
    filter,
};
use crate::{
    config::Format,
    score::{Severity, count, several},
    sink::{
        store::{IncidentEntry, IncidentFilter, LifeEvent, State},
        table::{Align, Table},
    },
    time::Stamp,
};

const COLUMNS: [Column<IncidentEntry>; 21] = [
    ("id", |entry| json!(entry.alert.id)),
    ("state", |entry| json!(entry.state.name())),
    ("severity", |entry| json!(entry.alert.severity.name())),
    ("kind", |entry| json!(entry.alert.kind)),
    ("host", |entry| json!(entry.alert.host)),
    ("role", |entry| json!(entry.alert.role)),
    ("first_time", |entry| time(entry.alert.first_ns)),
    ("last_time", |entry| time(entry.alert.last_ns)),
    ("count", |entry| json!(entry.alert.count)),
    ("anomalous_flows", |entry| json!(entry.alert.anomalous)),
    ("failed_flows", |entry| json!(entry.alert.failed)),
    ("peers", |entry| json!(entry.alert.peers.distinct)),
    ("ports", |entry| json!(entry.alert.ports.distinct)),
    ("packets", |entry| json!(entry.alert.packets)),
    ("payload_bytes_sent", |entry| json!(entry.alert.sent_bytes)),
    ("payload_bytes_fetched", |entry| {
        json!(entry.alert.received_bytes)
    }),
    ("evidence", |entry| {
        json!((entry.alert.evidence * 100.0).round() / 100.0)
    }),
    ("techniques", |entry| json!(entry.alert.techniques)),
    ("told", |entry| json!(entry.told)),
    ("note", |entry| json!(entry.note)),
    ("sentence", |entry| json!(entry.alert.sentence)),
];
const BESIDE: [Column<IncidentEntry>; 14] = [
    ("source", |entry| json!(entry.alert.source.name())),
    ("peers_exact", |entry| json!(entry.alert.peers.exact)),
    ("top_peers", |entry| json!(entry.alert.peers.top)),
    ("ports_exact", |entry| json!(entry.alert.ports.exact)),
    ("top_ports", |entry| json!(entry.alert.ports.top)),
    ("p_value", |entry| json!(entry.alert.p_value)),
    ("worst_flow", |entry| json!(entry.alert.flow)),
    ("bundle", |entry| json!(entry.alert.bundle)),
    ("model", |entry| json!(entry.alert.model)),
    ("coverage", |entry| json!(entry.alert.coverage)),
    ("over", |entry| json!(entry.over)),
    ("suppression", |entry| json!(entry.suppression)),
    ("state_time", |entry| time(entry.state_ns)),
    ("state_by", |entry| json!(entry.state_by)),
];
/// Incidents read at once for an export.
const AT_ONCE: u32 = 500;

/// A moment; null where it is none.
fn time(at: u64) -> Value {
    json!((at > 0).then(|| Stamp(at).to_string()))
}

/// An incident with its state, and with what happened to it, as an object.
pub(super) fn value(entry: &IncidentEntry, life: &[LifeEvent]) -> Value {
    let mut value = object(entry, COLUMNS.iter().chain(&BESIDE));
    let events = life.iter().map(|event| {
        json!({"time": Stamp(event.at_ns).to_string(), "what": event.what, "by": event.by, "note": event.note})
    });
    value["life"] = events.collect();
    value
}

pub(super) fn list(args: &List) -> Result<u8, Fault> {
    let (setup, reader) = sheet::open(&args.common, args.printed.format)?;
    let wanted = IncidentFilter {
        order: args.sort,
        limit: args.limit,
        ..filter(&reader, &args.which, &[State::Open, State::Acknowledged])?
    };
    let entries = reader.incidents(&wanted)?;
    let mut table = Table::new(&[
        ("id", Align::Left),
        ("state", Align::Left),
        ("severity", Align::Left),
        ("last", Align::Left),
        ("kind", Align::Left),
        ("host", Align::Left),
        ("count", Align::Right),
        ("what", Align::Left),
    ]);
    // What is left of a line for the sentence, whose beginning says most.
    let room = style(&args.printed.output.path)
        .width
        .saturating_sub(100)
        .max(60);
    for entry in &entries {
        let alert = &entry.alert;
        let state = match (entry.state, entry.over) {
            (State::Open, false) => "open, goes on",
            (state, _) => state.name(),
        };
        let sentence = match alert.sentence.char_indices().nth(room) {
            Some((end, _)) => format!("{}…", &alert.sentence[..end]),
            None => alert.sentence.clone(),
        };
        table.row([
            alert.id.get(..8).unwrap_or(&alert.id).to_owned(),
            state.to_owned(),
            alert.severity.name().to_owned(),
            when(alert.last_ns),
            alert.kind.clone(),
            alert.host.clone(),
            count(alert.count as f64),
            sentence,
        ]);
    }
    let severities: Vec<Severity> = entries.iter().map(|entry| entry.alert.severity).collect();
    let is_full = entries.len() == args.limit as usize;
    let sheet = Sheet {
        table,
        rows: &entries,
        columns: &COLUMNS,
        beside: &BESIDE,
        empty: "no such incident; --state all also lists those that are closed, suppressed or untold",
    };
    sheet.write(
        &args.printed.output.path,
        setup.config.output.format,
        &|style, row, column, text| match (column, severities.get(row)) {
            (2, Some(severity)) => style.severity(*severity, text),
            (4, _) => style.bold(text),
            _ => text.to_owned(),
        },
    )?;
    if is_full && setup.config.output.format == Format::Table {
        setup.note(&format!("the first {}; --limit gives more", args.limit));
    }
    Ok(0)
}

pub(super) fn export(args: &Export) -> Result<u8, Fault> {
    if args.format == Format::Table {
        return Err(Fault::new(
            code::USAGE,
            "--format table: an export is for programs; json and csv are its forms (`alerts list` is for people)",
        ));
    }
    let (setup, reader) = sheet::open(&args.common, None)?;
    let mut wanted = IncidentFilter {
        limit: AT_ONCE,
        ..filter(&reader, &args.which, &[])?
    };
    let mut out = output(&args.output.path)?;
    if args.format == Format::Csv {
        writeln!(out, "{}", csv_header(&COLUMNS))?;
    }
    let mut written = 0_u64;
    loop {
        let entries = reader.incidents(&wanted)?;
        for entry in &entries {
            if args.format == Format::Csv {
                writeln!(out, "{}", csv_line(entry, &COLUMNS))?;
            } else {
                let life = reader.events(&entry.alert.id)?;
                writeln!(out, "{}", value(entry, &life))?;
            }
            written += 1;
        }
        if entries.len() < AT_ONCE as usize {
            break;
        }
        wanted.offset += AT_ONCE;
    }
    out.flush()?;
    if !is_stdout(&args.output.path) {
        setup.note(&format!(
            "{}: {}",
            args.output.path.display(),
            several(written as f64, "incident")
        ));
    }
    Ok(0)
}
