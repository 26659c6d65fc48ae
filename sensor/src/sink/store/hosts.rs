//! What each host does: since when it is known, how much it sent and received, with whom, which services it offers and uses, and
//! what is usual for it in an hour.
//!
//! A host is known once it took part in a conversation: an address that was only asked, or that only asked and said nothing more,
//! may be made up by whoever scans or forges. A known host's unanswered flows count.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};
use sensor_ebpf::flow::TimeNs;

use super::{
    integer, natural,
    query::Query,
    sketch::{Bits, Sketch, hash},
};
use crate::{
    flow::{ConnState, FlowRecord, ip_address, protocol_name},
    score::HostMatch,
};

/// An hour of traffic time.
pub(super) const HOUR_NS: u64 = 3600 * 1_000_000_000;
/// Hours of one host that are kept: two weeks show what is usual at each hour of the week.
const HOURS: u64 = 15 * 24;
/// Hosts with something new between two writes, at most.
const HOSTS: usize = 65_536;
/// Services of one host that are told apart, at most.
const SERVICES: usize = 32;

type Address = [u8; 16];

#[derive(Clone, Copy, Debug, Default)]
struct Hour {
    flows: u64,
    failed: u64,
    anomalous: u64,
    sent: u64,
    received: u64,
    peers: Bits,
}

/// What is new of a host.
#[derive(Clone, Debug, Default)]
struct Delta {
    /// Whether it took part in a conversation.
    is_known: bool,
    first: TimeNs,
    last: TimeNs,
    packets: [u64; 2],
    worst: Option<(f64, TimeNs)>,
    peers: Sketch,
    hours: BTreeMap<u64, Hour>,
    offers: BTreeMap<String, u64>,
    uses: BTreeMap<String, u64>,
}

/// What is new of all hosts, until it is written.
#[derive(Debug, Default)]
pub struct Profiles {
    new: HashMap<Address, Box<Delta>>,
    left_out: u64,
}

/// A flow's verdict, as far as a profile wants it: p-value, and whether it is anomalous.
type Verdict = Option<(f64, bool)>;

impl Profiles {
    /// Nothing new.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a flow that ended.
    pub fn absorb(&mut self, record: &FlowRecord, verdict: Verdict) {
        let (orig, resp) = (record.orig(), record.resp());
        let failed = resp.packets == 0 || record.conn_state() == ConnState::Rej;
        let half_open = matches!(
            record.conn_state(),
            ConnState::S0
                | ConnState::Sh
                | ConnState::Shr
                | ConnState::Rej
                | ConnState::Rstos0
                | ConnState::Rstrh
        );
        let met = orig.packets > 0 && resp.packets > 0 && !half_open;
        let service = met.then(|| service(record)).flatten();
        let sides = [record.originator, record.responder()];
        for (at, side) in sides.into_iter().enumerate() {
            let (own, other) = if at == 0 { (orig, resp) } else { (resp, orig) };
            let address = record.key.addresses[side];
            let peer = record.key.addresses[1 - side];
            if is_many(&address) || (at == 1 && !met && !self.new.contains_key(&address)) {
                continue;
            }
            if self.new.len() >= HOSTS && !self.new.contains_key(&address) {
                self.left_out += 1;
                continue;
            }
            let delta = self.new.entry(address).or_insert_with(|| {
                Box::new(Delta {
                    first: record.start(),
                    ..Delta::default()
                })
            });
            delta.is_known |= met;
            delta.first = delta.first.min(record.start());
            delta.last = delta.last.max(record.last());
            delta.packets[0] += own.packets;
            delta.packets[1] += other.packets;
            if let Some((p_value, _)) = verdict
                && delta.worst.is_none_or(|(worst, _)| p_value < worst)
            {
                delta.worst = Some((p_value, record.last()));
            }
            let hour = delta.hours.entry(record.last() / HOUR_NS).or_default();
            hour.flows += 1;
            hour.failed += u64::from(failed && at == 0);
            hour.anomalous += u64::from(verdict.is_some_and(|(_, anomalous)| anomalous));
            hour.sent += own.ip_bytes;
            hour.received += other.ip_bytes;
            if met {
                let hash = hash(&peer);
                hour.peers.add(hash);
                delta.peers.add(hash);
            }
            if let Some(service) = &service {
                let of = if at == 0 {
                    &mut delta.uses
                } else {
                    &mut delta.offers
                };
                count_service(of, service, 1);
            }
        }
    }

