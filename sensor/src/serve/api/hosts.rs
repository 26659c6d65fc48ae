//! One host beside what is usual for it.

use rusqlite::params;
use serde_json::{Value, json};

use super::{
    super::{
        pool::Fault,
        query::{Parameters, Window, rows},
    },
    flows::host,
    incidents::brief,
    topology::suspects,
};
use crate::sink::store::{HostEntry, HostFilter, HostOrder, IncidentFilter, Reader};

/// Hosts on a page.
const PAGE: u32 = 200;
/// Peers shown of a host, each way.
const PEERS: u32 = 15;

fn value(entry: &HostEntry) -> Value {
    json!({
        "host": entry.host, "first_ns": entry.first_ns, "last_ns": entry.last_ns, "flows": entry.flows,
        "sent": entry.sent_bytes, "received": entry.received_bytes, "peers": entry.peers, "services": entry.services,
        "failed": entry.failed, "anomalous": entry.anomalous, "worst_p": entry.worst_p, "incidents": entry.incidents,
    })
}

pub(super) fn list(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let window = Window::of(parameters, reader.connection())?;
    let suspects = suspects(reader, &window)?;
    let hosts = reader.hosts(&HostFilter {
        host: host(parameters, "q")?,
        order: HostOrder::Risk,
        limit: PAGE,
        ..HostFilter::default()
    })?;
    let mut hosts: Vec<_> = hosts
        .iter()
        .map(|entry| {
            let severity = suspects.get(&entry.host).map(|(severity, _)| *severity);
            let mut host = value(entry);
            host["severity"] = json!(severity.map(|severity| severity.name()));
            (severity, entry.anomalous, host)
        })
        .collect();
    hosts.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.cmp(&a.1)));
    Ok(json!({
        "window": window.value(),
        "hosts": hosts.into_iter().map(|(.., host)| host).collect::<Vec<_>>(),
        "page": PAGE,
    }))
}

pub(super) fn one(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let name = parameters
        .text("host")
        .ok_or(Fault::Missing("host without a name"))?;
    let profile = reader
        .host(name)?
        .ok_or(Fault::Missing("host of that name"))?;
    let window = Window::of(parameters, reader.connection())?;
    let incidents = reader.incidents(&IncidentFilter {
        host: host(parameters, "host")?,
        limit: 50,
        ..IncidentFilter::default()
    })?;
    let peers = |mine: &str, theirs: &str| {
        rows(
            reader.connection(),
            &format!(
                "SELECT {theirs}, sum(flows) AS flows, sum(anomalous), sum(failed), sum(sent), sum(received), max(score)
                 FROM rollup_pairs WHERE hour_s >= ?1 AND hour_s < ?2 AND {mine} = ?3
                 GROUP BY {theirs} ORDER BY sum(anomalous) > 0 DESC, flows DESC LIMIT ?4"
            ),
            params![window.begin_hour(), window.to_s, name, PEERS],
        )
    };
    Ok(json!({
        "window": window.value(),
        "host": value(&profile.entry),
        "hours": profile.hours.iter().map(|hour| json!({
            "start_ns": hour.start_ns, "flows": hour.flows, "sent": hour.sent_bytes, "received": hour.received_bytes,
            "peers": hour.peers, "failed": hour.failed, "anomalous": hour.anomalous,
        })).collect::<Vec<_>>(),
        "usual": profile.usual.iter().map(|usual| json!({
            "what": usual.name, "now": usual.now, "median": usual.median, "high": usual.high, "most": usual.most, "hours": usual.hours,
        })).collect::<Vec<_>>(),
        "offers": profile.offers,
        "uses": profile.uses,
        "asks": peers("src", "dst")?,
        "asked_by": peers("dst", "src")?,
        "incidents": incidents.iter().map(brief).collect::<Vec<_>>(),
    }))
}
