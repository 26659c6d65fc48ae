//! Who and what moves most, over all traffic.

use rusqlite::Connection;
use sensor_ebpf::flow::TimeNs;

use super::{
    profiles::HOUR_NS,
    value::{integer, natural},
};
use crate::{flow::ip_address, sink::rollup::What};

/// What is ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TopOf {
    /// Hosts, by what they sent and received; a flow counts for both of its.
    #[default]
    Hosts,
    /// Who talks to whom: originators and their responders.
    Pairs,
    /// Services: protocol and port.
    Services,
    /// IP protocols.
    Protocols,
    /// Kinds of incident that flows are part of.
    Kinds,
}

/// By what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TopBy {
    /// IP bytes of both sides.
    #[default]
    Bytes,
    /// Packets of both sides.
    Packets,
    /// Flows that ended.
    Flows,
    /// Flows without an answer, or rejected.
    Failed,
    /// Anomalous flows.
    Anomalous,
}

/// Which ranking is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopFilter {
    /// What is ranked.
    pub of: TopOf,
    /// By what.
    pub by: TopBy,
    /// Since the hour of this moment.
    pub since_ns: TimeNs,
    /// Rows at most.
    pub limit: u32,
}

impl Default for TopFilter {
    fn default() -> Self {
        Self {
            of: TopOf::default(),
            by: TopBy::default(),
            since_ns: 0,
            limit: 20,
        }
    }
}

/// A row of a ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct TopRow {
    /// Name; empty for all that are not told apart.
    pub name: String,
    /// Share of the measure in all rows, 0 to 1.
    pub share: f64,
    /// Flows that ended.
    pub flows: u64,
    /// Flows without an answer, or rejected.
    pub failed: u64,
    /// Anomalous flows.
    pub anomalous: u64,
    /// Packets of both sides; of hosts since they are known, whatever the time asked for.
    pub packets: u64,
    /// IP bytes of originators; of hosts what they sent.
    pub sent_bytes: u64,
    /// IP bytes of responders; of hosts what they received.
    pub received_bytes: u64,
}

pub(super) fn select(connection: &Connection, wanted: &TopFilter) -> rusqlite::Result<Vec<TopRow>> {
    let (hour, second) = (wanted.since_ns / HOUR_NS, wanted.since_ns / HOUR_NS * 3600);
    let mix = |what: What| {
        format!(
            "SELECT name AS who, sum(flows) AS f, sum(failed) AS x, sum(anomalous) AS a, sum(packets) AS p, sum(sent) AS s,
                sum(received) AS r FROM rollup_mix WHERE hour_s >= {second} AND what = {} GROUP BY name",
            what as u8
        )
    };
    let rows = match wanted.of {
        TopOf::Hosts if wanted.since_ns == 0 => {
            "SELECT address AS who, flows AS f, failed AS x, anomalous AS a, sent_packets + received_packets AS p,
                sent_bytes AS s, received_bytes AS r FROM hosts"
                .to_owned()
        }
        TopOf::Hosts => format!(
            "SELECT address AS who, sum(host_hours.flows) AS f, sum(host_hours.failed) AS x, sum(host_hours.anomalous) AS a,
                sent_packets + received_packets AS p, sum(host_hours.sent_bytes) AS s, sum(host_hours.received_bytes) AS r
             FROM host_hours JOIN hosts ON hosts.id = host_hours.host WHERE hour >= {} GROUP BY hosts.id",
            integer(hour)
        ),
        TopOf::Pairs => format!(
            "SELECT CASE WHEN src = '' THEN '' ELSE src || ' > ' || dst END AS who, sum(flows) AS f, sum(failed) AS x,
                sum(anomalous) AS a, sum(packets) AS p, sum(sent) AS s, sum(received) AS r
             FROM rollup_pairs WHERE hour_s >= {second} GROUP BY src, dst"
        ),
        TopOf::Services => mix(What::Service),
        TopOf::Protocols => mix(What::Protocol),
        TopOf::Kinds => mix(What::Kind),
    };
    let measure = match wanted.by {
        TopBy::Bytes => "s + r",
        TopBy::Packets => "p",
        TopBy::Flows => "f",
        TopBy::Failed => "x",
        TopBy::Anomalous => "a",
    };
    let sql = format!(
        "SELECT who, f, x, a, p, s, r, CAST({measure} AS REAL) / max(1, sum({measure}) OVER ()) FROM ({rows})
         ORDER BY who = '', {measure} DESC, who LIMIT {}",
        wanted.limit
    );
    let is_host = wanted.of == TopOf::Hosts;
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], |row| {
        let number = |at: usize| row.get::<_, i64>(at).map(natural);
        Ok(TopRow {
            name: if is_host {
                ip_address(&row.get::<_, [u8; 16]>(0)?).to_string()
            } else {
                row.get(0)?
            },
            flows: number(1)?,
            failed: number(2)?,
            anomalous: number(3)?,
            packets: number(4)?,
            sent_bytes: number(5)?,
            received_bytes: number(6)?,
            share: row.get(7)?,
        })
    })?;
    rows.collect()
}
