//! Flows that are kept: those with a telling score.

use std::net::IpAddr;

use rusqlite::{Connection, params};
use sensor_ebpf::flow::TimeNs;
use serde_json::{Value, json};

use super::{StoreError, integer, natural, query::Query};
use crate::{
    features::TABLE,
    flow::{FlowRecord, ip_address, key_address},
    intel::Match,
    score::{HostMatch, Reason, Scored, Severity},
};

/// A scored flow.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowEntry {
    /// Number in the store; 0 before it is there.
    pub id: i64,
    /// Path of the file it comes from; nothing for one from the wire. Not looked at when it is stored.
    pub file: Option<String>,
    /// Line in its file, from 1; 0 where there is none.
    pub line: u64,
    /// Id that its source gave: ours in 16 hexadecimal digits, or Zeek's uid; may be empty.
    pub uid: String,
    /// Community ID, where it is known.
    pub community_id: Option<String>,
    /// First packet.
    pub start_ns: TimeNs,
    /// First to last packet.
    pub duration_ns: Option<u64>,
    /// Originator.
    pub src_ip: String,
    /// Its port.
    pub src_port: Option<u16>,
    /// Responder.
    pub dst_ip: String,
    /// Its port.
    pub dst_port: Option<u16>,
    /// IP protocol number; [`crate::flow::ARP`] for ARP.
    pub protocol: u16,
    /// Application protocol, where it was recognised.
    pub service: Option<String>,
    /// Zeek's word for how it went.
    pub conn_state: Option<String>,
    /// IP bytes of the originator.
    pub orig_bytes: Option<u64>,
    /// IP bytes of the responder.
    pub resp_bytes: Option<u64>,
    /// Packets of the originator.
    pub orig_packets: Option<u64>,
    /// Packets of the responder.
    pub resp_packets: Option<u64>,
    /// Higher is more anomalous.
    pub score: f32,
    /// Share of the baseline expected to score as high.
    pub p_value: f64,
    /// From the p-value.
    pub severity: Severity,
    /// Whether the score reached the threshold.
    pub anomalous: bool,
    /// Name of the kind of incident it is part of.
    pub kind: Option<String>,
    /// JSON: a list of objects with feature, value, weight, low, median, high, text.
    pub reasons: String,
    /// What threat lists said of its two sides when it ended.
    pub intel: Vec<Match>,
}

impl From<&FlowRecord> for FlowEntry {
    /// What a record says of itself, without a verdict.
    fn from(record: &FlowRecord) -> Self {
        let (orig, resp) = (record.orig(), record.resp());
        Self {
            id: 0,
            file: None,
            line: 0,
            uid: format!("{:016x}", record.id),
            community_id: Some(record.community_id()).filter(|id| !id.is_empty()),
            start_ns: record.start(),
            duration_ns: Some(record.last().saturating_sub(record.start())),
            src_ip: record.source().to_string(),
            src_port: Some(record.source_port()),
            dst_ip: record.destination().to_string(),
            dst_port: Some(record.destination_port()),
            protocol: record.protocol(),
            service: None,
            conn_state: Some(record.conn_state().name().to_owned()),
            orig_bytes: Some(orig.ip_bytes),
            resp_bytes: Some(resp.ip_bytes),
            orig_packets: Some(orig.packets),
            resp_packets: Some(resp.packets),
            score: 0.0,
            p_value: 1.0,
            severity: Severity::Info,
            anomalous: false,
            kind: None,
            reasons: "[]".to_owned(),
            intel: Vec::new(),
        }
    }
}

impl From<&Scored> for FlowEntry {
    fn from(scored: &Scored) -> Self {
        Self {
            score: scored.score,
            p_value: scored.p_value,
            severity: scored.severity,
            anomalous: scored.anomalous,
            kind: scored.kind.map(|kind| kind.name().to_owned()),
            reasons: reasons_json(&scored.reasons),
            ..Self::from(&scored.record)
        }
    }
}

/// In which order flows are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowOrder {
    /// The most anomalous first.
    #[default]
    PValue,
    /// The newest first.
    Start,
    /// Those with most bytes first. Without a filter, this reads all.
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

/// An address as the store keeps it; one that is none (no source gives one) is the unspecified address.
pub(super) fn key_of(address: &str) -> [u8; 16] {
    let parsed = address
        .parse::<IpAddr>()
        .map(|address| key_address(address.to_canonical()));
    parsed.unwrap_or_default()
}

