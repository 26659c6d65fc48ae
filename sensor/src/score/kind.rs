//! What an anomaly is called: transparent rules on the declared features, one after the other, first match.
//!
//! The rules look at behaviour, not at the verdict, where behaviour alone is telling (a scan that makes up most of
//! a capture is what the model learns as usual, and is a scan all the same). Where it is not (an upload), the
//! model must find the flow unusual too.

use std::{fmt, net::IpAddr};

use crate::{
    context::ServiceClass,
    features::{Row, TABLE},
    flow::{ConnState, FlowRecord},
};

/// What happened. Strongest first: a flow that fits two is called by the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Far more flows or unasked-for answers than a host can want.
    Flood,
    /// One source tries many ports of few hosts.
    PortScanVertical,
    /// One source tries few ports of many hosts.
    PortScanHorizontal,
    /// One source logs in again and again.
    PasswordGuessing,
    /// Much sent out, little fetched.
    Exfiltration,
    /// Back again like clockwork.
    Beaconing,
    /// Anomalous, and none of the above.
    UnusualFlow,
}

impl Kind {
    /// All of them, strongest first.
    pub const ALL: [Self; 7] = [
        Self::Flood,
        Self::PortScanVertical,
        Self::PortScanHorizontal,
        Self::PasswordGuessing,
        Self::Exfiltration,
        Self::Beaconing,
        Self::UnusualFlow,
    ];

    /// Name for people, files and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::PortScanVertical => "port scan (vertical)",
            Self::PortScanHorizontal => "port scan (horizontal)",
            Self::PasswordGuessing => "password guessing",
            Self::Exfiltration => "exfiltration",
            Self::Beaconing => "beaconing",
            Self::UnusualFlow => "unusual flow",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which side of it the host of an incident is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It did it.
    Actor,
    /// It was done to it: sources of a flood are many, and often forged.
    Victim,
}

impl Role {
    /// Name for files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Victim => "victim",
        }
    }
}

/// The host an incident is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Its address.
    pub address: IpAddr,
    /// Its side.
    pub role: Role,
}

/// Position of a feature; a name that is none does not compile.
const fn at(name: &str) -> usize {
    let wanted = name.as_bytes();
    let mut index = 0;
    while index < TABLE.len() {
        let name = TABLE[index].name.as_bytes();
        let mut same = name.len() == wanted.len();
        let mut byte = 0;
        while same && byte < wanted.len() {
            same = name[byte] == wanted[byte];
            byte += 1;
        }
        if same {
            return index;
        }
        index += 1;
    }
    panic!("no feature of this name")
}

const DST_FLOWS_10S: usize = at("dst_flows_10s");
const DST_PORTS_10S: usize = at("dst_ports_10s");
const DST_PEERS_10S: usize = at("dst_peers_10s");
const DST_FAILED_10S: usize = at("dst_failed_share_10s");
const DST_HALF_OPEN_10S: usize = at("dst_half_open_share_10s");
const DST_PEERS_600S: usize = at("dst_peers_600s");
const SRC_PEERS_10S: usize = at("src_peers_10s");
const SRC_PEERS_60S: usize = at("src_peers_60s");
const SRC_PORTS_60S: usize = at("src_ports_60s");
const SRC_FAILED_60S: usize = at("src_failed_share_60s");
const SRC_HALF_OPEN_60S: usize = at("src_half_open_share_60s");
const SRC_FAILED_600S: usize = at("src_failed_share_600s");
const SRC_PRIVATE: usize = at("src_private");
const DST_PRIVATE: usize = at("dst_private");
const DST_GROUP: usize = at("dst_group");
const PCR: usize = at("producer_consumer_ratio");
pub(super) const PAIR_FLOWS: usize = at("pair_flows");
pub(super) const PAIR_GAP_MEAN: usize = at("pair_gap_mean");
pub(super) const PAIR_GAP_VARIATION: usize = at("pair_gap_variation");

