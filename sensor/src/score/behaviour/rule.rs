//! Shapes of flows, without a baseline: what behaviour alone tells. Limits here only say where looking begins; how much a
//! finding is worth is a p-value's to say.

use std::net::IpAddr;

use super::at::at;
use crate::{
    context::ServiceClass,
    features::Row,
    flow::{ConnState, FlowRecord},
};

const DST_FLOWS_10S: usize = at("dst_flows_10s");
const DST_PORTS_10S: usize = at("dst_ports_10s");
const DST_PEERS_10S: usize = at("dst_peers_10s");
const DST_FAILED_10S: usize = at("dst_failed_share_10s");
const DST_HALF_OPEN_10S: usize = at("dst_half_open_share_10s");
const DST_PEERS_600S: usize = at("dst_peers_600s");
const SRC_FLOWS_10S: usize = at("src_flows_10s");
const SRC_FLOWS_60S: usize = at("src_flows_60s");
const SRC_PEERS_10S: usize = at("src_peers_10s");
const SRC_PEERS_60S: usize = at("src_peers_60s");
const SRC_PORTS_60S: usize = at("src_ports_60s");
const SRC_FAILED_60S: usize = at("src_failed_share_60s");
const SRC_HALF_OPEN_60S: usize = at("src_half_open_share_60s");
const SRC_FAILED_600S: usize = at("src_failed_share_600s");
pub(super) const SRC_SAME_SERVICE: usize = at("src_same_service_share");
pub(super) const SRC_PRIVATE: usize = at("src_private");
pub(super) const DST_PRIVATE: usize = at("dst_private");
pub(super) const DST_GROUP: usize = at("dst_group");
const PCR: usize = at("producer_consumer_ratio");
pub(in crate::score) const PAIR_FLOWS: usize = at("pair_flows");
pub(in crate::score) const PAIR_GAP_MEAN: usize = at("pair_gap_mean");
pub(in crate::score) const PAIR_GAP_VARIATION: usize = at("pair_gap_variation");

/// The numbers of the rules. Windows as in the names of the features.
pub(super) mod limit {
    /// Flows to one host in 10 s, most of them without success: 200 a second.
    pub(in crate::score::behaviour) const FLOOD_FLOWS: f32 = 2_000.0;
    /// Share of them that failed or stayed half open.
    pub(in crate::score::behaviour) const FLOOD_FAILED: f32 = 0.7;
    /// A scan of one host asks for a new port nearly each time: above this share of ports to flows from one source
    /// it is a scan, up to the rate at which it is a flood whatever it wants.
    pub(in crate::score::behaviour) const FLOOD_PORT_SHARE: f32 = 0.5;
    /// Flows to one host in 10 s at which even a scan is a flood: 5,000 a second.
    pub(in crate::score::behaviour) const FLOOD_ANYWAY: f32 = 50_000.0;
    /// Share of a flood up to which one of its sources may be a scanner who uses the occasion.
    pub(in crate::score::behaviour) const AMID_FLOOD: f32 = 0.02;
    /// Nanoseconds after which a scanner may repeat a probe.
    pub(super) const PROBE_RETRY_NS: u64 = 500_000_000;
    /// Hosts that send one host answers it did not ask for, in 10 s.
    pub(in crate::score::behaviour) const REFLECTORS: f32 = 25.0;
    /// Distinct ports one source asked for in 60 s.
    pub(super) const SCAN_PORTS: f32 = 15.0;
    /// Distinct hosts one source contacted in 60 s.
    pub(in crate::score::behaviour) const SCAN_PEERS: f32 = 20.0;
    /// Share of its flows that failed or stayed half open.
    pub(super) const SCAN_FAILED: f32 = 0.5;
    /// Logins of one source at one service of one host.
    pub(super) const GUESSES: f32 = 10.0;
    /// Mean seconds between them.
    pub(super) const GUESS_GAP: f32 = 5.0;
    /// The same for a patient guesser: more logins, more slowly.
    pub(super) const PATIENT_GUESSES: f32 = 60.0;
    /// Mean seconds between the logins of a patient guesser.
    pub(super) const PATIENT_GUESS_GAP: f32 = 30.0;
    /// Payload bytes of a failed login, each way: an SSH handshake is 2 to 5 kB, an FTP login 50 bytes.
    pub(super) const GUESS_PAYLOAD: std::ops::RangeInclusive<u64> = 20..=12_000;
    /// Payload bytes sent out of the private networks in one flow.
    pub(super) const EXFILTRATED: u64 = 1_000_000;
    /// Producer/consumer ratio: nine times as much sent as fetched.
    pub(super) const EXFILTRATION_RATIO: f32 = 0.8;
    /// p-value that an upload must have at most, unless nobody else talks to where it goes.
    pub(super) const EXFILTRATION_P: f64 = 0.05;
    /// Seconds between visits of a beacon, at least.
    pub(super) const BEACON_GAP: f32 = 1.0;
    /// Calls without answer after which a source is not trying but waiting for a master that is gone.
    pub(super) const LOST_CALLS: f32 = 50.0;
    /// Share of the source's flows in 10 min that failed then.
    pub(super) const LOST_SHARE: f32 = 0.5;
}

