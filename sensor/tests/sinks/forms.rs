//! What is written: every key and type of EVE is one of Suricata's schema, syslog is what RFC 5424 says, and hostile text stays text.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use sensor::{
    features,
    flow::{FlowEndReason, FlowRecord, key_address},
    score::{Kind, Severity},
    sink::{
        alert::{Stage, WorstFlow},
        ecs::Ecs,
        eve::{self, Eve, Events},
        message::{EndedFlow, Message, Verdict},
        outlet::Encode,
        syslog::Syslog,
    },
};
use sensor_ebpf::flow::{FlowCounters, FlowKey};
use serde_json::Value;

use super::{format, made::incident};

/// A type of Suricata's etc/schema.json, transcribed for the events that we write; objects are closed there
/// (`additionalProperties: false`) but for what rules and variables carry.
enum Type {
    Text,
    Integer,
    Flag,
    Object(&'static [(&'static str, Type)]),
    /// Lists of texts under names of our own.
    Metadata,
    Variables,
}

use Type::{Flag, Integer, Metadata, Object, Text, Variables};

const EVE: &[(&str, Type)] = &[
    ("timestamp", Text),
    ("event_type", Text),
    ("flow_id", Integer),
    ("src_ip", Text),
    ("src_port", Integer),
    ("dest_ip", Text),
    ("dest_port", Integer),
    ("proto", Text),
    ("icmp_type", Integer),
    ("icmp_code", Integer),
    ("response_icmp_type", Integer),
    ("response_icmp_code", Integer),
    ("community_id", Text),
    (
        "alert",
        Object(&[
            ("action", Text),
            ("gid", Integer),
            ("signature_id", Integer),
            ("rev", Integer),
            ("signature", Text),
            ("category", Text),
            ("severity", Integer),
            ("metadata", Metadata),
        ]),
    ),
    (
        "anomaly",
        Object(&[
            ("type", Text),
            ("event", Text),
            ("layer", Text),
            ("app_proto", Text),
        ]),
    ),
    ("metadata", Object(&[("flowvars", Variables)])),
    (
        "flow",
        Object(&[
            ("pkts_toserver", Integer),
            ("pkts_toclient", Integer),
            ("bytes_toserver", Integer),
            ("bytes_toclient", Integer),
            ("start", Text),
            ("end", Text),
            ("age", Integer),
            ("state", Text),
            ("reason", Text),
            ("alerted", Flag),
        ]),
    ),
    (
        "tcp",
        Object(&[
            ("tcp_flags", Text),
            ("tcp_flags_ts", Text),
            ("tcp_flags_tc", Text),
            ("fin", Flag),
            ("syn", Flag),
            ("rst", Flag),
            ("psh", Flag),
            ("ack", Flag),
            ("urg", Flag),
            ("ecn", Flag),
            ("cwr", Flag),
        ]),
    ),
];

fn check(at: &str, value: &Value, wanted: &Type) {
    let fits = match wanted {
        Text => value.is_string(),
        Integer => value.is_u64(),
        Flag => value.is_boolean(),
        Object(keys) => {
            let object = value.as_object().expect(at);
            for (key, inner) in object {
                let known = keys.iter().find(|(name, _)| name == key);
                let (_, known) = known.unwrap_or_else(|| panic!("{at}.{key} is not Suricata's"));
                check(&format!("{at}.{key}"), inner, known);
            }
            true
        }
        Metadata => value.as_object().is_some_and(|object| {
            let is_texts = |list: &Value| {
                let texts = list.as_array();
                texts.is_some_and(|texts| texts.iter().all(Value::is_string))
            };
            object.values().all(is_texts)
        }),
        Variables => value.as_array().is_some_and(|list| {
            let is_pair = |one: &Value| one.as_object().is_some_and(|one| one.len() == 1);
            list.iter().all(is_pair)
        }),
    };
    assert!(fits, "{at}: {value}");
}

fn lines(encode: &mut dyn Encode, message: &Message) -> Vec<Value> {
    let mut parcels = Vec::new();
    encode.encode(message, &mut parcels);
    let line = |parcel: &Vec<u8>| {
        let text = std::str::from_utf8(parcel).expect("UTF-8");
        assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
        serde_json::from_str(text).expect("JSON")
    };
    parcels.iter().map(line).collect()
}

fn flow(protocol: u8, ports: [u16; 2]) -> EndedFlow {
    let addresses: [IpAddr; 2] =
        ["10.0.0.1", "192.0.2.7"].map(|text| text.parse().expect("address"));
    let mut counters = FlowCounters::EMPTY;
    for (at, half) in counters.halves.iter_mut().enumerate() {
        half.packets = 3 + at as u64;
        half.ip_bytes = 1500;
        half.first = 1_700_000_000_000_000_000;
        half.last = 1_700_000_003_600_000_000;
        half.flags = [1, 1, 0, 2, 3, 0, 0, 0];
    }
    EndedFlow {
        record: FlowRecord {
            id: u64::MAX,
            key: FlowKey {
                addresses: addresses.map(key_address),
                ports,
                form: 0,
                protocol,
                series: 0,
            },
            originator: 0,
            counters,
            end: Some(FlowEndReason::EndOfFlow),
            checkpoint: 0,
            due: 0,
        },
        row: [f32::NAN; features::COUNT],
        verdict: Some(Verdict {
            score: 0.71,
            p_value: 6.5e-3,
            severity: Severity::Low,
            anomalous: true,
            kind: Some(Kind::PortScanVertical),
            reasons: Vec::new(),
        }),
        intel: Vec::new(),
    }
}