    /// Flows of hosts that were left out since this was asked last, because too many were new at once.
    pub fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    /// Writes what is new. Inside of a transaction; on an error nothing was taken, and it can be tried again.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut all: Vec<_> = self.new.iter().collect();
        // Rows beside each other are on one page.
        all.sort_unstable_by_key(|(address, _)| **address);
        for (address, delta) in all {
            write(connection, address, delta)?;
        }
        Ok(())
    }

    /// Forgets what was written, once the transaction is done.
    pub fn written(&mut self) {
        self.new.clear();
    }
}

/// Whether an address is that of no single host: multicast, broadcast, unspecified.
fn is_many(address: &Address) -> bool {
    match ip_address(address) {
        std::net::IpAddr::V4(address) => {
            address.is_multicast() || address.is_broadcast() || address.is_unspecified()
        }
        std::net::IpAddr::V6(address) => address.is_multicast() || address.is_unspecified(),
    }
}

/// Protocol and port; a protocol without ports has no services.
fn service(record: &FlowRecord) -> Option<String> {
    let protocol = record.protocol();
    let name = protocol_name(protocol)?;
    matches!(protocol, 6 | 17 | 33 | 132 | 136)
        .then(|| format!("{name}/{}", record.destination_port()))
}

/// Counts a service; of too many the rarest go.
fn count_service(of: &mut BTreeMap<String, u64>, service: &str, flows: u64) {
    *of.entry(service.to_owned()).or_default() += flows;
    if of.len() > 2 * SERVICES {
        let mut counts: Vec<u64> = of.values().copied().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let least = counts[SERVICES];
        of.retain(|_, flows| *flows > least);
    }
}

fn write(connection: &Connection, address: &Address, delta: &Delta) -> rusqlite::Result<()> {
    let before = connection
        .prepare_cached("SELECT id, peer_sketch, offers, uses FROM hosts WHERE address = ?1")?
        .query_row([address], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, Vec<u8>>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, String>(3)?,
            ))
        })
        .optional()?;
    if before.is_none() && !delta.is_known {
        return Ok(());
    }
    let mut peers = delta.peers.clone();
    let (mut offers, mut uses) = (delta.offers.clone(), delta.uses.clone());
    if let Some((_, sketch, offered, used)) = &before {
        peers.merge(sketch);
        for (of, text) in [(&mut offers, offered), (&mut uses, used)] {
            let known: BTreeMap<String, u64> = serde_json::from_str(text).unwrap_or_default();
            for (service, flows) in known {
                count_service(of, &service, flows);
            }
        }
    }
    let sum = |part: fn(&Hour) -> u64| integer(delta.hours.values().map(part).sum());
    let text =
        |services: &BTreeMap<String, u64>| serde_json::to_string(services).unwrap_or_default();
    let (worst, worst_ns) = delta.worst.unwrap_or((1.0, delta.last));
    let services = offers.len();
    connection
        .prepare_cached(
            "INSERT INTO hosts (address, first_ns, last_ns, flows, failed, anomalous, sent_bytes, received_bytes, sent_packets,
                received_packets, peers, services, worst_p, worst_ns, peer_sketch, offers, uses)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
             ON CONFLICT (address) DO UPDATE SET first_ns = min(first_ns, excluded.first_ns),
                last_ns = max(last_ns, excluded.last_ns), flows = flows + excluded.flows, failed = failed + excluded.failed,
                anomalous = anomalous + excluded.anomalous, sent_bytes = sent_bytes + excluded.sent_bytes,
                received_bytes = received_bytes + excluded.received_bytes,
                sent_packets = sent_packets + excluded.sent_packets,
                received_packets = received_packets + excluded.received_packets, peers = excluded.peers,
                services = excluded.services,
                worst_ns = CASE WHEN excluded.worst_p < worst_p THEN excluded.worst_ns ELSE worst_ns END,
                worst_p = min(worst_p, excluded.worst_p), peer_sketch = excluded.peer_sketch, offers = excluded.offers,
                uses = excluded.uses",
        )?
        .execute(params![
            address,
            integer(delta.first),
            integer(delta.last),
            sum(|hour| hour.flows),
            sum(|hour| hour.failed),
            sum(|hour| hour.anomalous),
            sum(|hour| hour.sent),
            sum(|hour| hour.received),
            integer(delta.packets[0]),
            integer(delta.packets[1]),
            integer(peers.estimate()),
            integer(services as u64),
            worst,
            integer(worst_ns),
            peers.bytes(),
            text(&offers),
            text(&uses)
        ])?;
    let id = before.map_or_else(|| connection.last_insert_rowid(), |(id, ..)| id);
    for (hour, new) in &delta.hours {
        write_hour(connection, id, *hour, new)?;
    }
    let newest = delta.hours.keys().last().copied().unwrap_or(0);
    connection
        .prepare_cached("DELETE FROM host_hours WHERE host = ?1 AND hour < ?2")?
        .execute(params![id, integer(newest.saturating_sub(HOURS))])
        .map(drop)
}