/// Whether behaviour alone tells an attack. Such flows are left out of a baseline that was learned unattended.
pub fn is_attack(record: &FlowRecord, row: &Row) -> bool {
    flooded(record, row).is_some()
        || amplified(record, row).is_some()
        || (is_probe(record, row) && scans(row))
        || guesses(record, row)
        || exfiltrates(record, row, 1.0)
}

/// Whether a flow to a flooded host, or network, belongs to its source's own scan of ports rather than to the flood: the source asks for
/// a new port nearly each time, and hardly adds to what pours in, `poured` flows in 10 s.
pub(super) fn scans_amid_flood(record: &FlowRecord, row: &Row, poured: f32) -> bool {
    let (flows, ports) = (row[SRC_FLOWS_60S], row[SRC_PORTS_60S]);
    is_probe(record, row)
        && scans(row)
        && ports >= flows * limit::FLOOD_PORT_SHARE
        && row[SRC_FLOWS_10S] <= poured * limit::AMID_FLOOD
}

/// A scanner sends a probe once and repeats it after a second or so; a flooder fires bursts.
pub(super) fn probes_once(record: &FlowRecord) -> bool {
    record.orig().packets == 1 || record.last() - record.start() > limit::PROBE_RETRY_NS
}

pub(super) fn flooded(record: &FlowRecord, row: &Row) -> Option<IpAddr> {
    let flows = row[DST_FLOWS_10S];
    let failed = in_vain(row);
    if flows >= limit::FLOOD_FLOWS && failed >= limit::FLOOD_FAILED && has_failed(record) {
        let port_share = row[DST_PORTS_10S] / flows;
        let scanned = port_share >= limit::FLOOD_PORT_SHARE
            && row[DST_PEERS_10S] < 3.0
            && probes_once(record);
        if !scanned || flows >= limit::FLOOD_ANYWAY {
            return Some(record.destination());
        }
    }
    None
}

/// Share of the flows to this destination in 10 s that failed or stayed half open.
pub(super) fn in_vain(row: &Row) -> f32 {
    row[DST_FAILED_10S].max(row[DST_HALF_OPEN_10S])
}

/// The host that answers pour in on that it did not ask for.
pub(super) fn amplified(record: &FlowRecord, row: &Row) -> Option<IpAddr> {
    // Fragments, or answers of services that amplify, that pour in from many hosts and get no word back.
    let amplified = is_answer(record) && row[DST_PEERS_10S] >= limit::REFLECTORS;
    if amplified {
        return Some(record.destination());
    }
    // Answers that nobody asked for, from many hosts at once.
    let reflected = is_unasked(record) && row[SRC_PEERS_10S] >= limit::REFLECTORS;
    reflected.then(|| record.source())
}

/// Fragments, or what services that amplify send, without a word back.
pub(super) fn is_answer(record: &FlowRecord) -> bool {
    record.resp().packets == 0
        && (record.key.is_later_fragment()
            || (record.key.protocol == 17 && AMPLIFIERS.contains(&record.source_port())))
}

/// An answer to nothing: the "originator" (by port) never sent a packet.
pub(super) fn is_unasked(record: &FlowRecord) -> bool {
    record.orig().packets == 0 && matches!(record.key.protocol, 1 | 17)
}

