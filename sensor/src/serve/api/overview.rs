//! What is going on, at a glance.

use rusqlite::params;
use serde_json::{Value, json};

use super::super::{
    pool::Fault,
    query::{Parameters, Window, fact, rows},
};
use crate::sink::{
    rollup::What,
    store::{IncidentFilter, IncidentOrder, Reader, State},
};

/// Incidents shown.
const INCIDENTS: u32 = 8;

/// Names of the columns of [`slots`].
pub(super) const SLOT_COLUMNS: [&str; 14] = [
    "start_s",
    "flows",
    "anomalous",
    "failed",
    "packets",
    "sent",
    "received",
    "score_mean",
    "score_max",
    "surprise",
    "low",
    "medium",
    "high",
    "critical",
];

/// Traffic and scores in steps of the window.
pub(super) fn slots(reader: &Reader, window: &Window) -> Result<Value, Fault> {
    let rows = rows(
        reader.connection(),
        "SELECT start_s - start_s % ?3 AS start, sum(flows), sum(anomalous), sum(failed), sum(packets), sum(sent), sum(received),
            sum(score_sum) / nullif(sum(scored), 0), max(score_max), sum(surprise) / nullif(sum(anomalous), 0),
            sum(low), sum(medium), sum(high), sum(critical)
         FROM rollup_slots WHERE start_s >= ?1 AND start_s < ?2 GROUP BY start ORDER BY start",
        params![window.from_s, window.to_s, window.step_s],
    )?;
    Ok(json!({ "columns": SLOT_COLUMNS, "rows": rows }))
}

/// The largest parts of a mix: name, flows, anomalous flows, bytes, packets.
pub(super) fn mix(
    reader: &Reader,
    window: &Window,
    what: What,
    most: u32,
) -> Result<Vec<Value>, Fault> {
    rows(
        reader.connection(),
        "SELECT name, sum(flows) AS flows, sum(anomalous), sum(sent + received) AS bytes, sum(packets)
         FROM rollup_mix WHERE hour_s >= ?1 AND hour_s < ?2 AND what = ?3
         GROUP BY name ORDER BY name = '', flows DESC, name LIMIT ?4",
        params![window.begin_hour(), window.to_s, what as u8, most],
    )
}

fn totals(reader: &Reader, window: &Window) -> Result<Value, Fault> {
    const NAMES: [&str; 8] = [
        "flows",
        "anomalous",
        "failed",
        "scored",
        "packets",
        "sent",
        "received",
        "score_max",
    ];
    let found = rows(
        reader.connection(),
        "SELECT coalesce(sum(flows), 0), coalesce(sum(anomalous), 0), coalesce(sum(failed), 0), coalesce(sum(scored), 0),
            coalesce(sum(packets), 0), coalesce(sum(sent), 0), coalesce(sum(received), 0), coalesce(max(score_max), 0)
         FROM rollup_slots WHERE start_s >= ?1 AND start_s < ?2",
        params![window.from_s, window.to_s],
    )?;
    let Some(Value::Array(cells)) = found.into_iter().next() else {
        return Ok(Value::Null);
    };
    Ok(NAMES.into_iter().map(str::to_owned).zip(cells).collect())
}

pub(super) fn answer(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let window = Window::of(parameters, reader.connection())?;
    let incidents = reader.incidents(&IncidentFilter {
        states: vec![State::Open],
        since_ns: window.begin_ns(),
        order: IncidentOrder::Evidence,
        limit: INCIDENTS,
        ..IncidentFilter::default()
    })?;
    let tally = reader.tally(window.begin_ns())?;
    let tally: Vec<Value> = tally
        .iter()
        .map(|entry| {
            json!({
                "state": entry.state.name(), "severity": entry.severity.name(), "kind": entry.kind,
                "incidents": entry.incidents, "count": entry.count,
            })
        })
        .collect();
    Ok(json!({
        "window": window.value(),
        "totals": totals(reader, &window)?,
        "slots": slots(reader, &window)?,
        "protocols": mix(reader, &window, What::Protocol, 8)?,
        "services": mix(reader, &window, What::Service, 10)?,
        "incidents": incidents.iter().map(super::incidents::brief).collect::<Vec<_>>(),
        "tally": tally,
        "stored": { "flows": reader.counts()?.flows, "incidents": reader.tally(0)?.iter().map(|entry| entry.incidents).sum::<u64>() },
        "ledger": fact(reader.connection(), "ledger")?,
        "model": fact(reader.connection(), "model")?,
        "inputs": fact(reader.connection(), "inputs")?,
    }))
}
