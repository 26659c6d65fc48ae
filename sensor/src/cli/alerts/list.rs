//! `alerts list` and `alerts export`.

use std::io::Write as _;

use serde_json::{Value, json};

use super::{
    super::{
        fault::{Fault, code},
        setup::output,
        sheet::{self, Sheet, csv_line, when},
    },
    args::{Export, List, Sort},
    filter,
};
use crate::{
    config::Format,
    score::{Severity, count},
    sink::{
        store::{IncidentEntry, IncidentFilter, IncidentOrder, LifeEvent, State},
        table::{Align, Style, Table},
    },
    time::Stamp,
};

const COLUMNS: [&str; 21] = [
    "id",
    "state",
    "severity",
    "kind",
    "host",
    "role",
    "first_time",
    "last_time",
    "count",
    "anomalous_flows",
    "failed_flows",
    "peers",
    "ports",
    "packets",
    "payload_bytes_sent",
    "payload_bytes_fetched",
    "evidence",
    "techniques",
    "told",
    "note",
    "sentence",
];
/// Incidents read at once for an export.
const AT_ONCE: u32 = 500;

/// An incident with its state as an object.
pub(super) fn value(entry: &IncidentEntry, life: Option<&[LifeEvent]>) -> Value {
    let alert = &entry.alert;
    let time = |at: u64| (at > 0).then(|| Stamp(at).to_string());
    let mut value = json!({
        "id": alert.id,
        "state": entry.state.name(),
        "severity": alert.severity.name(),
        "kind": alert.kind,
        "source": alert.source.name(),
        "host": alert.host,
        "role": alert.role,
        "sentence": alert.sentence,
        "techniques": alert.techniques,
        "first_time": time(alert.first_ns),
        "last_time": time(alert.last_ns),
        "count": alert.count,
        "anomalous_flows": alert.anomalous,
        "failed_flows": alert.failed,
        "peers": alert.peers.distinct,
        "peers_exact": alert.peers.exact,
        "top_peers": alert.peers.top,
        "ports": alert.ports.distinct,
        "ports_exact": alert.ports.exact,
        "top_ports": alert.ports.top,
        "packets": alert.packets,
        "payload_bytes_sent": alert.sent_bytes,
        "payload_bytes_fetched": alert.received_bytes,
        "evidence": (alert.evidence * 100.0).round() / 100.0,
        "p_value": alert.p_value,
        "worst_flow": alert.flow,
        "bundle": alert.bundle,
        "model": alert.model,
        "coverage": alert.coverage,
        "told": entry.told,
        "over": entry.over,
        "suppression": entry.suppression,
        "state_time": time(entry.state_ns),
        "state_by": entry.state_by,
        "note": entry.note,
    });
    if let (Some(life), Value::Object(object)) = (life, &mut value) {
        let events = life.iter().map(|event| {
            json!({"time": Stamp(event.at_ns).to_string(), "what": event.what, "by": event.by, "note": event.note})
        });
        object.insert("life".to_owned(), events.collect());
    }
    value
}

pub(super) fn list(args: &List) -> Result<u8, Fault> {
    let (setup, reader) = sheet::open(&args.common, args.printed.format)?;
    let wanted = IncidentFilter {
        order: match args.sort {
            Sort::Last => IncidentOrder::Last,
            Sort::Evidence => IncidentOrder::Evidence,
            Sort::Count => IncidentOrder::Count,
        },
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
    let room = Style::stdout().width.saturating_sub(100).max(60);
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
        values: entries.iter().map(|entry| value(entry, None)).collect(),
        columns: &COLUMNS,
        empty: "no such incident; --state all also lists those that are closed, suppressed or untold",
    };
    sheet.write(
        &args.printed.output,
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
    let mut out = output(&args.output)?;
    if args.format == Format::Csv {
        writeln!(out, "{}", COLUMNS.join(","))?;
    }
    let mut written = 0_u64;
    loop {
        let entries = reader.incidents(&wanted)?;
        for entry in &entries {
            if args.format == Format::Csv {
                writeln!(out, "{}", csv_line(&value(entry, None), &COLUMNS))?;
            } else {
                let life = reader.events(&entry.alert.id)?;
                writeln!(out, "{}", value(entry, Some(&life)))?;
            }
            written += 1;
        }
        if entries.len() < AT_ONCE as usize {
            break;
        }
        wanted.offset += AT_ONCE;
    }
    out.flush()?;
    if args.output.as_os_str() != "-" {
        setup.note(&format!(
            "{}: {} incidents",
            args.output.display(),
            count(written as f64)
        ));
    }
    Ok(0)
}