fn write_hour(connection: &Connection, id: i64, hour: u64, new: &Hour) -> rusqlite::Result<()> {
    let mut peers = new.peers;
    let before: Option<Vec<u8>> = connection
        .prepare_cached("SELECT peer_bits FROM host_hours WHERE host = ?1 AND hour = ?2")?
        .query_row(params![id, integer(hour)], |row| row.get(0))
        .optional()?;
    peers.merge(&before.unwrap_or_default());
    connection
        .prepare_cached(
            "INSERT INTO host_hours (host, hour, flows, failed, anomalous, sent_bytes, received_bytes, peer_bits)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET flows = flows + excluded.flows, failed = failed + excluded.failed,
                anomalous = anomalous + excluded.anomalous, sent_bytes = sent_bytes + excluded.sent_bytes,
                received_bytes = received_bytes + excluded.received_bytes, peer_bits = excluded.peer_bits",
        )?
        .execute(params![
            id,
            integer(hour),
            integer(new.flows),
            integer(new.failed),
            integer(new.anomalous),
            integer(new.sent),
            integer(new.received),
            peers.bytes()
        ])
        .map(drop)
}

/// A host in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct HostEntry {
    /// Its address.
    pub host: String,
    /// First packet.
    pub first_ns: TimeNs,
    /// Last packet.
    pub last_ns: TimeNs,
    /// Flows that ended, from it and to it.
    pub flows: u64,
    /// Flows from it without an answer, or rejected.
    pub failed: u64,
    /// Anomalous flows.
    pub anomalous: u64,
    /// IP bytes from it.
    pub sent_bytes: u64,
    /// IP bytes to it.
    pub received_bytes: u64,
    /// Packets from it.
    pub sent_packets: u64,
    /// Packets to it.
    pub received_packets: u64,
    /// Hosts that it had a conversation with, approximately.
    pub peers: u64,
    /// Services that it offers.
    pub services: u64,
    /// The least p-value of its flows; 1 where none was scored.
    pub worst_p: f64,
    /// When that flow ended.
    pub worst_ns: TimeNs,
    /// Open incidents about it.
    pub incidents: u64,
}

/// In which order hosts are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostOrder {
    /// Those with the most bytes first.
    #[default]
    Bytes,
    /// Those with the most flows first.
    Flows,
    /// Those with the most anomalous flows first.
    Anomalous,
    /// Those with open incidents first, then by the least p-value.
    Risk,
    /// Those seen last first.
    Last,
    /// Those with the most peers first.
    Peers,
}

