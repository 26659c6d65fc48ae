//! Who talks to whom, suspicious first.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;
use serde_json::{Value, json};

use super::super::{
    pool::Fault,
    query::{Parameters, Window, rows},
};
use crate::{
    score::Severity,
    sink::store::{IncidentFilter, Reader},
};

/// Hosts shown, unless asked for fewer.
const HOSTS: usize = 200;
/// Pairs looked at.
const PAIRS: u32 = 2000;

/// The gravest open incident of each host.
pub(super) fn suspects(
    reader: &Reader,
    window: &Window,
) -> Result<BTreeMap<String, (Severity, String)>, Fault> {
    let incidents = reader.incidents(&IncidentFilter {
        since_ns: window.begin_ns(),
        until_ns: Some(window.end_ns()),
        limit: 2000,
        ..IncidentFilter::default()
    })?;
    let mut worst: BTreeMap<String, (Severity, String)> = BTreeMap::new();
    for entry in incidents {
        let alert = entry.alert;
        let known = worst
            .entry(alert.host)
            .or_insert_with(|| (alert.severity, alert.kind.clone()));
        if alert.severity > known.0 {
            *known = (alert.severity, alert.kind);
        }
    }
    Ok(worst)
}

pub(super) fn answer(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let window = Window::of(parameters, reader.connection())?;
    let most = parameters
        .number::<usize>("hosts")?
        .unwrap_or(HOSTS)
        .clamp(2, HOSTS);
    let pairs = rows(
        reader.connection(),
        "SELECT src, dst, sum(flows) AS flows, sum(anomalous) AS anomalous, sum(failed), sum(sent), sum(received), max(score) AS score
         FROM rollup_pairs WHERE hour_s >= ?1 AND hour_s < ?2 AND src <> ''
         GROUP BY src, dst ORDER BY anomalous > 0 DESC, anomalous DESC, flows DESC, src, dst LIMIT ?3",
        params![window.begin_hour(), window.to_s, PAIRS],
    )?;
    let total = rows(
        reader.connection(),
        "SELECT count(DISTINCT src || ' ' || dst), sum(flows) FROM rollup_pairs WHERE hour_s >= ?1 AND hour_s < ?2 AND src <> ''",
        params![window.begin_hour(), window.to_s],
    )?;
    let suspects = suspects(reader, &window)?;
    let mut hosts = BTreeSet::new();
    let mut shown = Vec::new();
    for pair in pairs {
        let ends = [0, 1].map(|at| pair[at].as_str().unwrap_or_default().to_owned());
        let new = ends.iter().filter(|host| !hosts.contains(*host)).count();
        if hosts.len() + new <= most {
            hosts.extend(ends);
            shown.push(pair);
        }
    }
    let hosts: Vec<Value> = hosts
        .iter()
        .map(|host| {
            let suspect = suspects.get(host);
            json!({
                "host": host,
                "severity": suspect.map(|(severity, _)| severity.name()),
                "kind": suspect.map(|(_, kind)| kind),
            })
        })
        .collect();
    Ok(json!({
        "window": window.value(),
        "hosts": hosts,
        "columns": ["src", "dst", "flows", "anomalous", "failed", "sent", "received", "score"],
        "pairs": shown,
        "total": total,
    }))
}
