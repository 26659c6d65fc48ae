//! What is new of each host, until it is written: since when it is known, how much it sent and received, with whom, which services
//! it offers and uses, and how much of that in each hour.
//!
//! A host is known once it took part in a conversation: an address that was only asked, or that only asked and said nothing more,
//! may be made up by whoever scans or forges. A known host's unanswered flows count.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};
use sensor_ebpf::flow::TimeNs;

use super::{
    sketch::{Bits, Sketch, hash},
    value::integer,
};
use crate::flow::{ConnState, FlowRecord, has_ports, ip_address, is_group, service_text};

/// An hour of traffic time.
pub(super) const HOUR_NS: u64 = 3600 * 1_000_000_000;
/// Hours of one host that are kept: two weeks show what is usual at each hour of the week.
const HOURS: u64 = 15 * 24;
/// Hosts with something new between two writes, at most.
const HOSTS: usize = 65_536;
/// Services of one host that are told apart, at most.
pub(super) const SERVICES: usize = 32;

/// As [`sensor_ebpf::flow::FlowKey`] holds it.
pub(super) type Address = [u8; 16];

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
    is_group(address) || ip_address(address).is_unspecified()
}

/// Protocol and port; a protocol without ports has no services.
fn service(record: &FlowRecord) -> Option<String> {
    let protocol = record.protocol();
    has_ports(protocol).then(|| service_text(protocol, record.destination_port()))
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

#[cfg(test)]
mod tests {
    use super::*;

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
