//! From the store to a report: what a sensor found since a moment.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, params};
use serde_json::Value;

use super::{
    data::{Entry, ModelFacts, Report, Slot, Sum, Timeline, TopFlow},
    gather::words,
};
use crate::{
    score::{bytes, count, several},
    sink::{
        alert::Alert,
        flows::stored_cells,
        store::{FlowEntry, FlowFilter, IncidentFilter, IncidentOrder, Reader, State, StoreError},
    },
    time::{self, Stamp},
};

/// Incidents listed, flows listed, and rows of each table.
const INCIDENTS: u32 = 50;
const FLOWS: u32 = 10;
const ROWS: i64 = 15;
/// Slots of the timeline, at most.
const SLOTS: u64 = 240;
/// Gaps told one by one.
const GAPS: usize = 5;
const SECOND_NS: u64 = 1_000_000_000;
/// Where such a report comes from.
const STORE: &str = "store";

impl Report {
    /// What the store has, or only of as much traffic time before its newest. Suppressed incidents are counted, not listed.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn of_store(path: &Path, lately: Option<Duration>) -> Result<Self, StoreError> {
        let reader = &Reader::open(path)?;
        let failed = StoreError::at(path);
        let since_ns = since(reader.connection(), lately).map_err(failed)?;
        let listed = |state: &State| !matches!(state, State::Suppressed | State::Untold);
        let entries = reader.incidents(&IncidentFilter {
            states: State::ALL.into_iter().filter(listed).collect(),
            since_ns,
            order: IncidentOrder::Evidence,
            limit: INCIDENTS,
            ..IncidentFilter::default()
        })?;
        let tally = reader.tally(since_ns)?;
        let number = |is_meant: &dyn Fn(&State) -> bool| -> u64 {
            let of = tally.iter().filter(|entry| is_meant(&entry.state));
            of.map(|entry| entry.incidents).sum()
        };
        let told = number(&listed);
        let suppressed = number(&|state| *state == State::Suppressed);
        let untold = number(&|state| *state == State::Untold);
        let incidents: Vec<Alert> = entries.into_iter().map(|entry| entry.alert).collect();
        let flows = reader.flows(&FlowFilter {
            anomalous: Some(true),
            since_ns,
            limit: FLOWS,
            ..FlowFilter::default()
        })?;
        let mut report = Self {
            created_by: concat!("anomaly-detect ", env!("CARGO_PKG_VERSION")).to_owned(),
            source: STORE.to_owned(),
            inputs: vec![path.display().to_string()],
            headline: match told {
                0 => "Nothing stands out.".to_owned(),
                told => format!("{}.", several(told as f64, "incident")),
            },
            incidents_more: told.saturating_sub(incidents.len() as u64),
            incidents,
            top: flows.iter().map(top).collect(),
            completeness: 1.0,
            ..Self::default()
        };
        report.sums(reader.connection(), since_ns).map_err(failed)?;
        for [from, to] in reader.gaps(since_ns)?.into_iter().take(GAPS) {
            report.warnings.push(format!(
                "Nobody watched from {} to {} ({}).",
                Stamp(from).short(),
                Stamp(to).short(),
                time::words(time::between(from, to))
            ));
        }
        let span = report.window_ns.map_or_else(String::new, |[from, to]| {
            format!(" from {} to {} UTC", Stamp(from).short(), Stamp(to).short())
        });
        report.summary.push(format!(
            "{}, {}{span}; {} of the flows anomalous.",
            several(report.flows as f64, "flow"),
            bytes(report.bytes as f64),
            count(report.anomalous as f64),
        ));
        report.summary.extend(words(&report.incidents));
        if suppressed > 0 {
            report.summary.push(format!(
                "{} suppressed and not listed.",
                several(suppressed as f64, "incident")
            ));
        }
        if untold > 0 {
            report.summary.push(format!(
                "{} more were kept back by the alert budget and are not listed (`alerts list --state untold`).",
                count(untold as f64)
            ));
        }
        Ok(report)
    }

    /// What is summed over all flows, and the facts.
    fn sums(&mut self, connection: &Connection, since_ns: u64) -> rusqlite::Result<()> {
        let since = (since_ns / SECOND_NS) as i64;
        let since_hour = since - since % 3600;
        let slots = slots(connection, since)?;
        let all = |of: fn(&Slot) -> u64| slots.iter().map(|(_, slot)| of(slot)).sum();
        self.flows = all(|slot| slot.flows);
        self.anomalous = all(|slot| slot.anomalous);
        self.bytes = all(|slot| slot.bytes);
        if let (Some((first, _)), Some((last, _))) = (slots.first(), slots.last()) {
            let end = last + crate::sink::rollup::SLOT_SECONDS;
            self.window_ns = Some([first * SECOND_NS, end * SECOND_NS]);
            self.seconds = (end - first) as f64;
            self.timeline = timeline(&slots);
        }
        self.scores = scores(connection, since_hour)?;
        let named = |sql: &str| sums(connection, sql, since_hour);
        self.services = named(
            "SELECT name, sum(flows), sum(anomalous), sum(sent), sum(received) FROM rollup_mix
             WHERE hour_s >= ?1 AND what = 1 AND name <> '' GROUP BY name ORDER BY sum(sent + received) DESC, name LIMIT ?2",
        )?;
        self.pairs = named(
            "SELECT src || ' → ' || dst, sum(flows), sum(anomalous), sum(sent), sum(received) FROM rollup_pairs
             WHERE hour_s >= ?1 AND src <> '' GROUP BY src, dst ORDER BY sum(sent + received) DESC, src, dst LIMIT ?2",
        )?;
        self.talkers = named(
            "SELECT host, sum(flows), sum(anomalous), sum(sent), sum(received) FROM
               (SELECT src AS host, flows, anomalous, sent, received FROM rollup_pairs WHERE hour_s >= ?1 AND src <> ''
                UNION ALL
                SELECT dst, flows, anomalous, received, sent FROM rollup_pairs WHERE hour_s >= ?1 AND src <> '')
             GROUP BY host ORDER BY sum(sent + received) DESC, host LIMIT ?2",
        )?;
        let mut statement = connection.prepare("SELECT name, value FROM facts")?;
        let facts = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        for fact in facts {
            let (name, text) = fact?;
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                self.fact(&name, &value);
            }
        }
        Ok(())
    }

    /// Takes what is noted of the whole sensor or run.
    fn fact(&mut self, name: &str, value: &Value) {
        let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
        match name {
            "ledger" => {
                self.packets = number("seen");
                self.unaccounted = value
                    .get("unaccounted")
                    .and_then(Value::as_i64)
                    .unwrap_or(0);
                let lost = number("overflow") + number("sampled_out");
                if self.packets > 0 {
                    self.completeness = 1.0 - lost as f64 / self.packets as f64;
                }
                let rows = [
                    ("counted", "counted in a flow", false),
                    ("overflow", "in no flow: too many flows at once", true),
                    ("sampled_out", "left out by sampling", true),
                    ("not_ip", "neither IP nor ARP", false),
                    ("malformed", "malformed", false),
                    ("counted_before", "counted at another hook", false),
                    ("probe", "own probes", false),
                ];
                self.ledger = rows
                    .map(|(key, name, is_loss)| Entry {
                        name: name.to_owned(),
                        packets: number(key),
                        is_loss,
                    })
                    .to_vec();
            }
            "model" => {
                let text = |name: &str| match value.get(name) {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Null) | None => String::new(),
                    Some(other) => other.to_string(),
                };
                self.threshold = value.get("threshold").and_then(Value::as_f64);
                let facts = [
                    ("rows", "flow records learned from"),
                    ("held_out", "held out for calibration"),
                    ("trees", "trees"),
                    ("columns_used", "features used"),
                    ("created_by", "made by"),
                ];
                let facts = facts.map(|(key, name)| (name.to_owned(), text(key)));
                self.model = ModelFacts {
                    digest: text("digest").chars().take(16).collect(),
                    learned: String::new(),
                    facts: facts
                        .into_iter()
                        .filter(|(_, value)| !value.is_empty())
                        .collect(),
                };
            }
            _ => {}
        }
    }
}

