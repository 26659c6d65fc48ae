//! Incidents, what became of them, and suppressions.

use serde_json::{Value, json};

use super::{
    super::{
        pool::Fault,
        query::{Parameters, Window},
    },
    flows::host,
};
use crate::{
    score::Severity,
    sink::store::{IncidentEntry, IncidentFilter, IncidentOrder, Reader, State},
};

/// Incidents on a page, unless asked for fewer.
const PAGE: u32 = 50;

/// What a list says of one.
pub(super) fn brief(entry: &IncidentEntry) -> Value {
    let alert = &entry.alert;
    json!({
        "id": alert.id, "source": alert.source.name(), "kind": alert.kind, "severity": alert.severity.name(),
        "host": alert.host, "role": alert.role, "sentence": alert.sentence, "techniques": alert.techniques,
        "evidence": alert.evidence, "p_value": alert.p_value, "first_ns": alert.first_ns, "last_ns": alert.last_ns,
        "count": alert.count, "anomalous": alert.anomalous, "peers": alert.peers.distinct, "ports": alert.ports.distinct,
        "state": entry.state.name(), "over": entry.over, "told": entry.told, "coverage": alert.coverage,
    })
}

pub(super) fn list(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let states = match parameters.text("state") {
        None => Vec::new(),
        Some(names) => names
            .split(',')
            .map(|name| State::parse(name).ok_or_else(|| Fault::Wrong("state: no such".to_owned())))
            .collect::<Result<_, _>>()?,
    };
    let least = match parameters.text("severity") {
        None => Severity::Info,
        Some(name) => Severity::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| Fault::Wrong("severity: no such".to_owned()))?,
    };
    let window = Window::asked(parameters, reader.connection())?;
    let limit = parameters.number("limit")?.unwrap_or(PAGE).min(500);
    let mut found = reader.incidents(&IncidentFilter {
        states,
        least,
        kind: parameters.text("kind").map(str::to_owned),
        host: host(parameters, "host")?,
        technique: parameters.text("technique").map(str::to_owned),
        since_ns: window.as_ref().map_or(0, Window::begin_ns),
        until_ns: window.as_ref().map(Window::end_ns),
        order: match parameters.text("order") {
            Some("evidence") => IncidentOrder::Evidence,
            Some("count") => IncidentOrder::Count,
            _ => IncidentOrder::Last,
        },
        limit: limit + 1,
        offset: parameters.number("offset")?.unwrap_or(0),
        ..IncidentFilter::default()
    })?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    Ok(json!({ "incidents": found.iter().map(brief).collect::<Vec<_>>(), "more": more }))
}

pub(super) fn one(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let id = parameters
        .text("id")
        .ok_or(Fault::Missing("incident without an id"))?;
    let entry = reader
        .incident(id)?
        .ok_or(Fault::Missing("incident of that id"))?;
    let life: Vec<Value> = reader
        .events(&entry.alert.id)?
        .iter()
        .map(|event| json!({ "time_ns": event.at_ns, "what": event.what, "by": event.by, "note": event.note }))
        .collect();
    let mut value = brief(&entry);
    value["alert"] = serde_json::to_value(&entry.alert).unwrap_or(Value::Null);
    value["life"] = Value::Array(life);
    value["note"] = json!(entry.note);
    value["state_by"] = json!(entry.state_by);
    value["state_ns"] = json!(entry.state_ns);
    value["suppression"] = json!(entry.suppression);
    Ok(value)
}

pub(super) fn suppressions(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let past = parameters.text("past").is_some();
    let all: Vec<Value> = reader
        .suppressions(past)?
        .iter()
        .map(|one| {
            json!({
                "id": one.id, "host": one.host.as_ref().map(ToString::to_string), "kind": one.kind, "reason": one.reason, "by": one.created_by,
                "from_ns": one.from_ns, "until_ns": one.until_ns, "matched": one.incidents,
            })
        })
        .collect();
    Ok(json!({ "suppressions": all }))
}
