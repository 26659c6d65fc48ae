//! Flows that are kept: those with a telling score.

use std::borrow::Cow;

use rusqlite::{Connection, params};
use sensor_ebpf::flow::TimeNs;
use serde_json::{Value, json};

use super::value::{integer, key_of, natural, severity_of};
use crate::{
    features::TABLE,
    flow::{FlowRecord, ip_address, is_icmp, protocol_text, service_text},
    intel::Match,
    score::{Reason, Severity},
    sink::{json::number, message::Judgement},
};

/// A scored flow.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowEntry {
    /// Number in the store; 0 before it is there.
    pub id: i64,
    /// Path of the file it comes from; nothing for one from the wire. Not looked at when it is stored.
    pub file: Option<String>,
    /// Line in its file, from 1; 0 where there is none.
    pub line: u64,
    /// Id that its source gave: ours in 16 hexadecimal digits, or Zeek's uid; may be empty.
    pub uid: String,
    /// Community ID, where it is known.
    pub community_id: Option<String>,
    /// First packet.
    pub start_ns: TimeNs,
    /// First to last packet.
    pub duration_ns: Option<u64>,
    /// Originator.
    pub src_ip: String,
    /// Its port.
    pub src_port: Option<u16>,
    /// Responder.
    pub dst_ip: String,
    /// Its port.
    pub dst_port: Option<u16>,
    /// IP protocol number; [`crate::flow::ARP`] for ARP.
    pub protocol: u16,
    /// Application protocol, where it was recognised.
    pub service: Option<String>,
    /// Zeek's word for how it went.
    pub conn_state: Option<String>,
    /// IP bytes of the originator.
    pub orig_bytes: Option<u64>,
    /// IP bytes of the responder.
    pub resp_bytes: Option<u64>,
    /// Packets of the originator.
    pub orig_packets: Option<u64>,
    /// Packets of the responder.
    pub resp_packets: Option<u64>,
    /// Higher is more anomalous.
    pub score: f32,
    /// Share of the baseline expected to score as high.
    pub p_value: f64,
    /// From the p-value.
    pub severity: Severity,
    /// Whether the score reached the threshold.
    pub anomalous: bool,
    /// Name of the kind of incident it is part of.
    pub kind: Option<String>,
    /// JSON: a list of objects with feature, value, weight, low, median, high, text.
    pub reasons: String,
    /// What threat lists said of its two sides when it ended.
    pub intel: Vec<Match>,
}

impl From<&FlowRecord> for FlowEntry {
    /// What a record says of itself, without a verdict.
    fn from(record: &FlowRecord) -> Self {
        let (orig, resp) = (record.orig(), record.resp());
        Self {
            id: 0,
            file: None,
            line: 0,
            uid: format!("{:016x}", record.id),
            community_id: Some(record.community_id()).filter(|id| !id.is_empty()),
            start_ns: record.start(),
            duration_ns: Some(record.last().saturating_sub(record.start())),
            src_ip: record.source().to_string(),
            src_port: record.ports().map(|[from, _]| from),
            dst_ip: record.destination().to_string(),
            dst_port: record.ports().map(|[_, to]| to),
            protocol: record.protocol(),
            service: None,
            conn_state: Some(record.conn_state().name().to_owned()),
            orig_bytes: Some(orig.ip_bytes),
            resp_bytes: Some(resp.ip_bytes),
            orig_packets: Some(orig.packets),
            resp_packets: Some(resp.packets),
            score: 0.0,
            p_value: 1.0,
            severity: Severity::Info,
            anomalous: false,
            kind: None,
            reasons: "[]".to_owned(),
            intel: Vec::new(),
        }
    }
}

impl FlowEntry {
    /// A record with what a model said of it.
    pub fn judged<'a>(record: &FlowRecord, judgement: impl Into<Judgement<'a>>) -> Self {
        let judgement = judgement.into();
        Self {
            score: judgement.score,
            p_value: judgement.p_value,
            severity: judgement.severity,
            anomalous: judgement.anomalous,
            kind: judgement.kind.map(|kind| kind.name().to_owned()),
            reasons: reasons_json(judgement.reasons),
            ..Self::from(record)
        }
    }

    /// Name of the protocol, or its number.
    pub fn transport(&self) -> Cow<'static, str> {
        /// Reserved by IANA; what Zeek calls `unknown_transport`.
        const UNKNOWN: u16 = 255;
        match self.protocol {
            UNKNOWN => "unknown".into(),
            known => protocol_text(known),
        }
    }

    /// What it asks for: `tcp/443`, `icmp type 8`.
    pub fn asked(&self) -> String {
        let asked = match is_icmp(self.protocol) {
            true => self.src_port,
            false => self.dst_port,
        };
        match asked {
            Some(asked) => service_text(self.protocol, asked),
            None => self.transport().into_owned(),
        }
    }

    /// The reasons in words, heaviest first.
    pub fn why(&self) -> Vec<String> {
        let reasons: Vec<Value> = serde_json::from_str(&self.reasons).unwrap_or_default();
        let words = |reason: &Value| reason["text"].as_str().map(str::to_owned);
        reasons.iter().filter_map(words).collect()
    }
}