pub(super) fn severity_of_name(name: &str) -> Severity {
    let mut all = Severity::ALL.into_iter();
    all.find(|known| known.name() == name)
        .unwrap_or(Severity::Info)
}

pub(super) fn severity_of(number: i64) -> Severity {
    let known = usize::try_from(number)
        .ok()
        .and_then(|at| Severity::ALL.get(at));
    known.copied().unwrap_or(Severity::Info)
}

/// Reasons as the store keeps them: a list of objects with feature, value, weight, low, median, high, text.
pub fn reasons_json(reasons: &[Reason]) -> String {
    let object = |reason: &Reason| {
        let number = super::super::json::number;
        json!({
            "feature": TABLE[reason.feature].name,
            "value": number(reason.value),
            "weight": number(reason.weight),
            "low": number(reason.low),
            "median": number(reason.median),
            "high": number(reason.high),
            "text": reason.to_string(),
        })
    };
    Value::from_iter(reasons.iter().map(object)).to_string()
}

/// Matches as the store keeps them; nothing where there are none.
fn intel_json(found: &[Match]) -> Option<String> {
    (!found.is_empty()).then(|| serde_json::to_string(found).unwrap_or_default())
}

/// Adds flows of a file, or of the wire.
pub(super) fn insert(
    connection: &Connection,
    file: Option<i64>,
    flows: &[FlowEntry],
) -> rusqlite::Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO flows (file, line, uid, community_id, start_ns, duration_ns, src, src_port, dst, dst_port, protocol,
            service, conn_state, orig_bytes, resp_bytes, orig_packets, resp_packets, score, p_value, severity, anomalous,
            kind, reasons, intel)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)",
    )?;
    for flow in flows {
        add.execute(params![
            file,
            file.map(|_| integer(flow.line)),
            flow.uid,
            flow.community_id,
            integer(flow.start_ns),
            flow.duration_ns.map(integer),
            key_of(&flow.src_ip),
            flow.src_port,
            key_of(&flow.dst_ip),
            flow.dst_port,
            flow.protocol,
            flow.service,
            flow.conn_state,
            flow.orig_bytes.map(integer),
            flow.resp_bytes.map(integer),
            flow.orig_packets.map(integer),
            flow.resp_packets.map(integer),
            f64::from(flow.score),
            flow.p_value,
            flow.severity as i64,
            flow.anomalous,
            flow.kind,
            flow.reasons,
            intel_json(&flow.intel)
        ])?;
    }
    Ok(())
}

const COLUMNS: &str = "flows.id, (SELECT path FROM files WHERE files.id = flows.file), line, uid, community_id, start_ns,
    duration_ns, src, src_port, dst, dst_port, protocol, service, conn_state, orig_bytes, resp_bytes, orig_packets,
    resp_packets, score, p_value, severity, anomalous, kind, reasons, intel";

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<FlowEntry> {
    let number = |at: usize| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(at)?.map(natural))
    };
    let address = |at: usize| -> rusqlite::Result<String> {
        Ok(ip_address(&row.get::<_, [u8; 16]>(at)?).to_string())
    };
    Ok(FlowEntry {
        id: row.get(0)?,
        file: row.get(1)?,
        line: number(2)?.unwrap_or(0),
        uid: row.get(3)?,
        community_id: row.get(4)?,
        start_ns: number(5)?.unwrap_or(0),
        duration_ns: number(6)?,
        src_ip: address(7)?,
        src_port: row.get(8)?,
        dst_ip: address(9)?,
        dst_port: row.get(10)?,
        protocol: row.get(11)?,
        service: row.get(12)?,
        conn_state: row.get(13)?,
        orig_bytes: number(14)?,
        resp_bytes: number(15)?,
        orig_packets: number(16)?,
        resp_packets: number(17)?,
        score: row.get::<_, f64>(18)? as f32,
        p_value: row.get(19)?,
        severity: severity_of(row.get(20)?),
        anomalous: row.get(21)?,
        kind: row.get(22)?,
        reasons: row.get(23)?,
        intel: row
            .get::<_, Option<String>>(24)?
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
    })
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

/// A fault that names the store.
pub(super) fn failed(path: &std::path::Path) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
    |source| StoreError::Sqlite {
        path: path.to_owned(),
        source,
    }
}