/// UDP services whose answers are larger than the questions (US-CERT alert TA14-017A): chargen, QOTD, DNS, portmap,
/// NTP, NetBIOS, SNMP, CLDAP, SSDP, memcached.
const AMPLIFIERS: [u16; 10] = [17, 19, 53, 111, 123, 137, 161, 389, 1900, 11_211];

/// Whether this flow alone could be a probe: it failed, or said nothing.
pub(super) fn is_probe(record: &FlowRecord, row: &Row) -> bool {
    (has_failed(record) || is_empty(record)) && row[DST_GROUP] <= 0.5 && record.orig().packets > 0
}

/// Whether the source of a probe tries so much in vain that it scans, whatever is usual.
pub(super) fn scans(row: &Row) -> bool {
    let failed = row[SRC_FAILED_60S].max(row[SRC_HALF_OPEN_60S]);
    let (ports, peers) = (row[SRC_PORTS_60S], row[SRC_PEERS_60S]);
    let much = (ports >= limit::SCAN_PORTS && ports >= peers) || peers >= limit::SCAN_PEERS;
    failed >= limit::SCAN_FAILED && much
}

/// Whether this could be a login that failed: one little exchange with a service that asks for passwords.
pub(super) fn is_short_login(record: &FlowRecord) -> bool {
    let class = ServiceClass::of(record.key.protocol, record.destination_port());
    let wants_login = matches!(
        class,
        ServiceClass::Remote | ServiceClass::Transfer | ServiceClass::Inside | ServiceClass::System
    );
    record.key.protocol == 6
        && wants_login
        && limit::GUESS_PAYLOAD.contains(&record.orig().payload_bytes)
        && limit::GUESS_PAYLOAD.contains(&record.resp().payload_bytes)
}

pub(super) fn guesses(record: &FlowRecord, row: &Row) -> bool {
    is_short_login(record)
        && (row[PAIR_FLOWS] >= limit::GUESSES && row[PAIR_GAP_MEAN] <= limit::GUESS_GAP
            || row[PAIR_FLOWS] >= limit::PATIENT_GUESSES
                && row[PAIR_GAP_MEAN] <= limit::PATIENT_GUESS_GAP)
}

pub(super) fn exfiltrates(record: &FlowRecord, row: &Row, p_value: f64) -> bool {
    row[SRC_PRIVATE] > 0.5
        && row[DST_PRIVATE] < 0.5
        && row[DST_GROUP] < 0.5
        && record.orig().payload_bytes >= limit::EXFILTRATED
        && row[PCR] >= limit::EXFILTRATION_RATIO
        && (p_value <= limit::EXFILTRATION_P || row[DST_PEERS_600S] < 1.5)
}

/// Whether coming back says nothing: clocks, leases and name look-ups do so by design, groups are for everybody.
pub(super) fn comes_back_by_design(record: &FlowRecord, row: &Row) -> bool {
    let class = ServiceClass::of(record.key.protocol, record.destination_port());
    matches!(class, ServiceClass::Operation | ServiceClass::Name) || row[DST_GROUP] > 0.5
}

/// Whether the source keeps calling a service that does not answer any more.
pub(super) fn calls_in_vain(record: &FlowRecord, row: &Row) -> bool {
    row[PAIR_FLOWS] >= limit::LOST_CALLS
        && row[PAIR_GAP_MEAN] >= limit::BEACON_GAP
        && row[SRC_FAILED_600S] >= limit::LOST_SHARE
        && has_failed(record)
}

/// Whether the originator asked and got nothing, or a rejection, or left it half open.
pub(super) fn has_failed(record: &FlowRecord) -> bool {
    match record.conn_state() {
        ConnState::S0 | ConnState::Rej | ConnState::Rstos0 | ConnState::Sh => true,
        ConnState::S1 | ConnState::Rsto | ConnState::Rstr => is_empty(record),
        // TCP without a SYN is the rest of a connection, or the echo of somebody else's attack.
        _ if record.key.protocol == 6 => false,
        _ => record.resp().packets == 0 && record.orig().packets > 0,
    }
}

/// Whether no side sent data: a look whether the port is open.
pub(super) fn is_empty(record: &FlowRecord) -> bool {
    record.orig().payload_bytes + record.resp().payload_bytes == 0
}
