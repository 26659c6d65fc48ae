//! `flows`: telling flows that are kept.

use serde_json::{Value, json};

use super::{FlowSort, StoredFlows};
use crate::{
    cli::{
        fault::{Fault, code},
        sheet::{self, Sheet},
    },
    config::Format,
    flow::protocol_name,
    score::bytes,
    sink::{
        store::{FlowEntry, FlowFilter, FlowOrder},
        table::{Align, Table},
    },
    time::{self, Stamp},
};

const COLUMNS: [&str; 23] = [
    "id",
    "community_id",
    "start_time",
    "duration",
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "protocol",
    "service",
    "conn_state",
    "orig_packets",
    "orig_bytes",
    "resp_packets",
    "resp_bytes",
    "score",
    "p_value",
    "severity",
    "prediction",
    "kind",
    "threat_lists",
    "file",
    "why",
];

fn protocol(flow: &FlowEntry) -> String {
    protocol_name(flow.protocol).map_or_else(|| flow.protocol.to_string(), str::to_owned)
}

fn reasons(flow: &FlowEntry) -> Value {
    serde_json::from_str(&flow.reasons).unwrap_or(Value::Null)
}

/// Names of the lists that it is on, each once.
fn lists(flow: &FlowEntry) -> Vec<&str> {
    let mut names: Vec<&str> = flow.intel.iter().map(|found| &*found.list).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn value(flow: &FlowEntry) -> Value {
    let reasons = reasons(flow);
    let why: Vec<Value> = reasons.as_array().map_or_else(Vec::new, |reasons| {
        reasons
            .iter()
            .map(|reason| reason["text"].clone())
            .collect()
    });
    json!({
        "id": flow.uid,
        "community_id": flow.community_id,
        "start_time": Stamp(flow.start_ns).to_string(),
        "duration": flow.duration_ns.map(|duration| duration as f64 / 1e9),
        "src_ip": flow.src_ip,
        "src_port": flow.src_port,
        "dst_ip": flow.dst_ip,
        "dst_port": flow.dst_port,
        "protocol": protocol(flow),
        "service": flow.service,
        "conn_state": flow.conn_state,
        "orig_packets": flow.orig_packets,
        "orig_bytes": flow.orig_bytes,
        "resp_packets": flow.resp_packets,
        "resp_bytes": flow.resp_bytes,
        "score": crate::sink::json::number(flow.score),
        "p_value": flow.p_value,
        "severity": flow.severity.name(),
        "prediction": crate::sink::json::prediction(flow.anomalous),
        "kind": flow.kind,
        "threat_lists": lists(flow),
        "intel": flow.intel,
        "file": flow.file,
        "why": why,
        "reasons": reasons,
    })
}

pub(in crate::cli) fn run(args: &StoredFlows) -> Result<u8, Fault> {
    let (setup, reader) = sheet::open(&args.common, args.printed.format)?;
    let incident = match &args.incident {
        Some(id) => Some(reader.id_of(&id.to_lowercase())?.ok_or_else(|| {
            Fault::new(
                code::USAGE,
                format!("--incident {id}: no incident's id begins so"),
            )
        })?),
        None => None,
    };
    let wanted = FlowFilter {
        id: args.id.clone(),
        host: args.host.clone(),
        src: args.src.clone(),
        dst: args.dst.clone(),
        port: args.port,
        protocol: args.protocol,
        kind: match &args.kind {
            Some(kind) => Some(sheet::kind(&reader, kind)?),
            None => None,
        },
        incident,
        community_id: args.community_id.clone(),
        anomalous: args.anomalous.then_some(true),
        listed: args.listed.then_some(true),
        most_p_value: None,
        since_ns: args.since.unwrap_or(0),
        until_ns: args.until,
        by_end: false,
        order: match args.sort {
            FlowSort::PValue => FlowOrder::PValue,
            FlowSort::Start => FlowOrder::Start,
            FlowSort::Bytes => FlowOrder::Bytes,
        },
        limit: args.limit,
        offset: 0,
    };
    let found = reader.flows(&wanted)?;
    let mut table = Table::new(&[
        ("severity", Align::Left),
        ("p-value", Align::Right),
        ("start", Align::Left),
        ("duration", Align::Right),
        ("source", Align::Left),
        ("destination", Align::Left),
        ("service", Align::Left),
        ("state", Align::Left),
        ("sent", Align::Right),
        ("fetched", Align::Right),
        ("kind", Align::Left),
        ("why", Align::Left),
    ]);
    for flow in &found {
        let amount =
            |value: Option<u64>| value.map_or_else(String::new, |value| bytes(value as f64));
        let service = match flow.dst_port {
            Some(port) if matches!(flow.protocol, 6 | 17 | 33 | 132 | 136) => {
                format!("{}/{port}", protocol(flow))
            }
            _ => protocol(flow),
        };
        let first = reasons(flow);
        let why = first[0]["text"].as_str().unwrap_or("");
        let why = match lists(flow).as_slice() {
            [] => why.to_owned(),
            names if why.is_empty() => format!("on threat list {}", names.join(", ")),
            names => format!("on threat list {}; {why}", names.join(", ")),
        };
        table.row([
            flow.severity.name().to_owned(),
            format!("{:.1e}", flow.p_value),
            Stamp(flow.start_ns).short(),
            flow.duration_ns
                .map_or_else(String::new, |duration| time::words(duration as f64 / 1e9)),
            flow.src_ip.clone(),
            flow.dst_ip.clone(),
            service,
            flow.conn_state.clone().unwrap_or_default(),
            amount(flow.orig_bytes),
            amount(flow.resp_bytes),
            flow.kind.clone().unwrap_or_default(),
            why,
        ]);
    }
    let is_full = found.len() == args.limit as usize;
    let sheet = Sheet {
        table,
        values: found.iter().map(value).collect(),
        columns: &COLUMNS,
        empty: "no such flow is kept",
    };
    sheet.write(
        &args.printed.output,
        setup.config.output.format,
        &|style, row, column, text| match (column, found.get(row)) {
            (0, Some(flow)) => style.severity(flow.severity, text),
            _ => text.to_owned(),
        },
    )?;
    if is_full && setup.config.output.format == Format::Table {
        setup.note(&format!("the first {}; --limit gives more", args.limit));
    }
    Ok(0)
}
