//! Flows, verdicts and incidents as JSON, with the names that the CSV files use.

use sensor_ebpf::{frame::Malformed, maps::Ledger};
use serde_json::{Map, Value, json};

use super::{
    csv::{FLOW_COLUMNS, feature_columns, push_flow_columns},
    told::Told,
};
use crate::{
    attack::Technique,
    features::{Row, TABLE},
    flow::FlowRecord,
    score::{Incident, Reason, Scored},
    time::Stamp,
};

/// What a flow is, without its features.
pub fn columns(record: &FlowRecord) -> Map<String, Value> {
    let mut line = String::new();
    push_flow_columns(&mut line, record);
    let mut object = Map::new();
    for (at, (name, text)) in FLOW_COLUMNS.iter().zip(line.split(',')).enumerate() {
        let number = matches!(at, 5 | 7 | 9..=13);
        let value = match text {
            "" => Value::Null,
            text if number => text.parse::<u64>().map_or(Value::Null, Value::from),
            text => Value::from(text),
        };
        object.insert((*name).to_owned(), value);
    }
    object
}

/// A flow with its features.
pub fn flow(record: &FlowRecord, row: &Row) -> Value {
    let mut object = columns(record);
    for (at, name) in feature_columns() {
        object.insert(name.to_owned(), number(row[at]));
    }
    Value::Object(object)
}

/// A flow with its features and its verdict.
pub fn scored(scored: &Scored) -> Value {
    let mut value = flow(&scored.record, &scored.row);
    if let Value::Object(object) = &mut value {
        object.insert("score".to_owned(), number(scored.score));
        object.insert("p_value".to_owned(), json!(scored.p_value));
        object.insert("severity".to_owned(), json!(scored.severity.name()));
        object.insert("prediction".to_owned(), json!(prediction(scored.anomalous)));
        object.insert("limit".to_owned(), json!(scored.limit));
        object.insert(
            "kind".to_owned(),
            json!(scored.kind.map(|kind| kind.name())),
        );
        object.insert("reasons".to_owned(), reasons(&scored.reasons));
    }
    value
}

/// What is said of a flow.
pub const fn prediction(anomalous: bool) -> &'static str {
    if anomalous { "anomaly" } else { "normal" }
}

/// Reasons, in numbers and in words.
pub fn reasons(reasons: &[Reason]) -> Value {
    let one = |reason: &Reason| {
        json!({
            "feature": TABLE[reason.feature].name,
            "value": number(reason.value),
            "weight": number(reason.weight),
            "quantile": number(reason.quantile),
            "baseline_q01": number(reason.low),
            "baseline_median": number(reason.median),
            "baseline_q99": number(reason.high),
            "words": reason.to_string(),
        })
    };
    reasons.iter().map(one).collect()
}

/// An incident of flows or of logs.
pub fn told(told: &Told<'_>) -> Value {
    let finding = match told {
        Told::Flows(found, process) => {
            let mut value = incident(found);
            if let (Value::Object(object), Some(process)) = (&mut value, process) {
                object.insert("process".to_owned(), json!(process));
            }
            return value;
        }
        Told::Log(finding) => finding,
    };
    let time = |time: Option<u64>| time.map(|time| Stamp(time).to_string());
    json!({
        "kind": finding.kind.name(),
        "severity": told.severity().name(),
        "host": finding.actor,
        "role": told.role(),
        "sentence": finding.sentence(),
        "evidence": (told.evidence() * 100.0).round() / 100.0,
        "techniques": techniques(finding.kind.techniques()),
        "events": finding.events,
        "first_time": time(finding.first),
        "last_time": time(finding.last),
        "hosts": finding.hosts,
        "accounts": finding.accounts,
    })
}

/// An incident of flows.
pub fn incident(incident: &Incident) -> Value {
    json!({
        "kind": incident.kind.name(),
        "severity": incident.severity().name(),
        "techniques": techniques(&incident.techniques()),
        "p_value": incident.p_value,
        "host": incident.subject.to_string(),
        "role": incident.subject.role.name(),
        "sentence": incident.sentence(),
        "evidence": (incident.evidence() * 100.0).round() / 100.0,
        "flows": incident.flows,
        "anomalous_flows": incident.anomalous,
        "failed_flows": incident.failed,
        "first_time": Stamp(incident.first).to_string(),
        "last_time": Stamp(incident.last).to_string(),
        "peers": incident.peers.distinct(),
        "peers_exact": !incident.peers.is_full(),
        "top_peer": incident.peers.most().map(|(peer, _)| peer.to_string()),
        "ports": incident.ports.distinct(),
        "ports_exact": !incident.ports.is_full(),
        "top_port": incident.ports.most().map(|(port, _)| port),
        "packets": incident.packets,
        "payload_bytes_sent": incident.sent,
        "payload_bytes_fetched": incident.received,
        "worst_flow": {
            "flow_id": format!("{:016x}", incident.worst.flow),
            "community_id": incident.worst.community_id,
            "score": number(incident.worst.score),
            "p_value": incident.worst.p_value,
            "reasons": reasons(&incident.worst.reasons),
        },
    })
}

/// Techniques of MITRE ATT&CK, by id and name.
pub fn techniques(techniques: &[Technique]) -> Value {
    let one = |found: &Technique| json!({"id": found.id, "name": found.name});
    techniques.iter().map(one).collect()
}

/// Where the packets went.
pub fn ledger(ledger: &Ledger) -> Value {
    let malformed: Map<_, _> = Malformed::ALL
        .iter()
        .map(|reason| {
            (
                reason.name().to_owned(),
                json!(ledger.malformed[*reason as usize]),
            )
        })
        .collect();
    json!({
        "seen": ledger.seen,
        "counted": ledger.counted,
        "overflow": ledger.overflow(),
        "sampled_out": ledger.sampled_out,
        "not_ip": ledger.not_ip,
        "malformed": malformed,
        "unaccounted": ledger.unaccounted(),
    })
}

/// A number with the digits that tell it from its neighbours; null for NaN.
pub fn number(value: f32) -> Value {
    // By way of its shortest text: 0.1 is 0.1 and not 0.10000000149.
    value
        .to_string()
        .parse::<f64>()
        .ok()
        .and_then(serde_json::Number::from_f64)
        .map_or(Value::Null, Value::Number)
}