/// Which hosts are wanted; nothing set wants all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostFilter {
    /// Of these addresses.
    pub host: Option<HostMatch>,
    /// Last packet at this moment or later.
    pub since_ns: TimeNs,
    /// Order of the answers.
    pub order: HostOrder,
    /// Answers at most; 0 for a hundred.
    pub limit: u32,
    /// Answers left out before the first.
    pub offset: u32,
}

/// An hour of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostHour {
    /// When it began.
    pub start_ns: TimeNs,
    /// Flows that ended, from it and to it.
    pub flows: u64,
    /// Flows from it without an answer, or rejected.
    pub failed: u64,
    /// Anomalous flows.
    pub anomalous: u64,
    /// IP bytes from it.
    pub sent_bytes: u64,
    /// IP bytes to it.
    pub received_bytes: u64,
    /// Hosts that it had a conversation with, approximately.
    pub peers: u64,
}

/// What is usual for a host in an hour in which it is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// What: a field of [`HostHour`].
    pub name: &'static str,
    /// In the newest hour.
    pub now: u64,
    /// Median of the hours before.
    pub median: u64,
    /// 95 % quantile of the hours before.
    pub high: u64,
    /// Most in one of the hours before.
    pub most: u64,
    /// Hours before.
    pub hours: u64,
}

/// All that is known of one host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostProfile {
    /// As it is in a list.
    pub entry: HostEntry,
    /// Its hours, oldest first; those without a flow are not there.
    pub hours: Vec<HostHour>,
    /// What is usual for it.
    pub usual: Vec<Usual>,
    /// Services that it offers, with the flows to them, most first.
    pub offers: Vec<(String, u64)>,
    /// Services that it uses, with the flows to them, most first.
    pub uses: Vec<(String, u64)>,
}

const COLUMNS: &str = "address, first_ns, last_ns, flows, failed, anomalous, sent_bytes, received_bytes, sent_packets,
    received_packets, peers, services, worst_p, worst_ns,
    (SELECT count(*) FROM incidents WHERE host_key = hosts.address AND state = 0)";

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<HostEntry> {
    let number = |at: usize| row.get::<_, i64>(at).map(natural);
    Ok(HostEntry {
        host: ip_address(&row.get::<_, Address>(0)?).to_string(),
        first_ns: number(1)?,
        last_ns: number(2)?,
        flows: number(3)?,
        failed: number(4)?,
        anomalous: number(5)?,
        sent_bytes: number(6)?,
        received_bytes: number(7)?,
        sent_packets: number(8)?,
        received_packets: number(9)?,
        peers: number(10)?,
        services: number(11)?,
        worst_p: row.get(12)?,
        worst_ns: number(13)?,
        incidents: number(14)?,
    })
}

