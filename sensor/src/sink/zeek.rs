//! Verdicts about Zeek's connections: CSV, JSON lines, a table of the most anomalous, entries of the store.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use serde_json::{Value, json};

use super::{
    csv::push_text,
    store::FlowEntry,
    table::{Align, Style, Table},
};
use crate::{
    flow::{ConnState, protocol_name},
    score::bytes,
    time::{self, Stamp},
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

const fn prediction(verdict: &Verdict) -> &'static str {
    if verdict.anomalous {
        "anomaly"
    } else {
        "normal"
    }
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
        prediction(verdict)
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
        "score": super::json::number(verdict.score),
        "p_value": verdict.p_value,
        "limit": verdict.limit,
        "severity": verdict.severity.name(),
        "prediction": prediction(verdict),
        "reasons": reasons_json(reasons),
    })
}

/// Reasons as a list of objects.
pub fn reasons_json(reasons: &[Reason]) -> Value {
    let object = |reason: &Reason| {
        json!({
            "feature": reason.feature.name,
            "value": super::json::number(reason.value),
            "weight": super::json::number(reason.weight),
            "low": super::json::number(reason.low),
            "median": super::json::number(reason.median),
            "high": super::json::number(reason.high),
            "text": reason.text,
        })
    };
    reasons.iter().map(object).collect()
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

/// Writes connections as a table, with their reasons below each.
///
/// # Errors
/// What the output says.
pub fn table(
    out: &mut dyn Write,
    rows: &[(&Conn, &Verdict, &[Reason])],
    style: Style,
) -> io::Result<()> {
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
        ("reason", Align::Left),
    ]);
    for (conn, verdict, reasons) in rows {
        let amount =
            |value: Option<u64>| value.map_or_else(String::new, |value| bytes(value as f64));
        table.row(vec![
            verdict.severity.name().to_owned(),
            format!("{:.1e}", verdict.p_value),
            Stamp(conn.start).short(),
            seconds(conn).map_or_else(String::new, time::words),
            conn.source.to_string(),
            conn.destination.to_string(),
            match conn.destination_port {
                Some(port) if matches!(conn.protocol, 6 | 17) => {
                    format!("{}/{port}", protocol(conn))
                }
                _ => protocol(conn).to_owned(),
            },
            state(conn).to_owned(),
            amount(conn.orig.ip_bytes),
            amount(conn.resp.ip_bytes),
            reasons
                .first()
                .map_or_else(String::new, |reason| reason.text.clone()),
        ]);
    }
    table.write(out, "", style, &|_, _, text| text.to_owned())
}
