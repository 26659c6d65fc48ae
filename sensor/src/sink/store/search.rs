//! Which flows are wanted, and how SQLite finds them.

use rusqlite::Connection;
use sensor_ebpf::flow::TimeNs;

use super::{
    flows::{COLUMNS, FlowEntry, entry},
    query::Query,
    value::{integer, natural},
};
use crate::score::HostMatch;

/// In which order flows are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FlowOrder {
    /// Most anomalous first.
    #[default]
    PValue,
    /// Newest first.
    Start,
    /// Most bytes first.
    ///
    /// Without a filter, this reads all.
    Bytes,
}

/// Which flows are wanted; nothing set wants all.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowFilter {
    /// Id that its source gave.
    pub id: Option<String>,
    /// Either side.
    pub host: Option<HostMatch>,
    /// Originator.
    pub src: Option<HostMatch>,
    /// Responder.
    pub dst: Option<HostMatch>,
    /// Port of the responder.
    pub port: Option<u16>,
    /// As [`FlowEntry::protocol`].
    pub protocol: Option<u16>,
    /// Name of the kind of incident.
    pub kind: Option<String>,
    /// Id of an incident, whole: flows of its kind and host in its time.
    pub incident: Option<String>,
    /// Community ID.
    pub community_id: Option<String>,
    /// Whether the score reached the threshold.
    pub anomalous: Option<bool>,
    /// Whether a threat list held one of its sides.
    pub listed: Option<bool>,
    /// At most this p-value.
    pub most_p_value: Option<f64>,
    /// First packet at this moment or later.
    pub since_ns: TimeNs,
    /// First packet before this moment.
    pub until_ns: Option<TimeNs>,
    /// Whether these moments are about the last packet instead: sums over all flows count a flow where it ends.
    pub by_end: bool,
    /// Order of the answers.
    pub order: FlowOrder,
    /// Answers at most.
    pub limit: u32,
    /// Answers left out before the first.
    pub offset: u32,
}

impl Default for FlowFilter {
    fn default() -> Self {
        Self {
            id: None,
            host: None,
            src: None,
            dst: None,
            port: None,
            protocol: None,
            kind: None,
            incident: None,
            community_id: None,
            anomalous: None,
            listed: None,
            most_p_value: None,
            since_ns: 0,
            until_ns: None,
            by_end: false,
            order: FlowOrder::default(),
            limit: 100,
            offset: 0,
        }
    }
}

/// Conditions that every branch of a search has in common.
fn conditions(wanted: &FlowFilter, query: &mut Query) {
    if let Some(id) = &wanted.id {
        query.and("uid = ?", id.clone());
    }
    if let Some(id) = &wanted.community_id {
        query.and("community_id = ?", id.clone());
    }
    if let Some(kind) = &wanted.kind {
        query.and("kind = ?", kind.clone());
    }
    for (column, host) in [("src", &wanted.src), ("dst", &wanted.dst)] {
        if let Some(host) = host {
            query.host(column, host);
        }
    }
    if let Some(port) = wanted.port {
        query.and("dst_port = ?", i64::from(port));
    }
    if let Some(protocol) = wanted.protocol {
        query.and("protocol = ?", i64::from(protocol));
    }
    if let Some(anomalous) = wanted.anomalous {
        query.and("anomalous = ?", i64::from(anomalous));
    }
    match wanted.listed {
        Some(true) => query.and_is("intel IS NOT NULL"),
        Some(false) => query.and_is("intel IS NULL"),
        None => {}
    }
    if let Some(most) = wanted.most_p_value {
        query.and("p_value <= ?", most);
    }
    let moment = if wanted.by_end { ENDS } else { "start_ns" };
    if wanted.since_ns > 0 {
        query.and(&format!("{moment} >= ?"), integer(wanted.since_ns));
    }
    if let Some(until) = wanted.until_ns {
        query.and(&format!("{moment} < ?"), integer(until));
    }
}

/// Last packet, in the words of the index of it.
const ENDS: &str = "start_ns + ifnull(duration_ns, 0)";

const fn order(order: FlowOrder) -> &'static str {
    match order {
        FlowOrder::PValue => "p_value, flows.id",
        FlowOrder::Start => "start_ns DESC, flows.id DESC",
        FlowOrder::Bytes => "ifnull(orig_bytes, 0) + ifnull(resp_bytes, 0) DESC, flows.id",
    }
}

