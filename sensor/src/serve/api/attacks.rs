//! What kinds of attack, when, at what, and as which techniques.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::{
        pool::Fault,
        query::{Parameters, Window},
    },
    overview::mix,
};
use crate::{
    attack::TACTICS,
    sink::{
        rollup::What,
        store::{IncidentEntry, IncidentFilter, Reader},
    },
};

/// Columns of the intensity map.
const COLUMNS: i64 = 48;
/// Incidents looked at.
const INCIDENTS: u32 = 5000;

/// The incidents of a window, newest first.
pub(super) fn incidents(reader: &Reader, window: &Window) -> Result<Vec<IncidentEntry>, Fault> {
    Ok(reader.incidents(&IncidentFilter {
        since_ns: window.begin_ns(),
        until_ns: Some(window.end_ns()),
        limit: INCIDENTS,
        ..IncidentFilter::default()
    })?)
}

/// What one kind adds up to.
#[derive(Default)]
struct OfKind {
    incidents: u64,
    count: u64,
    severities: BTreeMap<&'static str, u64>,
    /// Flows or events, spread evenly over the time each incident took.
    when: Vec<f64>,
}

fn spread(when: &mut Vec<f64>, window: &Window, entry: &IncidentEntry) {
    when.resize(COLUMNS as usize, 0.0);
    let span = (window.to_s - window.from_s).max(1) as f64;
    let place = |ns: u64| {
        let seconds = ns as f64 / 1e9 - window.from_s as f64;
        ((seconds / span * COLUMNS as f64).floor() as i64).clamp(0, COLUMNS - 1)
    };
    let (first, last) = (place(entry.alert.first_ns), place(entry.alert.last_ns));
    let each = entry.alert.count as f64 / (last - first + 1) as f64;
    for at in first..=last.max(first) {
        when[at as usize] += each;
    }
}

pub(super) fn answer(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let window = Window::of(parameters, reader.connection())?;
    let incidents = incidents(reader, &window)?;
    let mut kinds: BTreeMap<String, OfKind> = BTreeMap::new();
    let mut techniques: BTreeMap<String, (String, u64, u64)> = BTreeMap::new();
    for entry in &incidents {
        let kind = kinds.entry(entry.alert.kind.clone()).or_default();
        kind.incidents += 1;
        kind.count += entry.alert.count;
        *kind
            .severities
            .entry(entry.alert.severity.name())
            .or_default() += 1;
        spread(&mut kind.when, &window, entry);
        for technique in &entry.alert.techniques {
            let known = techniques
                .entry(technique.id.clone())
                .or_insert_with(|| (technique.name.clone(), 0, 0));
            known.1 += 1;
            known.2 = known.2.max(entry.alert.severity as u64);
        }
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.incidents.cmp(&a.1.incidents).then(a.0.cmp(&b.0)));
    let kinds: Vec<Value> = kinds
        .into_iter()
        .map(|(name, kind)| {
            json!({
                "kind": name, "incidents": kind.incidents, "count": kind.count,
                "severities": kind.severities, "when": kind.when,
            })
        })
        .collect();
    let tactics: Vec<Value> = TACTICS
        .iter()
        .map(|tactic| {
            let listed: Vec<Value> = tactic
                .techniques
                .iter()
                .map(|known| {
                    let seen = techniques.get(known.id);
                    json!({
                        "id": known.id, "name": known.name,
                        "incidents": seen.map_or(0, |seen| seen.1),
                        "severity": seen.map_or(0, |seen| seen.2),
                    })
                })
                .collect();
            json!({ "tactic": tactic.name, "id": tactic.id, "techniques": listed })
        })
        .collect();
    Ok(json!({
        "window": window.value(),
        "incidents": incidents.len(),
        "kinds": kinds,
        "columns": COLUMNS,
        "aimed": mix(reader, &window, What::Aimed, 20)?,
        "flow_kinds": mix(reader, &window, What::Kind, 20)?,
        "tactics": tactics,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Kind;

    #[test]
    fn every_technique_of_a_kind_has_its_place_in_the_matrix() {
        for kind in Kind::ALL {
            for technique in kind.techniques() {
                let placed = TACTICS
                    .iter()
                    .any(|tactic| tactic.techniques.contains(technique));
                assert!(placed, "{kind}: {}", technique.id);
            }
        }
    }
}
