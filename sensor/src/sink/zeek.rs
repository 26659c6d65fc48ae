//! Verdicts about Zeek's connections: CSV, JSON lines, entries of the store.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use serde_json::{Value, json};

use super::{
    csv::push_text,
    json::{number, prediction},
    store::{FlowEntry, reason_json},
};
use crate::{
    flow::{ConnState, protocol_name},
    time::Stamp,
    zeek::{Conn, Reason, Verdict},
};

/// Columns of the CSV.
pub const COLUMNS: [&str; 19] = [
    "file",
    "line",
    "uid",
    "start_time",
    "duration",
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "protocol",
    "service",
    "conn_state",
    "orig_ip_bytes",
    "resp_ip_bytes",
    "score",
    "p_value",
    "severity",
    "prediction",
    "reasons",
];

fn protocol(conn: &Conn) -> &'static str {
    protocol_name(conn.protocol.into()).unwrap_or("unknown")
}

fn state(conn: &Conn) -> &'static str {
    conn.state.map_or("", ConnState::name)
}

fn seconds(conn: &Conn) -> Option<f64> {
    conn.duration_ns.map(|nanoseconds| nanoseconds as f64 / 1e9)
}

/// Writes a connection as a line of CSV.
///
/// # Errors
/// What the output says.
pub fn csv_line(
    out: &mut dyn Write,
    file: &str,
    conn: &Conn,
    verdict: &Verdict,
    reasons: &[Reason],
) -> io::Result<()> {
    fn push(line: &mut String, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            let _ = write!(line, "{value}");
        }
        line.push(',');
    }
    let mut line = String::with_capacity(256);
    push_text(&mut line, file);
    let _ = write!(line, ",{},", conn.line);
    push_text(&mut line, &conn.uid);
    let _ = write!(line, ",{},", Stamp(conn.start));
    push(&mut line, seconds(conn));
    push(&mut line, Some(conn.source));
    push(&mut line, conn.source_port);
    push(&mut line, Some(conn.destination));
    push(&mut line, conn.destination_port);
    push(&mut line, Some(protocol(conn)));
    push_text(&mut line, conn.service.as_deref().unwrap_or(""));
    let _ = write!(line, ",{},", state(conn));
    push(&mut line, conn.orig.ip_bytes);
    push(&mut line, conn.resp.ip_bytes);
    let _ = write!(
        line,
        "{},{:e},{},{},",
        verdict.score,
        verdict.p_value,
        verdict.severity.name(),
        prediction(verdict.anomalous)
    );
    let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
    push_text(&mut line, &texts.join(" | "));
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// A connection as an object.
pub fn json(file: &str, conn: &Conn, verdict: &Verdict, reasons: &[Reason]) -> Value {
    json!({
        "file": file,
        "line": conn.line,
        "uid": conn.uid,
        "start_time": Stamp(conn.start).to_string(),
        "duration": seconds(conn),
        "src_ip": conn.source.to_string(),
        "src_port": conn.source_port,
        "dst_ip": conn.destination.to_string(),
        "dst_port": conn.destination_port,
        "protocol": protocol(conn),
        "service": conn.service,
        "conn_state": conn.state.map(ConnState::name),
        "orig_ip_bytes": conn.orig.ip_bytes,
        "resp_ip_bytes": conn.resp.ip_bytes,
        "score": number(verdict.score),
        "p_value": verdict.p_value,
        "limit": verdict.limit,
        "severity": verdict.severity.name(),
        "prediction": prediction(verdict.anomalous),
        "reasons": reasons_json(reasons),
    })
}

fn reasons_json(reasons: &[Reason]) -> Value {
    let one = |reason: &Reason| {
        let numbers = [
            reason.value,
            reason.weight,
            reason.low,
            reason.median,
            reason.high,
        ];
        reason_json(reason.feature.name, numbers, &reason.text)
    };
    reasons.iter().map(one).collect()
}

/// A connection as an entry of the store.
pub fn entry(conn: &Conn, verdict: &Verdict, reasons: &[Reason]) -> FlowEntry {
    FlowEntry {
        id: 0,
        file: None,
        line: conn.line,
        uid: conn.uid.clone(),
        community_id: None,
        start_ns: conn.start,
        duration_ns: conn.duration_ns,
        src_ip: conn.source.to_string(),
        src_port: conn.source_port,
        dst_ip: conn.destination.to_string(),
        dst_port: conn.destination_port,
        protocol: conn.protocol.into(),
        service: conn.service.clone(),
        conn_state: conn.state.map(|state| state.name().to_owned()),
        orig_bytes: conn.orig.ip_bytes,
        resp_bytes: conn.resp.ip_bytes,
        orig_packets: conn.orig.packets,
        resp_packets: conn.resp.packets,
        kind: None,
        score: verdict.score,
        p_value: verdict.p_value,
        severity: verdict.severity,
        anomalous: verdict.anomalous,
        reasons: reasons_json(reasons).to_string(),
        intel: Vec::new(),
    }
}