/// A reason as the store keeps it; numbers are its value, its weight, and low, median and high of the baseline.
pub fn reason_json(feature: &str, numbers: [f32; 5], words: &str) -> Value {
    let [value, weight, low, median, high] = numbers.map(number);
    json!({
        "feature": feature,
        "value": value,
        "weight": weight,
        "low": low,
        "median": median,
        "high": high,
        "text": words,
    })
}

/// Reasons as the store keeps them: a list.
fn reasons_json(reasons: &[Reason]) -> String {
    let one = |reason: &Reason| {
        let numbers = [
            reason.value,
            reason.weight,
            reason.low,
            reason.median,
            reason.high,
        ];
        reason_json(TABLE[reason.feature].name, numbers, &reason.to_string())
    };
    Value::from_iter(reasons.iter().map(one)).to_string()
}

/// Matches as the store keeps them; nothing where there are none.
fn intel_json(found: &[Match]) -> Option<String> {
    (!found.is_empty()).then(|| serde_json::to_string(found).unwrap_or_default())
}

/// Adds flows of a file, or of the wire.
pub(super) fn insert(
    connection: &Connection,
    file: Option<i64>,
    flows: &[FlowEntry],
) -> rusqlite::Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO flows (file, line, uid, community_id, start_ns, duration_ns, src, src_port, dst, dst_port, protocol,
            service, conn_state, orig_bytes, resp_bytes, orig_packets, resp_packets, score, p_value, severity, anomalous,
            kind, reasons, intel)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)",
    )?;
    for flow in flows {
        add.execute(params![
            file,
            file.map(|_| integer(flow.line)),
            flow.uid,
            flow.community_id,
            integer(flow.start_ns),
            flow.duration_ns.map(integer),
            key_of(&flow.src_ip),
            flow.src_port,
            key_of(&flow.dst_ip),
            flow.dst_port,
            flow.protocol,
            flow.service,
            flow.conn_state,
            flow.orig_bytes.map(integer),
            flow.resp_bytes.map(integer),
            flow.orig_packets.map(integer),
            flow.resp_packets.map(integer),
            f64::from(flow.score),
            flow.p_value,
            flow.severity as i64,
            flow.anomalous,
            flow.kind,
            flow.reasons,
            intel_json(&flow.intel)
        ])?;
    }
    Ok(())
}

/// What [`entry`] reads.
pub(super) const COLUMNS: &str = "flows.id, (SELECT path FROM files WHERE files.id = flows.file), line, uid, community_id, start_ns,
    duration_ns, src, src_port, dst, dst_port, protocol, service, conn_state, orig_bytes, resp_bytes, orig_packets,
    resp_packets, score, p_value, severity, anomalous, kind, reasons, intel";

/// A row of [`COLUMNS`].
pub(super) fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<FlowEntry> {
    let number = |at: usize| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(at)?.map(natural))
    };
    let address = |at: usize| -> rusqlite::Result<String> {
        Ok(ip_address(&row.get::<_, [u8; 16]>(at)?).to_string())
    };
    Ok(FlowEntry {
        id: row.get(0)?,
        file: row.get(1)?,
        line: number(2)?.unwrap_or(0),
        uid: row.get(3)?,
        community_id: row.get(4)?,
        start_ns: number(5)?.unwrap_or(0),
        duration_ns: number(6)?,
        src_ip: address(7)?,
        src_port: row.get(8)?,
        dst_ip: address(9)?,
        dst_port: row.get(10)?,
        protocol: row.get(11)?,
        service: row.get(12)?,
        conn_state: row.get(13)?,
        orig_bytes: number(14)?,
        resp_bytes: number(15)?,
        orig_packets: number(16)?,
        resp_packets: number(17)?,
        score: row.get::<_, f64>(18)? as f32,
        p_value: row.get(19)?,
        severity: severity_of(row.get(20)?),
        anomalous: row.get(21)?,
        kind: row.get(22)?,
        reasons: row.get(23)?,
        intel: row
            .get::<_, Option<String>>(24)?
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
    })
}
