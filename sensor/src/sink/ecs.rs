//! ECS: the Elastic Common Schema, 8.x (<https://www.elastic.co/guide/en/ecs/8.17/>). What it has no field for is below
//! `anomaly_detect`, as it wants custom fields.

use std::net::IpAddr;

use sensor_ebpf::flow::TimeNs;
use serde_json::{Value, json};

use super::{
    alert::{Alert, Stage},
    eve::{Events, category, line, signature_id},
    json::{number, reasons},
    message::{EndedFlow, Message, Verdict},
    outlet::Encode,
};
use crate::{
    flow::{ARP, has_ports, protocol_name},
    intel::Match,
    score::Severity,
    time::Stamp,
};

const VERSION: &str = "8.17.0";

/// Writes documents, one line each.
#[derive(Clone, Copy, Debug)]
pub struct Ecs(pub Events);

impl Encode for Ecs {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        match message {
            Message::Alert(told) => {
                if self.0.alert && told.stage != Stage::Progress {
                    parcels.push(line(&alert(told)));
                }
            }
            Message::Flows(flows) => {
                for ended in flows.iter() {
                    let verdict = ended.verdict.as_ref();
                    let is_anomalous = verdict.is_some_and(|verdict| verdict.anomalous);
                    if self.0.flow || (self.0.anomaly && is_anomalous) {
                        parcels.push(line(&flow(ended)));
                    }
                }
            }
        }
    }
}

/// An incident.
pub fn alert(told: &Alert) -> Value {
    let (severity, is_over) = (severity(told.severity), told.stage == Stage::Over);
    let mut document = json!({
        "@timestamp": Stamp(told.last_ns).to_string(),
        "ecs": {"version": VERSION},
        "message": told.sentence,
        "event": {
            "kind": "alert",
            "module": "anomaly_detect",
            "dataset": "anomaly_detect.alert",
            "category": ["network", "intrusion_detection"],
            "type": [if is_over { "end" } else { "info" }],
            "action": format!("incident-{}", told.stage.name()),
            "id": told.id,
            "reason": told.sentence,
            "severity": severity,
            "risk_score": severity,
            "start": Stamp(told.first_ns).to_string(),
            "end": Stamp(told.last_ns).to_string(),
            "duration": told.last_ns.saturating_sub(told.first_ns),
        },
        "observer": observer(),
        "rule": {
            "id": signature_id(&told.kind).to_string(),
            "name": told.kind,
            "category": category(&told.kind),
            "ruleset": "anomaly-detect",
        },
        "anomaly_detect": told,
    });
    enrich(&mut document, &told.intel);
    if !told.techniques.is_empty() {
        let ids: Vec<_> = told.techniques.iter().map(|one| &one.id).collect();
        let names: Vec<_> = told.techniques.iter().map(|one| &one.name).collect();
        document["threat"]["framework"] = json!("MITRE ATT&CK");
        document["threat"]["technique"] = json!({"id": ids, "name": names});
    }
    match &told.flow {
        Some(worst) => ends(
            &mut document,
            &Ends {
                addresses: [worst.src_ip, worst.dst_ip],
                ports: [worst.src_port, worst.dst_port],
                protocol: worst.protocol,
                community_id: &worst.community_id,
                packets: worst.packets,
                bytes: worst.bytes,
            },
        ),
        None => match told.host.parse::<IpAddr>() {
            Ok(address) => {
                document["host"] = json!({"ip": [address.to_string()]});
                document["related"] = json!({"ip": [address.to_string()]});
            }
            Err(_) => {
                document["host"] = json!({"name": told.host});
                document["related"] = json!({"hosts": [told.host]});
            }
        },
    }
    document
}

