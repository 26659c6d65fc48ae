//! EVE JSON: Suricata's envelope, so that what reads Suricata reads this (Suricata User Guide, "Eve JSON Format").
//!
//! Every key is one that Suricata's own schema (etc/schema.json) knows. What it has no word for is in places that it leaves
//! free: `alert.metadata` (lists of texts, as rules carry it) and `metadata.flowvars`.

mod words;

use std::net::IpAddr;

use sensor_ebpf::flow::TimeNs;
use serde_json::{Map, Value, json};

pub use self::words::{category, flow_id, priority, signature_id};
use self::words::{event_name, grade};
use super::{
    alert::{Alert, Stage, WorstFlow},
    message::{EndedFlow, Message, Verdict, Wants},
    outlet::Encode,
};
use crate::{
    flow::{ConnState, FlowEndReason, FlowRecord, has_ports, protocol_name},
    intel::Match,
    time::{Stamp, between},
};

/// Which events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    /// Incidents, when they are told, told again, and over.
    pub alert: bool,
    /// Anomalous flows that ended.
    pub anomaly: bool,
    /// Every flow that ended.
    pub flow: bool,
}

impl Events {
    /// What has to be listened to for these.
    pub const fn wants(self) -> Wants {
        Wants {
            alerts: self.alert,
            untold: false,
            flows: self.anomaly || self.flow,
        }
    }
}

/// Writes events, one line each.
#[derive(Clone, Copy, Debug)]
pub struct Eve(pub Events);

impl Encode for Eve {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        match message {
            Message::Alert(told) => {
                if self.0.alert && told.stage != Stage::Progress {
                    parcels.push(line(&alert(told)));
                }
            }
            Message::Flows(flows) => {
                for ended in flows.iter() {
                    let is_anomalous = |verdict: &&Verdict| verdict.anomalous;
                    if self.0.anomaly
                        && let Some(verdict) = ended.verdict.as_ref().filter(is_anomalous)
                    {
                        parcels.push(line(&anomaly(ended, verdict)));
                    }
                    if self.0.flow {
                        parcels.push(line(&flow(ended)));
                    }
                }
            }
        }
    }
}

/// A value as a line.
pub(super) fn line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// An incident.
pub fn alert(told: &Alert) -> Value {
    let mut event = begin(told.last_ns, "alert");
    match &told.flow {
        Some(worst) => {
            ends(
                &mut event,
                [worst.src_ip, worst.dst_ip],
                [worst.src_port, worst.dst_port],
                worst.protocol,
            );
            community_id(&mut event, &worst.community_id);
            if let Ok(id) = u64::from_str_radix(&worst.id, 16) {
                event.insert("flow_id".to_owned(), json!(flow_id(id)));
            }
            event.insert("flow".to_owned(), worst_flow(worst));
        }
        None => {
            if let Ok(address) = told.host.parse::<IpAddr>() {
                let side = if told.role == "victim" {
                    "dest_ip"
                } else {
                    "src_ip"
                };
                event.insert(side.to_owned(), json!(address.to_string()));
            }
        }
    }
    event.insert(
        "alert".to_owned(),
        json!({
            "action": "allowed",
            "gid": 1,
            "signature_id": signature_id(&told.kind),
            "rev": 1,
            "signature": format!("anomaly-detect {}", told.kind),
            "category": category(&told.kind),
            "severity": priority(told.severity),
            "metadata": metadata(told),
        }),
    );
    Value::Object(event)
}

