//! The columns, and what a flow has in each: declared once, in order.

use crate::{
    features::Row,
    flow::{FlowRecord, protocol_name},
    score::{Kind, Reason, Scored, Severity},
    sink::{
        csv::{FLOW_COLUMNS, VERDICT_COLUMNS, feature_columns, reasons_text},
        json::prediction,
        message::Verdict,
    },
};

/// What a column holds. All but the first two may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A time in nanoseconds since 1970, UTC.
    Time,
    /// A count.
    Count,
    /// A small number: a port, a VLAN.
    Small,
    /// A number with a fraction.
    Float,
    /// A number with a fraction that may be very small.
    Double,
    /// UTF-8.
    Text,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// As in the CSV files.
    pub name: &'static str,
    /// What it holds.
    pub form: Form,
}

/// The columns, with those of verdicts or without.
pub fn columns(verdicts: bool) -> Vec<Column> {
    let flow = FLOW_COLUMNS.iter().map(|&name| Column {
        name,
        form: match name {
            "start_time" | "end_time" => Form::Time,
            "orig_packets" | "orig_bytes" | "resp_packets" | "resp_bytes" => Form::Count,
            "src_port" | "dst_port" | "vlan_id" => Form::Small,
            _ => Form::Text,
        },
    });
    let features = feature_columns().map(|(_, name)| Column {
        name,
        form: Form::Float,
    });
    let verdict = VERDICT_COLUMNS.iter().map(|&name| Column {
        name,
        form: match name {
            "score" => Form::Float,
            "p_value" => Form::Double,
            _ => Form::Text,
        },
    });
    flow.chain(features)
        .chain(verdict.filter(|_| verdicts))
        .collect()
}

/// What a flow has in a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Long(i64),
    Small(Option<i32>),
    Float(f32),
    Double(f64),
    Text(Option<&'a str>),
}

/// What a model said, borrowed from wherever it is.
#[derive(Clone, Copy, Debug)]
pub struct Judgement<'a> {
    score: f32,
    p_value: f64,
    severity: Severity,
    anomalous: bool,
    kind: Option<Kind>,
    reasons: &'a [Reason],
}

impl<'a> From<&'a Verdict> for Judgement<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        Self {
            score: verdict.score,
            p_value: verdict.p_value,
            severity: verdict.severity,
            anomalous: verdict.anomalous,
            kind: verdict.kind,
            reasons: &verdict.reasons,
        }
    }
}

impl<'a> From<&'a Scored> for Judgement<'a> {
    fn from(scored: &'a Scored) -> Self {
        Self {
            score: scored.score,
            p_value: scored.p_value,
            severity: scored.severity,
            anomalous: scored.anomalous,
            kind: scored.kind,
            reasons: &scored.reasons,
        }
    }
}

/// Counts and times beyond 2^63 do not happen; should one, it is the greatest that there is.
fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What a flow has in each of [`columns`], in order.
pub(super) fn cells(
    record: &FlowRecord,
    row: &Row,
    verdict: Option<Option<Judgement<'_>>>,
    put: &mut dyn FnMut(Cell<'_>),
) {
    let key = &record.key;
    let ports = matches!(key.protocol, 1 | 6 | 17 | 33 | 58 | 132 | 136) && key.is_whole();
    let port = |port: u16| ports.then_some(i32::from(port));
    let protocol = protocol_name(record.protocol()).map_or_else(
        || std::borrow::Cow::Owned(record.protocol().to_string()),
        std::borrow::Cow::Borrowed,
    );
    let vlan = record.counters.vlan;
    put(Cell::Text(Some(&format!("{:016x}", record.id))));
    let community_id = record.community_id();
    put(Cell::Text(
        Some(community_id.as_str()).filter(|id| !id.is_empty()),
    ));
    put(Cell::Long(long(record.start())));
    put(Cell::Long(long(record.last())));
    put(Cell::Text(Some(&record.source().to_string())));
    put(Cell::Small(port(record.source_port())));
    put(Cell::Text(Some(&record.destination().to_string())));
    put(Cell::Small(port(record.destination_port())));
    put(Cell::Text(Some(&protocol)));
    put(Cell::Small((vlan != 0).then_some(i32::from(vlan))));
    for half in [record.orig(), record.resp()] {
        put(Cell::Long(long(half.packets)));
        put(Cell::Long(long(half.ip_bytes)));
    }
    put(Cell::Text(record.end.map(|end| end.name())));
    for (at, _) in feature_columns() {
        put(Cell::Float(row[at]));
    }
    match verdict {
        None => {}
        Some(None) => {
            put(Cell::Float(f32::NAN));
            put(Cell::Double(f64::NAN));
            put(Cell::Text(None));
            put(Cell::Text(Some("learning")));
            put(Cell::Text(None));
        }
        Some(Some(verdict)) => {
            put(Cell::Float(verdict.score));
            put(Cell::Double(verdict.p_value));
            put(Cell::Text(Some(verdict.severity.name())));
            put(Cell::Text(Some(prediction(verdict.anomalous))));
            let reasons = reasons_text(verdict.kind, verdict.reasons);
            put(Cell::Text((!reasons.is_empty()).then_some(&*reasons)));
        }
    }
}