/// The numbers of the rules. Windows as in the names of the features.
mod limit {
    /// Flows to one host in 10 s, most of them without success: 200 a second.
    pub(super) const FLOOD_FLOWS: f32 = 2_000.0;
    /// Share of them that failed or stayed half open.
    pub(super) const FLOOD_FAILED: f32 = 0.7;
    /// A scan of one host asks for a new port nearly each time: above this share of ports to flows from one source
    /// it is a scan, up to the rate at which it is a flood whatever it wants.
    pub(super) const FLOOD_PORT_SHARE: f32 = 0.5;
    /// Flows to one host in 10 s at which even a scan is a flood: 5,000 a second.
    pub(super) const FLOOD_ANYWAY: f32 = 50_000.0;
    /// Nanoseconds after which a scanner may repeat a probe.
    pub(super) const PROBE_RETRY_NS: u64 = 500_000_000;
    /// Hosts that send one host answers it did not ask for, in 10 s.
    pub(super) const REFLECTORS: f32 = 25.0;
    /// Distinct ports one source asked for in 60 s.
    pub(super) const SCAN_PORTS: f32 = 15.0;
    /// Distinct hosts one source contacted in 60 s.
    pub(super) const SCAN_PEERS: f32 = 20.0;
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
    /// Visits of a beacon, at least.
    pub(super) const BEACONS: f32 = 12.0;
    /// Seconds between visits of a beacon, at least.
    pub(super) const BEACON_GAP: f32 = 1.0;
    /// Standard deviation over mean of the time between visits, at most.
    pub(super) const BEACON_VARIATION: f32 = 0.2;
    /// Calls without answer after which a source is not trying but waiting for a master that is gone.
    pub(super) const LOST_CALLS: f32 = 50.0;
    /// Share of the source's flows in 10 min that failed then.
    pub(super) const LOST_SHARE: f32 = 0.5;
}

/// What this flow is part of, and which host that is about; `None` for nothing remarkable.
pub(super) fn classify(
    record: &FlowRecord,
    row: &Row,
    p_value: f64,
    anomalous: bool,
) -> Option<(Kind, Subject)> {
    let actor = || Subject {
        address: record.source(),
        role: Role::Actor,
    };
    if let Some(victim) = flooded(record, row) {
        let role = Role::Victim;
        return Some((
            Kind::Flood,
            Subject {
                address: victim,
                role,
            },
        ));
    }
    let kind = scan(record, row)
        .or_else(|| guesses(record, row).then_some(Kind::PasswordGuessing))
        .or_else(|| exfiltrates(record, row, p_value).then_some(Kind::Exfiltration))
        .or_else(|| beacons(record, row, anomalous).then_some(Kind::Beaconing))
        .or_else(|| anomalous.then_some(Kind::UnusualFlow))?;
    Some((kind, actor()))
}

/// Whether behaviour alone tells an attack. Such flows are left out of a baseline that was learned unattended.
pub fn is_attack(record: &FlowRecord, row: &Row) -> bool {
    flooded(record, row).is_some()
        || scan(record, row).is_some()
        || guesses(record, row)
        || exfiltrates(record, row, 1.0)
}

fn flooded(record: &FlowRecord, row: &Row) -> Option<IpAddr> {
    let flows = row[DST_FLOWS_10S];
    let failed = row[DST_FAILED_10S].max(row[DST_HALF_OPEN_10S]);
    if flows >= limit::FLOOD_FLOWS && failed >= limit::FLOOD_FAILED && has_failed(record) {
        let port_share = row[DST_PORTS_10S] / flows;
        // A scanner sends a probe once and repeats it after a second or so; a flooder fires bursts.
        let probes_once =
            record.orig().packets == 1 || record.last() - record.start() > limit::PROBE_RETRY_NS;
        let scanned =
            port_share >= limit::FLOOD_PORT_SHARE && row[DST_PEERS_10S] < 3.0 && probes_once;
        if !scanned || flows >= limit::FLOOD_ANYWAY {
            return Some(record.destination());
        }
    }
    // Fragments, or answers of services that amplify, that pour in from many hosts and get no word back.
    let amplified = record.resp().packets == 0
        && (record.key.later_fragment == 1
            || (record.key.protocol == 17 && AMPLIFIERS.contains(&record.source_port())))
        && row[DST_PEERS_10S] >= limit::REFLECTORS;
    if amplified {
        return Some(record.destination());
    }
    // Answers that nobody asked for, from many hosts at once: the "originator" (by port) never sent a packet.
    let reflected = record.orig().packets == 0
        && matches!(record.key.protocol, 1 | 17)
        && row[SRC_PEERS_10S] >= limit::REFLECTORS;
    reflected.then(|| record.source())
}

