//! `flows`: telling flows that are kept.

use serde_json::json;

use super::StoredFlows;
use crate::{
    cli::{
        fault::{Fault, code},
        sheet::{self, Column, Sheet},
    },
    config::Format,
    sink::{
        flows::{columns, stored_cells},
        json::{number, prediction},
        store::{FlowEntry, FlowFilter},
        table::{Align, Table},
    },
    time::Stamp,
};

const COLUMNS: [Column<FlowEntry>; 23] = [
    ("id", |flow| json!(flow.uid)),
    ("community_id", |flow| json!(flow.community_id)),
    ("start_time", |flow| json!(Stamp(flow.start_ns).to_string())),
    ("duration", |flow| {
        json!(flow.duration_ns.map(|duration| duration as f64 / 1e9))
    }),
    ("src_ip", |flow| json!(flow.src_ip)),
    ("src_port", |flow| json!(flow.src_port)),
    ("dst_ip", |flow| json!(flow.dst_ip)),
    ("dst_port", |flow| json!(flow.dst_port)),
    ("protocol", |flow| json!(flow.transport())),
    ("service", |flow| json!(flow.service)),
    ("conn_state", |flow| json!(flow.conn_state)),
    ("orig_packets", |flow| json!(flow.orig_packets)),
    ("orig_bytes", |flow| json!(flow.orig_bytes)),
    ("resp_packets", |flow| json!(flow.resp_packets)),
    ("resp_bytes", |flow| json!(flow.resp_bytes)),
    ("score", |flow| number(flow.score)),
    ("p_value", |flow| json!(flow.p_value)),
    ("severity", |flow| json!(flow.severity.name())),
    ("prediction", |flow| json!(prediction(flow.anomalous))),
    ("kind", |flow| json!(flow.kind)),
    ("threat_lists", |flow| json!(lists(flow))),
    ("file", |flow| json!(flow.file)),
    ("why", |flow| json!(flow.why())),
];
const BESIDE: [Column<FlowEntry>; 2] = [
    ("intel", |flow| json!(flow.intel)),
    ("reasons", |flow| {
        serde_json::from_str(&flow.reasons).unwrap_or_default()
    }),
];

/// Names of the lists that it is on, each once.
fn lists(flow: &FlowEntry) -> Vec<&str> {
    let mut names: Vec<&str> = flow.intel.iter().map(|found| &*found.list).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The heaviest reason, and the lists that it is on.
fn why(flow: &FlowEntry) -> String {
    let why = flow.why().into_iter().next().unwrap_or_default();
    match lists(flow).join(", ").as_str() {
        "" => why,
        names if why.is_empty() => format!("on threat list {names}"),
        names => format!("on threat list {names}; {why}"),
    }
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
        order: args.sort,
        limit: args.limit,
        offset: 0,
    };
    let found = reader.flows(&wanted)?;
    let mut headings = columns(true);
    headings.extend([("kind", Align::Left), ("why", Align::Left)]);
    let mut table = Table::new(&headings);
    for flow in &found {
        let mut cells = stored_cells(flow);
        cells.extend([flow.kind.clone().unwrap_or_default(), why(flow)]);
        table.row(cells);
    }
    let is_full = found.len() == args.limit as usize;
    let sheet = Sheet {
        table,
        rows: &found,
        columns: &COLUMNS,
        beside: &BESIDE,
        empty: "no such flow is kept",
    };
    sheet.write(
        &args.printed.output.path,
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