/// What Suricata has no word for, as rules carry it: lists of texts.
fn metadata(told: &Alert) -> Value {
    let mut metadata = Map::new();
    let mut put = |name: &str, texts: Vec<String>| {
        if !texts.is_empty() {
            metadata.insert(name.to_owned(), json!(texts));
        }
    };
    let seen = |seen: &super::alert::Seen| {
        let more = if seen.exact { "" } else { " or more" };
        vec![format!("{}{more}", seen.distinct)]
    };
    put("signature_severity", vec![grade(told.severity).to_owned()]);
    let techniques = || told.techniques.iter();
    put(
        "mitre_technique_id",
        techniques().map(|one| one.id.clone()).collect(),
    );
    put(
        "mitre_technique_name",
        techniques().map(|one| one.name.replace(' ', "_")).collect(),
    );
    put("incident_id", vec![told.id.clone()]);
    put("incident_stage", vec![told.stage.name().to_owned()]);
    put("incident_source", vec![told.source.name().to_owned()]);
    put("sentence", vec![told.sentence.clone()]);
    put("host", vec![told.host.clone()]);
    put("role", vec![told.role.clone()]);
    put("first_seen", vec![stamp(told.first_ns)]);
    put("last_seen", vec![stamp(told.last_ns)]);
    put("count", vec![told.count.to_string()]);
    put("peers", seen(&told.peers));
    put("ports", seen(&told.ports));
    put(
        "p_value",
        told.p_value
            .map(|p| format!("{p:.2e}"))
            .into_iter()
            .collect(),
    );
    put("evidence", vec![format!("{:.2}", told.evidence)]);
    put("coverage", vec![format!("{:.4}", told.coverage)]);
    put("model", vec![told.model.clone()]);
    put("bundle", told.bundle.clone().into_iter().collect());
    let listed = told.intel.iter();
    put(
        "threat_list",
        listed
            .map(|found| format!("{}: {}", found.list, found.words()))
            .collect(),
    );
    let why = told.flow.iter().flat_map(|flow| &flow.reasons);
    put("why", why.map(|why| why.words.clone()).collect());
    Value::Object(metadata)
}

fn worst_flow(worst: &WorstFlow) -> Value {
    json!({
        "pkts_toserver": worst.packets[0],
        "pkts_toclient": worst.packets[1],
        "bytes_toserver": worst.bytes[0],
        "bytes_toclient": worst.bytes[1],
        "start": stamp(worst.start_ns),
    })
}

/// An anomalous flow.
pub fn anomaly(ended: &EndedFlow, verdict: &Verdict) -> Value {
    let record = &ended.record;
    let mut event = of_flow(record, "anomaly");
    let name = verdict.kind.map_or("unusual flow", |kind| kind.name());
    event.insert(
        "anomaly".to_owned(),
        json!({"type": "flow", "layer": "flow", "event": event_name(name)}),
    );
    let mut variables = vec![
        json!({"score": verdict.score.to_string()}),
        json!({"p_value": format!("{:.2e}", verdict.p_value)}),
        json!({"severity": verdict.severity.name()}),
    ];
    let why = verdict.reasons.iter();
    variables.extend(why.map(|reason| json!({"why": reason.to_string()})));
    variables.extend(ended.intel.iter().map(listed));
    event.insert("metadata".to_owned(), json!({"flowvars": variables}));
    Value::Object(event)
}

/// What a threat list says of one side.
fn listed(found: &Match) -> Value {
    json!({"threat_list": format!("{}: {}", found.list, found.words())})
}

/// A flow.
pub fn flow(ended: &EndedFlow) -> Value {
    let record = &ended.record;
    let mut event = of_flow(record, "flow");
    let (to_server, to_client) = (record.orig(), record.resp());
    let is_anomalous = ended
        .verdict
        .as_ref()
        .is_some_and(|verdict| verdict.anomalous);
    event.insert(
        "flow".to_owned(),
        json!({
            "pkts_toserver": to_server.packets,
            "pkts_toclient": to_client.packets,
            "bytes_toserver": to_server.ip_bytes,
            "bytes_toclient": to_client.ip_bytes,
            "start": stamp(record.start()),
            "end": stamp(record.last()),
            "age": between(record.start(), record.last()).round() as u64,
            "state": state(record),
            "reason": reason(record.end),
            "alerted": is_anomalous,
        }),
    );
    if record.key.protocol == 6 {
        event.insert("tcp".to_owned(), tcp(record));
    }
    if !ended.intel.is_empty() {
        let listed: Vec<_> = ended.intel.iter().map(listed).collect();
        event.insert("metadata".to_owned(), json!({"flowvars": listed}));
    }
    Value::Object(event)
}