/// UDP services whose answers are larger than the questions (US-CERT alert TA14-017A): chargen, QOTD, DNS, portmap,
/// NTP, NetBIOS, SNMP, CLDAP, SSDP, memcached.
const AMPLIFIERS: [u16; 10] = [17, 19, 53, 111, 123, 137, 161, 389, 1900, 11_211];

fn scan(record: &FlowRecord, row: &Row) -> Option<Kind> {
    let failed = row[SRC_FAILED_60S].max(row[SRC_HALF_OPEN_60S]);
    let probe = has_failed(record) || is_empty(record);
    if !probe
        || failed < limit::SCAN_FAILED
        || failed.is_nan()
        || row[DST_GROUP] > 0.5
        || record.orig().packets == 0
    {
        return None;
    }
    let (ports, peers) = (row[SRC_PORTS_60S], row[SRC_PEERS_60S]);
    if ports >= limit::SCAN_PORTS && ports >= peers {
        Some(Kind::PortScanVertical)
    } else if peers >= limit::SCAN_PEERS {
        Some(Kind::PortScanHorizontal)
    } else {
        None
    }
}

fn guesses(record: &FlowRecord, row: &Row) -> bool {
    let class = ServiceClass::of(record.key.protocol, record.destination_port());
    let wants_login = matches!(
        class,
        ServiceClass::Remote | ServiceClass::Transfer | ServiceClass::Inside | ServiceClass::System
    );
    record.key.protocol == 6
        && wants_login
        && (row[PAIR_FLOWS] >= limit::GUESSES && row[PAIR_GAP_MEAN] <= limit::GUESS_GAP
            || row[PAIR_FLOWS] >= limit::PATIENT_GUESSES
                && row[PAIR_GAP_MEAN] <= limit::PATIENT_GUESS_GAP)
        && limit::GUESS_PAYLOAD.contains(&record.orig().payload_bytes)
        && limit::GUESS_PAYLOAD.contains(&record.resp().payload_bytes)
}

fn exfiltrates(record: &FlowRecord, row: &Row, p_value: f64) -> bool {
    row[SRC_PRIVATE] > 0.5
        && row[DST_PRIVATE] < 0.5
        && row[DST_GROUP] < 0.5
        && record.orig().payload_bytes >= limit::EXFILTRATED
        && row[PCR] >= limit::EXFILTRATION_RATIO
        && (p_value <= limit::EXFILTRATION_P || row[DST_PEERS_600S] < 1.5)
}

fn beacons(record: &FlowRecord, row: &Row, anomalous: bool) -> bool {
    let class = ServiceClass::of(record.key.protocol, record.destination_port());
    // Clocks, leases and name look-ups come back by design.
    let by_design = matches!(class, ServiceClass::Operation | ServiceClass::Name);
    !by_design
        && row[DST_GROUP] < 0.5
        && (row[DST_PRIVATE] < 0.5 || anomalous)
        && row[PAIR_GAP_MEAN] >= limit::BEACON_GAP
        && (row[PAIR_FLOWS] >= limit::BEACONS && row[PAIR_GAP_VARIATION] <= limit::BEACON_VARIATION
            || row[PAIR_FLOWS] >= limit::LOST_CALLS
                && row[SRC_FAILED_600S] >= limit::LOST_SHARE
                && has_failed(record))
}

/// Whether the originator asked and got nothing, or a rejection, or left it half open.
fn has_failed(record: &FlowRecord) -> bool {
    match record.conn_state() {
        ConnState::S0 | ConnState::Rej | ConnState::Rstos0 | ConnState::Sh => true,
        ConnState::S1 | ConnState::Rsto | ConnState::Rstr => is_empty(record),
        // TCP without a SYN is the rest of a connection, or the echo of somebody else's attack.
        _ if record.key.protocol == 6 => false,
        _ => record.resp().packets == 0 && record.orig().packets > 0,
    }
}

/// Whether no side sent data: a look whether the port is open.
fn is_empty(record: &FlowRecord) -> bool {
    record.orig().payload_bytes + record.resp().payload_bytes == 0
}