/// The searches that together answer: one, or one for each side of a host. Two have an index each, which `OR` has not.
fn branches(wanted: &FlowFilter) -> Vec<Query> {
    let Some(host) = &wanted.host else {
        let mut query = Query::new();
        conditions(wanted, &mut query);
        return vec![query];
    };
    let side = |column: &str, other: Option<&str>| {
        let mut query = Query::new();
        query.host(column, host);
        // A flow from a host of a prefix to another of it is found once.
        if let Some(other) = other {
            query.not_host(other, host);
        }
        conditions(wanted, &mut query);
        query
    };
    vec![side("src", None), side("dst", Some("src"))]
}

/// Flows that are wanted, in their order.
pub(super) fn select(
    connection: &Connection,
    wanted: &FlowFilter,
) -> rusqlite::Result<Vec<FlowEntry>> {
    let most = u64::from(wanted.limit) + u64::from(wanted.offset);
    let mut found = Vec::new();
    let branches = branches(wanted);
    let one = branches.len() == 1;
    for query in branches {
        let window = if one {
            format!("LIMIT {} OFFSET {}", wanted.limit, wanted.offset)
        } else {
            format!("LIMIT {most}")
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM flows {} ORDER BY {} {window}",
            query.clause(),
            order(wanted.order)
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(query.parameters(), entry)?;
        for row in rows {
            found.push(row?);
        }
    }
    if !one {
        let bytes = |flow: &FlowEntry| flow.orig_bytes.unwrap_or(0) + flow.resp_bytes.unwrap_or(0);
        found.sort_by(|a, b| match wanted.order {
            FlowOrder::PValue => a.p_value.total_cmp(&b.p_value).then(a.id.cmp(&b.id)),
            FlowOrder::Start => (b.start_ns, b.id).cmp(&(a.start_ns, a.id)),
            FlowOrder::Bytes => bytes(b).cmp(&bytes(a)).then(a.id.cmp(&b.id)),
        });
        found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        found.drain(..found.len().min(wanted.offset as usize));
    }
    Ok(found)
}

/// How SQLite searches, a line for each step.
pub(super) fn plan(connection: &Connection, wanted: &FlowFilter) -> rusqlite::Result<Vec<String>> {
    let mut steps = Vec::new();
    for query in branches(wanted) {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT {COLUMNS} FROM flows {} ORDER BY {} LIMIT {}",
            query.clause(),
            order(wanted.order),
            wanted.limit
        );
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_map(query.parameters(), |row| row.get("detail"))?;
        for row in rows {
            steps.push(row?);
        }
    }
    Ok(steps)
}

/// How many flows are wanted; `most` where there are more.
pub(super) fn count(
    connection: &Connection,
    wanted: &FlowFilter,
    most: u64,
) -> rusqlite::Result<u64> {
    let mut sum = 0;
    for query in branches(wanted) {
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM flows {} LIMIT {})",
            query.clause(),
            integer(most)
        );
        let found: i64 = connection
            .prepare_cached(&sql)?
            .query_row(query.parameters(), |row| row.get(0))?;
        sum += natural(found);
    }
    Ok(sum.min(most))
}

/// The filter with the incident, if one is named, put in the words of flows: its kind, its host, its time.
pub(super) fn resolve(
    connection: &Connection,
    wanted: &FlowFilter,
) -> Result<FlowFilter, rusqlite::Error> {
    let mut wanted = wanted.clone();
    let Some(id) = wanted.incident.take() else {
        return Ok(wanted);
    };
    let found = connection
        .prepare_cached("SELECT kind, host, first_ns, last_ns FROM incidents WHERE id = ?1")?
        .query_row([&id], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                natural(row.get(2)?),
                natural(row.get(3)?),
            ))
        });
    match found {
        Ok((kind, host, first, last)) => {
            wanted.kind = Some(kind);
            wanted.host = HostMatch::parse(&host).ok();
            wanted.since_ns = wanted.since_ns.max(first);
            let until = last.saturating_add(1);
            wanted.until_ns = Some(wanted.until_ns.map_or(until, |given| given.min(until)));
        }
        // No such incident: no such flows.
        Err(rusqlite::Error::QueryReturnedNoRows) => wanted.limit = 0,
        Err(error) => return Err(error),
    }
    Ok(wanted)
}