fn tcp(record: &FlowRecord) -> Value {
    let bits = |flags: &[u32; 8]| {
        let set = flags.iter().enumerate().filter(|(_, count)| **count > 0);
        set.fold(0_u8, |bits, (at, _)| bits | 1 << at)
    };
    let (ts, tc) = (bits(&record.orig().flags), bits(&record.resp().flags));
    let mut tcp = Map::new();
    let both = ts | tc;
    tcp.insert("tcp_flags".to_owned(), json!(format!("{both:02x}")));
    tcp.insert("tcp_flags_ts".to_owned(), json!(format!("{ts:02x}")));
    tcp.insert("tcp_flags_tc".to_owned(), json!(format!("{tc:02x}")));
    // In the order of their bits in the header (RFC 9293 §3.1); Suricata names those that were seen.
    let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
    for (at, name) in names.iter().enumerate() {
        if both & 1 << at != 0 {
            tcp.insert((*name).to_owned(), json!(true));
        }
    }
    Value::Object(tcp)
}

fn of_flow(record: &FlowRecord, event_type: &str) -> Map<String, Value> {
    let mut event = begin(record.last(), event_type);
    event.insert("flow_id".to_owned(), json!(flow_id(record.id)));
    ends(
        &mut event,
        [record.source(), record.destination()],
        [record.source_port(), record.destination_port()],
        record.protocol(),
    );
    for (side, names) in [
        (record.originator, ["icmp_type", "icmp_code"]),
        (
            record.responder(),
            ["response_icmp_type", "response_icmp_code"],
        ),
    ] {
        let is_there = record.counters.halves[side].packets > 0;
        if let Some((kind, code)) = record.icmp_of(side).filter(|_| is_there) {
            event.insert(names[0].to_owned(), json!(kind));
            event.insert(names[1].to_owned(), json!(code));
        }
    }
    community_id(&mut event, &record.community_id());
    event
}

/// Flows of ARP have none.
fn community_id(event: &mut Map<String, Value>, id: &str) {
    if !id.is_empty() {
        event.insert("community_id".to_owned(), json!(id));
    }
}

fn begin(time: TimeNs, event_type: &str) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("timestamp".to_owned(), json!(stamp(time)));
    event.insert("event_type".to_owned(), json!(event_type));
    event
}

fn ends(event: &mut Map<String, Value>, addresses: [IpAddr; 2], ports: [u16; 2], protocol: u16) {
    for (name, address) in ["src_ip", "dest_ip"].iter().zip(addresses) {
        event.insert((*name).to_owned(), json!(address.to_string()));
    }
    if has_ports(protocol) {
        for (name, port) in ["src_port", "dest_port"].iter().zip(ports) {
            event.insert((*name).to_owned(), json!(port));
        }
    }
    event.insert("proto".to_owned(), json!(protocol_text(protocol)));
}

/// As Suricata writes protocols: in capitals, and those without a name by number, three digits.
fn protocol_text(protocol: u16) -> String {
    match protocol {
        58 => "IPv6-ICMP".to_owned(),
        _ => protocol_name(protocol).map_or_else(|| format!("{protocol:03}"), str::to_uppercase),
    }
}

/// Suricata's time: microseconds, and the zone without a colon.
fn stamp(time: TimeNs) -> String {
    let text = Stamp(time).to_string();
    format!("{}+0000", &text[..26])
}

fn state(record: &FlowRecord) -> &'static str {
    match record.end {
        Some(FlowEndReason::EndOfFlow) => "closed",
        _ if record.resp().packets == 0 || record.conn_state() == ConnState::S0 => "new",
        _ => "established",
    }
}

fn reason(end: Option<FlowEndReason>) -> &'static str {
    match end {
        // Suricata lets closed connections time out too; their state says that they were closed.
        Some(
            FlowEndReason::IdleTimeout | FlowEndReason::ActiveTimeout | FlowEndReason::EndOfFlow,
        ) => "timeout",
        Some(FlowEndReason::ForcedEnd) => "shutdown",
        Some(FlowEndReason::LackOfResources) => "forced",
        None => "unknown",
    }
}
