//! The flows behind every number.

use serde_json::{Value, json};

use super::super::{
    pool::Fault,
    query::{Parameters, Window},
};
use crate::{
    flow::protocol_number,
    sink::store::{FlowEntry, FlowFilter, FlowOrder, HostMatch, Reader},
};

/// Flows on a page, unless asked for fewer.
const PAGE: u32 = 100;
/// How far they are counted.
const COUNTED: u64 = 10_000;

/// A host, or a prefix, as a parameter has it.
pub(super) fn host(parameters: &Parameters, name: &str) -> Result<Option<HostMatch>, Fault> {
    let parsed = parameters.text(name).map(HostMatch::parse).transpose();
    parsed.map_err(|why| Fault::Wrong(format!("{name}: {why}")))
}

/// What the parameters ask for.
pub(super) fn filter(reader: &Reader, parameters: &Parameters) -> Result<FlowFilter, Fault> {
    let text = |name| parameters.text(name).map(str::to_owned);
    let window = Window::asked(parameters, reader.connection())?;
    let protocol = match parameters.text("protocol") {
        None => None,
        Some(name) => Some(
            protocol_number(name)
                .ok_or_else(|| Fault::Wrong("protocol: no such name or number".to_owned()))?,
        ),
    };
    Ok(FlowFilter {
        id: text("id"),
        host: host(parameters, "host")?,
        src: host(parameters, "src")?,
        dst: host(parameters, "dst")?,
        port: parameters.number("port")?,
        protocol,
        kind: text("kind"),
        incident: text("incident"),
        community_id: text("community_id"),
        anomalous: parameters
            .text("anomalous")
            .map(|text| text == "1" || text == "true"),
        listed: parameters
            .text("listed")
            .map(|text| text == "1" || text == "true"),
        most_p_value: parameters.number("p")?,
        since_ns: window.as_ref().map_or(0, Window::begin_ns),
        until_ns: window.as_ref().map(Window::end_ns),
        // As the sums behind the charts: what a bar counts is what it leads to.
        by_end: true,
        order: match parameters.text("order") {
            Some("start") => FlowOrder::Start,
            Some("bytes") => FlowOrder::Bytes,
            _ => FlowOrder::PValue,
        },
        limit: parameters.number("limit")?.unwrap_or(PAGE).min(1000),
        offset: parameters.number("offset")?.unwrap_or(0),
    })
}

fn value(entry: &FlowEntry) -> Value {
    json!({
        "id": entry.uid, "row": entry.id, "file": entry.file, "community_id": entry.community_id, "start_ns": entry.start_ns,
        "duration_ns": entry.duration_ns, "src": entry.src_ip, "src_port": entry.src_port, "dst": entry.dst_ip,
        "dst_port": entry.dst_port, "protocol": entry.protocol,
        "transport": entry.transport(),
        "service": entry.service, "state": entry.conn_state,
        "sent": entry.orig_bytes, "received": entry.resp_bytes,
        "sent_packets": entry.orig_packets, "received_packets": entry.resp_packets,
        "score": entry.score, "p_value": entry.p_value, "severity": entry.severity.name(), "anomalous": entry.anomalous,
        "kind": entry.kind, "intel": entry.intel,
    })
}

pub(super) fn list(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let filter = filter(reader, parameters)?;
    let flows = reader.flows(&filter)?;
    let count = reader.flow_count(&filter, COUNTED)?;
    Ok(json!({
        "flows": flows.iter().map(value).collect::<Vec<_>>(),
        "count": count, "more_than_counted": count >= COUNTED,
        "offset": filter.offset, "limit": filter.limit,
        "stored": reader.counts()?.flows,
    }))
}

pub(super) fn one(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let id = parameters
        .text("id")
        .ok_or(Fault::Missing("flow without an id"))?;
    let filter = FlowFilter {
        id: Some(id.to_owned()),
        limit: 1,
        ..FlowFilter::default()
    };
    let flows = reader.flows(&filter)?;
    let entry = flows.first().ok_or(Fault::Missing("flow of that id"))?;
    let mut found = value(entry);
    found["reasons"] = serde_json::from_str(&entry.reasons).unwrap_or(Value::Null);
    Ok(found)
}
