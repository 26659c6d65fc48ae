//! Detectors that need no memory of their own: the row knows what its hosts did lately.

use std::net::IpAddr;

use model::Model;

use super::{
    Evidence, Kind,
    at::{Known, known},
    null::{fisher, half_fails, poisson},
    rule::{self, PAIR_FLOWS, PAIR_GAP_MEAN},
};
use crate::{features::Row, flow::FlowRecord};

pub(super) const DST_PORT: Known = known("dst_port");
const DST_FLOWS_10S: Known = known("dst_flows_10s");
const DST_PEERS_10S: Known = known("dst_peers_10s");
const DST_FAILED_10S: Known = known("dst_failed_share_10s");
const SRC_PEERS_10S: Known = known("src_peers_10s");
const UNANSWERED: Known = known("unanswered");
const ORIG_BYTES: Known = known("orig_bytes");
const RESP_BYTES: Known = known("resp_bytes");
const ORIG_LENGTH: Known = known("orig_length_mean");
const SRC_FLOWS_60S: Known = known("src_flows_60s");
pub(super) const PCR: Known = known("producer_consumer_ratio");

/// Ports, peers and failures of the source over one window.
const SOURCE: [[Known; 3]; 2] = [
    [
        known("src_ports_60s"),
        known("src_peers_60s"),
        known("src_failed_share_60s"),
    ],
    [
        known("src_ports_600s"),
        known("src_peers_600s"),
        known("src_failed_share_600s"),
    ],
];

/// Distinct ports or hosts below which nothing is called a scan, however quiet the baseline.
const LEAST_BREADTH: f32 = 6.0;
/// What the shape of a scan or a flood is worth at most, where the baseline does not confirm that it is unusual.
pub(super) const BY_SHAPE: f64 = 1e-6;
/// Hosts below which logins at many hosts are no spraying.
const SPRAYED: f32 = 5.0;
/// Share of the source's flows that go to the service it sprays.
const SPRAYED_SHARE: f32 = 0.8;
/// Seconds between logins of one person or job at one service, on average, in the null model of guessing.
const LOGIN_EVERY: f64 = 60.0;
/// Payload bytes of a program that is worth fetching.
const PROGRAM: u64 = 50_000;
/// Flows of a pair up to which it is a first contact.
const FIRST_CONTACTS: f32 = 3.0;
/// Mean IP bytes of a look-up that carries more than a name (names of hosts make 60 to 80).
const LONG_QUERY: f32 = 100.0;
/// Look-ups below which long names are no tunnel.
const QUERIES: f32 = 20.0;

/// Far more than one host can want, or answers it did not ask for; with the victim.
pub(super) fn flood(record: &FlowRecord, row: &Row, model: &Model) -> Option<(Evidence, IpAddr)> {
    if !rule::scans_amid_flood(record, row, DST_FLOWS_10S.of(row))
        && let Some(victim) = rule::flooded(record, row)
    {
        let p = fisher(
            DST_FLOWS_10S.tail(model, row),
            DST_FAILED_10S.tail(model, row),
        );
        // Also where the baseline knows floods, as for scans below.
        let flows = f64::from(DST_FLOWS_10S.of(row));
        let failed = flows * f64::from(rule::in_vain(row));
        let p = p.min(half_fails(flows, failed).max(BY_SHAPE));
        let evidence = Evidence::of(Kind::Flood, p).with(DST_FLOWS_10S.measure(model, row));
        return Some((evidence, victim));
    }
    let victim = rule::amplified(record, row)?;
    let senders = if record.orig().packets == 0 {
        SRC_PEERS_10S
    } else {
        DST_PEERS_10S
    };
    let p = fisher(senders.tail(model, row), UNANSWERED.tail_of(model, 1.0));
    // As above: of this many hosts none was asked.
    let unasked = f64::from(senders.of(row));
    let p = p.min(half_fails(unasked, unasked).max(BY_SHAPE));
    let evidence = Evidence::of(Kind::Amplification, p).with(senders.measure(model, row));
    Some((evidence, victim))
}

