//! The columns, and what a flow has in each: declared once, in order.

use crate::{
    features::Row,
    flow::{FlowRecord, protocol_text},
    sink::{
        csv::{FLOW_COLUMNS, VERDICT_COLUMNS, feature_columns, reasons_text},
        json::prediction,
        message::Judgement,
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
    let [from, to] = match record.ports() {
        Some(ports) => ports.map(|port| Some(i32::from(port))),
        None => [None; 2],
    };
    let protocol = protocol_text(record.protocol());
    let vlan = record.counters.vlan;
    put(Cell::Text(Some(&format!("{:016x}", record.id))));
    let community_id = record.community_id();
    put(Cell::Text(
        Some(community_id.as_str()).filter(|id| !id.is_empty()),
    ));
    put(Cell::Long(long(record.start())));
    put(Cell::Long(long(record.last())));
    put(Cell::Text(Some(&record.source().to_string())));
    put(Cell::Small(from));
    put(Cell::Text(Some(&record.destination().to_string())));
    put(Cell::Small(to));
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