/// Hosts that are wanted, in their order.
pub(super) fn select(
    connection: &Connection,
    wanted: &HostFilter,
) -> rusqlite::Result<Vec<HostEntry>> {
    let mut query = Query::new();
    if let Some(host) = &wanted.host {
        query.host("address", host);
    }
    if wanted.since_ns > 0 {
        query.and("last_ns >= ?", integer(wanted.since_ns));
    }
    let order = match wanted.order {
        HostOrder::Bytes => "sent_bytes + received_bytes DESC",
        HostOrder::Flows => "flows DESC",
        HostOrder::Anomalous => "anomalous DESC",
        HostOrder::Risk => {
            "(SELECT max(severity) FROM incidents WHERE host_key = hosts.address AND state = 0) DESC NULLS LAST, worst_p"
        }
        HostOrder::Last => "last_ns DESC",
        HostOrder::Peers => "peers DESC",
    };
    let limit = if wanted.limit == 0 { 100 } else { wanted.limit };
    let sql = format!(
        "SELECT {COLUMNS} FROM hosts WHERE id IN (SELECT id FROM hosts {} ORDER BY {order}, address LIMIT {limit} OFFSET {})
         ORDER BY {order}, address",
        query.clause(),
        wanted.offset
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(query.parameters(), entry)?.collect()
}

fn services(text: &str) -> Vec<(String, u64)> {
    let known: BTreeMap<String, u64> = serde_json::from_str(text).unwrap_or_default();
    let mut all: Vec<_> = known.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(SERVICES);
    all
}

/// All that is known of one host.
pub(super) fn profile(
    connection: &Connection,
    address: &Address,
) -> rusqlite::Result<Option<HostProfile>> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, id, offers, uses FROM hosts WHERE address = ?1"
        ))?
        .query_row([address], |row| {
            Ok((
                entry(row)?,
                row.get::<_, i64>("id")?,
                row.get::<_, String>("offers")?,
                row.get::<_, String>("uses")?,
            ))
        })
        .optional()?;
    let Some((entry, id, offers, uses)) = found else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT hour, flows, failed, anomalous, sent_bytes, received_bytes, peer_bits FROM host_hours WHERE host = ?1
         ORDER BY hour",
    )?;
    let hours = statement.query_map([id], |row| {
        let number = |at: usize| row.get::<_, i64>(at).map(natural);
        let mut peers = Bits::default();
        peers.merge(&row.get::<_, Vec<u8>>(6)?);
        Ok(HostHour {
            start_ns: number(0)? * HOUR_NS,
            flows: number(1)?,
            failed: number(2)?,
            anomalous: number(3)?,
            sent_bytes: number(4)?,
            received_bytes: number(5)?,
            peers: peers.estimate(),
        })
    })?;
    let hours: Vec<HostHour> = hours.collect::<Result<_, _>>()?;
    Ok(Some(HostProfile {
        usual: usual(&hours),
        entry,
        hours,
        offers: services(&offers),
        uses: services(&uses),
    }))
}

/// A field of an hour by its name.
type Measure = (&'static str, fn(&HostHour) -> u64);

fn usual(hours: &[HostHour]) -> Vec<Usual> {
    let Some((newest, before)) = hours.split_last() else {
        return Vec::new();
    };
    let measures: [Measure; 6] = [
        ("flows", |hour| hour.flows),
        ("failed", |hour| hour.failed),
        ("anomalous", |hour| hour.anomalous),
        ("sent_bytes", |hour| hour.sent_bytes),
        ("received_bytes", |hour| hour.received_bytes),
        ("peers", |hour| hour.peers),
    ];
    let measures = measures.into_iter();
    measures
        .map(|(name, of)| {
            let mut values: Vec<u64> = before.iter().map(of).collect();
            values.sort_unstable();
            let quantile = |share: f64| {
                let at = (values.len() as f64 * share).ceil() as usize;
                values.get(at.saturating_sub(1)).copied().unwrap_or(0)
            };
            Usual {
                name,
                now: of(newest),
                median: quantile(0.5),
                high: quantile(0.95),
                most: values.last().copied().unwrap_or(0),
                hours: before.len() as u64,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_is_what_the_hours_before_were() {
        let hour = |flows| HostHour {
            flows,
            ..HostHour::default()
        };
        let hours: Vec<HostHour> = (1..=20).chain([500]).map(hour).collect();
        let usual = usual(&hours);
        assert_eq!(
            usual[0],
            Usual {
                name: "flows",
                now: 500,
                median: 10,
                high: 19,
                most: 20,
                hours: 20
            }
        );
        assert!(super::usual(&[]).is_empty());
    }

    #[test]
    fn services_are_bounded_and_the_frequent_stay() {
        let mut services = BTreeMap::new();
        count_service(&mut services, "tcp/443", 1_000);
        for port in 0..10_000 {
            count_service(&mut services, &format!("tcp/{port}"), 1);
        }
        assert!(services.len() <= 2 * SERVICES && services["tcp/443"] >= 1_000);
    }
}