/// Many ports or many hosts, tried in vain more often than is usual here.
pub(super) fn scan(record: &FlowRecord, row: &Row, model: &Model) -> Option<Evidence> {
    if !rule::is_probe(record, row) {
        return None;
    }
    let mut best: Option<Evidence> = None;
    for [ports, peers, failed] in SOURCE {
        let vertical = ports.of(row) >= peers.of(row);
        let breadth = if vertical { ports } else { peers };
        if breadth.of(row).is_nan() || breadth.of(row) < LEAST_BREADTH {
            continue;
        }
        // Ports or peers, over two windows: four tests.
        let mut p = fisher(breadth.tail(model, row), failed.tail(model, row));
        if rule::scans(row) {
            // Also where the baseline knows scanners: attempts of which half fail by chance do not fail in such numbers.
            let tried = f64::from(breadth.of(row));
            p = p.min(half_fails(tried, tried * f64::from(failed.of(row))).max(BY_SHAPE));
        }
        let p = (4.0 * p).min(1.0);
        let kind = match (record.key.protocol, vertical) {
            (1 | 58, false) => Kind::HostSweep,
            (_, true) => Kind::PortScanVertical,
            (_, false) => Kind::PortScanHorizontal,
        };
        if best.is_none_or(|best| p < best.p_value) {
            best = Some(Evidence::of(kind, p).with(breadth.measure(model, row)));
        }
    }
    best
}

/// Short logins, again and again at one service or at many hosts.
pub(super) fn login(record: &FlowRecord, row: &Row, model: &Model) -> Option<Evidence> {
    if !rule::is_short_login(record) {
        return None;
    }
    if rule::guesses(record, row) {
        // Logins of a person or a job come once a minute or less; the first is free.
        let tries = f64::from(row[PAIR_FLOWS]);
        let time = (tries - 1.0) * f64::from(row[PAIR_GAP_MEAN]);
        let p = poisson(tries, 1.0 + time / LOGIN_EVERY);
        let p = fisher(p, DST_PORT.rarity(model, row));
        return Some(Evidence::of(Kind::PasswordGuessing, p));
    }
    let [_, peers, _] = SOURCE[1];
    let sprays = peers.of(row) >= SPRAYED && row[rule::SRC_SAME_SERVICE] >= SPRAYED_SHARE;
    sprays.then(|| {
        let p = fisher(peers.tail(model, row), DST_PORT.rarity(model, row));
        Evidence::of(Kind::PasswordSpraying, p).with(peers.measure(model, row))
    })
}

/// Much sent out of the house, little fetched.
pub(super) fn exfiltration(
    record: &FlowRecord,
    row: &Row,
    model: &Model,
    forest: f64,
) -> Option<Evidence> {
    rule::exfiltrates(record, row, forest).then(|| {
        let p = fisher(ORIG_BYTES.tail(model, row), PCR.tail(model, row));
        Evidence::of(Kind::Exfiltration, p).with(ORIG_BYTES.measure(model, row))
    })
}

/// Look-ups that are longer than names and more than a host has.
pub(super) fn dns_tunnel(record: &FlowRecord, row: &Row, model: &Model) -> Option<Evidence> {
    let asked = row[PAIR_FLOWS].max(record.orig().packets as f32);
    let suits = record.destination_port() == 53
        && matches!(record.key.protocol, 6 | 17)
        && ORIG_LENGTH.of(row) >= LONG_QUERY
        && asked >= QUERIES;
    suits.then(|| {
        let rate = SRC_FLOWS_60S.of(row).max(record.orig().packets as f32);
        let p = fisher(
            ORIG_LENGTH.tail(model, row),
            SRC_FLOWS_60S.tail_of(model, rate),
        );
        Evidence::of(Kind::DnsTunnel, p).with(ORIG_LENGTH.measure(model, row))
    })
}

/// Something of the size of a program, fetched at first contact from a service that is rare here.
pub(super) fn download(record: &FlowRecord, row: &Row, model: &Model) -> Option<Evidence> {
    let suits = record.key.protocol == 6
        && record.resp().payload_bytes >= PROGRAM
        && PCR.of(row) <= -0.8
        && row[PAIR_FLOWS] <= FIRST_CONTACTS;
    suits.then(|| {
        let p = fisher(RESP_BYTES.tail(model, row), DST_PORT.rarity(model, row));
        Evidence::of(Kind::Download, p).with(RESP_BYTES.measure(model, row))
    })
}