/// A flow that ended.
pub fn flow(ended: &EndedFlow) -> Value {
    let record = &ended.record;
    let is_anomalous = |verdict: &&Verdict| verdict.anomalous;
    let anomaly = ended.verdict.as_ref().filter(is_anomalous);
    let (first, last): (TimeNs, TimeNs) = (record.start(), record.last());
    let mut document = json!({
        "@timestamp": Stamp(last).to_string(),
        "ecs": {"version": VERSION},
        "event": {
            "kind": "event",
            "module": "anomaly_detect",
            "dataset": if anomaly.is_some() { "anomaly_detect.anomaly" } else { "anomaly_detect.flow" },
            "category": ["network"],
            "type": ["connection", "end"],
            "action": "network_flow",
            "id": format!("{:016x}", record.id),
            "start": Stamp(first).to_string(),
            "end": Stamp(last).to_string(),
            "duration": last.saturating_sub(first),
        },
        "observer": observer(),
        "anomaly_detect": {
            "conn_state": record.conn_state().name(),
            "history": record.history(),
            "end_reason": record.end.map(|end| end.name()),
        },
    });
    if let Some(verdict) = &ended.verdict {
        let own = &mut document["anomaly_detect"];
        own["score"] = number(verdict.score);
        own["p_value"] = json!(verdict.p_value);
        own["severity"] = json!(verdict.severity.name());
        own["anomalous"] = json!(verdict.anomalous);
        own["kind"] = json!(verdict.kind.map(|kind| kind.name()));
        own["reasons"] = reasons(&verdict.reasons);
    }
    if let Some(verdict) = anomaly {
        document["event"]["severity"] = json!(severity(verdict.severity));
        if let Some(first) = verdict.reasons.first() {
            document["event"]["reason"] = json!(first.to_string());
        }
    }
    enrich(&mut document, &ended.intel);
    ends(
        &mut document,
        &Ends {
            addresses: [record.source(), record.destination()],
            ports: [record.source_port(), record.destination_port()],
            protocol: record.protocol(),
            community_id: &record.community_id(),
            packets: [record.orig().packets, record.resp().packets],
            bytes: [record.orig().ip_bytes, record.resp().ip_bytes],
        },
    );
    document
}

/// What threat lists say, as the schema has it: an indicator that matched for each (`threat.enrichments`).
fn enrich(document: &mut Value, found: &[Match]) {
    if found.is_empty() {
        return;
    }
    let one = |found: &Match| {
        let mut indicator = json!({"provider": found.list});
        if !found.label.is_empty() {
            indicator["description"] = json!(found.label);
        }
        if !found.source.is_empty() {
            indicator["reference"] = json!(found.source);
        }
        if let Some(confidence) = found.confidence {
            // Words of the schema, by the scale of STIX 2.1 (appendix A, None/Low/Med/High).
            indicator["confidence"] = json!(match confidence {
                0 => "None",
                1..=29 => "Low",
                30..=69 => "Medium",
                _ => "High",
            });
        }
        let is_address = found.subject.parse::<IpAddr>().is_ok();
        if is_address {
            indicator["type"] = json!("ipv4-addr");
            if found.subject.contains(':') {
                indicator["type"] = json!("ipv6-addr");
            }
            indicator["ip"] = json!(found.subject);
        } else {
            indicator["type"] = json!("domain-name");
        }
        json!({
            "indicator": indicator,
            "matched": {"atomic": found.subject, "type": "indicator_match_rule"},
        })
    };
    document["threat"] = json!({"enrichments": found.iter().map(one).collect::<Vec<_>>()});
}

/// Both sides of a flow, originator first.
struct Ends<'a> {
    addresses: [IpAddr; 2],
    ports: [u16; 2],
    protocol: u16,
    community_id: &'a str,
    packets: [u64; 2],
    bytes: [u64; 2],
}

fn ends(document: &mut Value, ends: &Ends<'_>) {
    for (at, name) in ["source", "destination"].into_iter().enumerate() {
        let address = ends.addresses[at].to_string();
        document[name] = json!({
            "address": address,
            "ip": address,
            "packets": ends.packets[at],
            "bytes": ends.bytes[at],
        });
        if has_ports(ends.protocol) {
            document[name]["port"] = json!(ends.ports[at]);
        }
    }
    let mut network = json!({
        "type": match ends.addresses[0].is_ipv4() {
            _ if ends.protocol == ARP => "arp",
            true => "ipv4",
            false => "ipv6",
        },
        "packets": ends.packets[0] + ends.packets[1],
        "bytes": ends.bytes[0] + ends.bytes[1],
    });
    if ends.protocol != ARP {
        network["iana_number"] = json!(ends.protocol.to_string());
        network["community_id"] = json!(ends.community_id);
        if let Some(name) = protocol_name(ends.protocol) {
            network["transport"] = json!(name);
        }
    }
    document["network"] = network;
    document["related"] = json!({"ip": ends.addresses.map(|address| address.to_string())});
}

fn observer() -> Value {
    json!({
        "vendor": "anomaly-detect",
        "product": "anomaly-detect",
        "type": "ids",
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// On the scale that Elastic's detection rules use: 21, 47, 73, 99.
const fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 1,
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
        Severity::Critical => 99,
    }
}