/// Where a span of traffic time begins that ends with the newest traffic.
fn since(connection: &Connection, lately: Option<Duration>) -> rusqlite::Result<u64> {
    let Some(lately) = lately else { return Ok(0) };
    let newest: Option<i64> =
        connection.query_row("SELECT max(start_s) FROM rollup_slots", [], |row| {
            row.get(0)
        })?;
    let end = natural(newest.unwrap_or(0)) + crate::sink::rollup::SLOT_SECONDS;
    Ok(end.saturating_sub(lately.as_secs()) * SECOND_NS)
}

fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Slots of traffic by when they begin, seconds since 1970.
fn slots(connection: &Connection, since: i64) -> rusqlite::Result<Vec<(u64, Slot)>> {
    let mut statement = connection.prepare(
        "SELECT start_s, flows, anomalous, sent + received FROM rollup_slots WHERE start_s >= ?1 ORDER BY start_s",
    )?;
    let rows = statement.query_map([since], |row| {
        let slot = Slot {
            flows: natural(row.get(1)?),
            anomalous: natural(row.get(2)?),
            bytes: natural(row.get(3)?),
        };
        Ok((natural(row.get(0)?), slot))
    })?;
    rows.collect()
}

/// The same in few enough slots of equal length.
fn timeline(slots: &[(u64, Slot)]) -> Timeline {
    let (Some((first, _)), Some((last, _))) = (slots.first(), slots.last()) else {
        return Timeline::default();
    };
    let own = crate::sink::rollup::SLOT_SECONDS;
    let mut length = own;
    while (last - first) / length >= SLOTS {
        length *= 2;
    }
    let start = first - first % length;
    let mut all = vec![Slot::default(); ((last - start) / length + 1) as usize];
    for (at, slot) in slots {
        let sum = &mut all[((at - start) / length) as usize];
        sum.flows += slot.flows;
        sum.anomalous += slot.anomalous;
        sum.bytes = sum.bytes.saturating_add(slot.bytes);
    }
    Timeline {
        start_ns: start * SECOND_NS,
        slot_ns: length * SECOND_NS,
        slots: all,
    }
}

