//! What is known of hosts, as it is asked for: lists, one whole profile, and what is usual in an hour.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};
use sensor_ebpf::flow::TimeNs;

use super::{
    profiles::{Address, HOUR_NS, SERVICES},
    query::Query,
    sketch::Bits,
    value::{integer, natural},
};
use crate::{flow::ip_address, score::HostMatch};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum HostOrder {
    /// Most bytes first.
    #[default]
    Bytes,
    /// Most flows first.
    Flows,
    /// Most anomalous flows first.
    Anomalous,
    /// Those with grave open incidents first, then by the least p-value.
    Risk,
    /// Seen last first.
    Last,
    /// Most peers first.
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
}
