//! Who is behind it: hosts by the risk that their incidents add up to, and what lists know of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    super::{
        pool::Fault,
        query::{Parameters, Window},
    },
    attacks::incidents,
};
use crate::{
    intel::Match,
    score::Severity,
    sink::store::{FlowFilter, FlowOrder, Reader, State},
};

/// Hosts listed.
const HOSTS: usize = 100;

/// How sure one incident of this severity makes of a host being a risk.
const fn weight(severity: Severity) -> f64 {
    match severity {
        Severity::Info => 0.02,
        Severity::Low => 0.1,
        Severity::Medium => 0.3,
        Severity::High => 0.6,
        Severity::Critical => 0.85,
    }
}

#[derive(Default)]
struct Suspect {
    /// Chance that every incident is a false one, were they independent.
    harmless: f64,
    incidents: u64,
    open: u64,
    severities: BTreeMap<&'static str, u64>,
    kinds: BTreeSet<String>,
    techniques: BTreeSet<String>,
    count: u64,
    first_ns: u64,
    last_ns: u64,
    peers: u64,
    victim: bool,
    lists: BTreeSet<String>,
}

/// An entry of a list that was met.
#[derive(Default)]
struct Met {
    label: String,
    source: String,
    confidence: Option<u8>,
    incidents: u64,
    flows: u64,
    bytes: u64,
    last_ns: u64,
}

/// Flows read for the table of matches: the newest.
const FLOWS: u32 = 20_000;

/// Subject, list and entry.
type Place = (String, String, String);

fn meet<'a>(matches: &'a mut BTreeMap<Place, Met>, found: &Match) -> &'a mut Met {
    let place = (
        found.subject.clone(),
        found.list.clone(),
        found.entry.clone(),
    );
    matches.entry(place).or_insert_with(|| Met {
        label: found.label.clone(),
        source: found.source.clone(),
        confidence: found.confidence,
        ..Met::default()
    })
}

pub(super) fn answer(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let window = Window::of(parameters, reader.connection())?;
    let mut suspects: BTreeMap<String, Suspect> = BTreeMap::new();
    let mut matches: BTreeMap<Place, Met> = BTreeMap::new();
    let listed = reader.flows(&FlowFilter {
        listed: Some(true),
        since_ns: window.begin_ns(),
        until_ns: Some(window.end_ns()),
        by_end: true,
        order: FlowOrder::Start,
        limit: FLOWS,
        ..FlowFilter::default()
    })?;
    for flow in &listed {
        for found in &flow.intel {
            let met = meet(&mut matches, found);
            met.flows += 1;
            met.bytes += flow.orig_bytes.unwrap_or(0) + flow.resp_bytes.unwrap_or(0);
            let end = flow.start_ns + flow.duration_ns.unwrap_or(0);
            met.last_ns = met.last_ns.max(end);
        }
    }
    for entry in incidents(reader, &window)? {
        for found in &entry.alert.intel {
            let met = meet(&mut matches, found);
            met.incidents += 1;
            met.last_ns = met.last_ns.max(entry.alert.last_ns);
        }
        // What a person closed or suppressed is judged already.
        if matches!(entry.state, State::Closed | State::Suppressed) {
            continue;
        }
        let alert = entry.alert;
        let suspect = suspects.entry(alert.host).or_insert_with(|| Suspect {
            harmless: 1.0,
            first_ns: u64::MAX,
            victim: true,
            ..Suspect::default()
        });
        suspect.harmless *= 1.0 - weight(alert.severity);
        suspect.incidents += 1;
        suspect.open += u64::from(entry.state == State::Open);
        *suspect.severities.entry(alert.severity.name()).or_default() += 1;
        suspect.kinds.insert(alert.kind);
        suspect
            .techniques
            .extend(alert.techniques.into_iter().map(|found| found.id));
        suspect.count += alert.count;
        suspect.first_ns = suspect.first_ns.min(alert.first_ns);
        suspect.last_ns = suspect.last_ns.max(alert.last_ns);
        suspect.peers = suspect.peers.max(alert.peers.distinct);
        suspect.victim &= alert.role == "victim";
        suspect
            .lists
            .extend(alert.intel.into_iter().map(|found| found.list));
    }
    let mut ranked: Vec<_> = suspects.into_iter().collect();
    ranked.sort_by(|a, b| {
        a.1.harmless
            .total_cmp(&b.1.harmless)
            .then(b.1.count.cmp(&a.1.count))
    });
    ranked.truncate(HOSTS);
    let hosts: Vec<Value> = ranked
        .into_iter()
        .map(|(host, suspect)| {
            json!({
                "host": host,
                "risk": ((1.0 - suspect.harmless) * 100.0).round(),
                "incidents": suspect.incidents, "open": suspect.open, "severities": suspect.severities,
                "kinds": suspect.kinds, "techniques": suspect.techniques, "count": suspect.count,
                "peers": suspect.peers, "first_ns": suspect.first_ns, "last_ns": suspect.last_ns,
                "lists": suspect.lists,
                "role": if suspect.victim { "victim" } else { "actor" },
            })
        })
        .collect();
    let mut matches: Vec<_> = matches.into_iter().collect();
    matches.sort_by(|a, b| b.1.last_ns.cmp(&a.1.last_ns).then(a.0.cmp(&b.0)));
    matches.truncate(HOSTS);
    let matches: Vec<Value> = matches
        .into_iter()
        .map(|((subject, list, entry), met)| {
            json!({
                "subject": subject, "list": list, "entry": entry, "label": met.label, "source": met.source,
                "confidence": met.confidence, "incidents": met.incidents,
                "flows": met.flows, "bytes": met.bytes, "last_ns": met.last_ns,
            })
        })
        .collect();
    Ok(json!({
        "window": window.value(),
        "flows_read": listed.len(),
        "more_flows": listed.len() >= FLOWS as usize,
        "hosts": hosts,
        "matches": matches,
    }))
}