fn scores(connection: &Connection, since: i64) -> rusqlite::Result<Vec<u64>> {
    let mut bins = vec![0; crate::sink::rollup::SCORE_BINS];
    let mut statement = connection
        .prepare("SELECT bin, sum(flows) FROM rollup_scores WHERE hour_s >= ?1 GROUP BY bin")?;
    let mut rows = statement.query([since])?;
    while let Some(row) = rows.next()? {
        let (bin, flows): (i64, i64) = (row.get(0)?, row.get(1)?);
        if let Some(place) = bins.get_mut(natural(bin) as usize) {
            *place += natural(flows);
        }
    }
    Ok(bins)
}

fn sums(connection: &Connection, sql: &str, since: i64) -> rusqlite::Result<Vec<Sum>> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(params![since, ROWS], |row| {
        Ok(Sum {
            name: row.get(0)?,
            flows: natural(row.get(1)?),
            anomalous: natural(row.get(2)?),
            sent: natural(row.get(3)?),
            received: natural(row.get(4)?),
        })
    })?;
    rows.collect()
}

/// A flow of the store as one that stands out.
fn top(flow: &FlowEntry) -> TopFlow {
    TopFlow {
        id: flow.uid.clone(),
        community_id: flow.community_id.clone().unwrap_or_default(),
        cells: stored_cells(flow),
        reasons: flow.why(),
    }
}