const ALL: Events = Events {
    alert: true,
    anomaly: true,
    flow: true,
};

#[test]
fn eve_is_suricatas() {
    let flows = [
        flow(6, [40_000, 443]),
        flow(17, [53, 53]),
        flow(1, [8, 0]),
        flow(47, [0, 0]),
    ];
    let events = lines(&mut Eve(ALL), &Message::Flows(Arc::new(flows.to_vec())));
    assert_eq!(events.len(), 8);
    let mut told = incident(7);
    told.flow = Some(WorstFlow {
        id: "ffffffffffffffff".to_owned(),
        community_id: "1:LQU9qZlK+B5F3KDmev6m5PMibrg=".to_owned(),
        src_ip: "10.0.0.1".parse().expect("address"),
        src_port: 40_000,
        dst_ip: "2001:db8::1".parse().expect("address"),
        dst_port: 443,
        protocol: 6,
        start_ns: 1,
        end_ns: 2,
        packets: [1, 2],
        bytes: [3, 4],
        score: 0.7,
        p_value: 1e-3,
        reasons: Vec::new(),
    });
    let alerts = lines(&mut Eve(ALL), &Message::Alert(Arc::new(told.clone())));
    for event in events.iter().chain(&alerts) {
        check("event", event, &Object(EVE));
        let stamp = event["timestamp"].as_str().expect("text");
        assert!(stamp.len() == 31 && stamp.ends_with("+0000"), "{stamp}");
        // Every JSON reader keeps it, also those whose numbers are doubles.
        assert_eq!(event["flow_id"].as_u64(), Some((1 << 53) - 1));
    }
    assert_eq!(events[1]["tcp"]["tcp_flags"], "1b");
    assert_eq!(events[1]["flow"]["age"], 4);
    assert_eq!(
        (&events[4]["icmp_type"], &events[4]["response_icmp_type"]),
        (&8.into(), &0.into())
    );
    assert!(events[4].get("src_port").is_none() && events[6].get("src_port").is_none());
    assert_eq!(
        alerts[0]["alert"]["metadata"]["mitre_technique_id"][0],
        "T1046"
    );
    told.stage = Stage::Progress;
    assert!(lines(&mut Eve(ALL), &Message::Alert(Arc::new(told))).is_empty());
}

#[test]
fn kinds_have_numbers_of_their_own() {
    let numbers: BTreeSet<_> = Kind::ALL
        .iter()
        .map(|kind| eve::signature_id(kind.name()))
        .collect();
    assert_eq!(numbers.len(), Kind::ALL.len());
    assert!(
        numbers
            .iter()
            .all(|number| (1_000_000..2_000_000).contains(number))
    );
    // Whoever filters by one wants it to stay.
    assert_eq!(eve::signature_id("port scan (vertical)"), 1_989_212);
}

#[test]
fn ecs_says_who_did_what_to_whom() {
    let flows = Message::Flows(Arc::new(vec![flow(6, [40_000, 443])]));
    let document = &lines(&mut Ecs(ALL), &flows)[0];
    assert_eq!(document["source"]["port"], 40_000);
    assert_eq!(document["destination"]["ip"], "192.0.2.7");
    assert_eq!(document["network"]["packets"], 7);
    assert_eq!(document["event"]["dataset"], "anomaly_detect.anomaly");
    let mut told = incident(7);
    told.host = "ws-12".to_owned();
    let document = &lines(&mut Ecs(ALL), &Message::Alert(Arc::new(told)))[0];
    assert_eq!(document["event"]["kind"], "alert");
    assert_eq!(document["host"]["name"], "ws-12");
    assert_eq!(document["threat"]["technique"]["id"][0], "T1046");
    assert_eq!(document["event"]["duration"], 4_250_000_000_u64);
}

#[test]
fn hostile_text_in_syslog_stays_text() {
    let mut told = incident(7);
    told.host = "a\"]\\ <x>\n\u{1b}[2J\u{202e}ü".to_owned();
    told.sentence = format!("line\n<13>1 forged \u{0}{}", "ü".repeat(3000));
    let mut parcels = Vec::new();
    Syslog(format()).encode(&Message::Alert(Arc::new(told.clone())), &mut parcels);
    let text = std::str::from_utf8(&parcels[0]).expect("UTF-8, cut between letters");
    assert!(text.len() <= 2048 && text.len() > 2000, "{}", text.len());
    assert!(!text.contains(['\n', '\u{1b}', '\u{0}', '\u{202e}']));
    assert!(text.contains("host=\"a\\\"\\]\\\\ <x> "), "{text}");
    // Text that is not ASCII says that it is UTF-8.
    assert!(text.contains("] \u{feff}line <13>1 forged"));
    // Less severe ones are not sent, and progress is none's business.
    let mut strict = format();
    strict.least = Severity::Critical;
    let mut none = Vec::new();
    Syslog(strict).encode(&Message::Alert(Arc::new(told.clone())), &mut none);
    told.stage = Stage::Progress;
    Syslog(format()).encode(&Message::Alert(Arc::new(told)), &mut none);
    assert!(none.is_empty());
}
