//! An incident as the outside sees it: owned, in names and numbers that every sink uses, whatever its format.

use std::net::IpAddr;

use sensor_ebpf::flow::TimeNs;
use serde::{Deserialize, Serialize};

mod example;

pub use self::example::example;
pub use crate::score::Stage;
use crate::{
    attack,
    features::TABLE,
    flow::FlowRecord,
    intel::{Lists, Match},
    score::{Incident, Kind, Reason, Severity, Tally},
};

/// Peers and ports named, at most.
const NAMED: usize = 10;
/// Matches of threat lists told, at most.
const INTEL: usize = 16;

/// Where an incident was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// In flows.
    Flows,
    /// In the logs of hosts.
    Logs,
    /// In what the sensor's own machine does.
    Resources,
}

impl Source {
    /// Name for files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::Logs => "logs",
            Self::Resources => "resources",
        }
    }
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The same for every telling of one incident, and in every run over the same packets: 16 hexadecimal digits.
    pub id: String,
    /// Why it is told now.
    pub stage: Stage,
    /// Where it was found.
    pub source: Source,
    /// Name of its kind.
    pub kind: String,
    /// How grave.
    pub severity: Severity,
    /// The host it is about: an address, or a name where a log gives no more.
    pub host: String,
    /// What the host is in it: actor or victim.
    pub role: String,
    /// One plain sentence with numbers.
    pub sentence: String,
    /// Techniques of MITRE ATT&CK, most telling first.
    pub techniques: Vec<Technique>,
    /// Chance of something as telling in one flow of ordinary traffic, where one is known.
    pub p_value: Option<f64>,
    /// How much speaks for it, in powers of ten.
    pub evidence: f64,
    /// First packet or event.
    pub first_ns: TimeNs,
    /// Last packet or event.
    pub last_ns: TimeNs,
    /// Flows or events in it.
    pub count: u64,
    /// Flows among them that the model found anomalous.
    pub anomalous: u64,
    /// Flows among them without an answer, or rejected.
    pub failed: u64,
    /// Packets of both sides.
    pub packets: u64,
    /// Payload bytes from the originators.
    pub sent_bytes: u64,
    /// Payload bytes from the responders.
    pub received_bytes: u64,
    /// Hosts on the other side.
    pub peers: Seen,
    /// Responder ports.
    pub ports: Seen,
    /// IP protocol of the first flow, or [`crate::flow::ARP`]; 0 where there is none.
    pub protocol: u16,
    /// The most anomalous flow.
    pub flow: Option<WorstFlow>,
    /// Name of its folder in `evidence/`, where packets are kept of it.
    pub bundle: Option<String>,
    /// First digits of the digest of the model.
    pub model: String,
    /// Share of the packets since it began that were not lost, 0 to 1.
    pub coverage: f64,
    /// What threat lists say of its hosts. Said beside it: no list makes an incident, or makes one graver.
    #[serde(default)]
    pub intel: Vec<Match>,
}

/// A technique of MITRE ATT&CK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Technique {
    /// For example `T1046`.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Distinct things, and the most frequent by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// How many; at least as many, unless exact.
    pub distinct: u64,
    /// Whether that is the number, or only the bound of counting.
    pub exact: bool,
    /// The most frequent, with how often.
    pub top: Vec<(String, u64)>,
}

impl Seen {
    /// Nothing.
    pub const NONE: Self = Self {
        distinct: 0,
        exact: true,
        top: Vec::new(),
    };

    fn of<T: Ord + Copy + ToString>(tally: &Tally<T>) -> Self {
        let top = tally.top(NAMED).into_iter();
        Self {
            distinct: tally.distinct() as u64,
            exact: !tally.is_full(),
            top: top
                .map(|(thing, count)| (thing.to_string(), count))
                .collect(),
        }
    }
}

/// A flow of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorstFlow {
    /// Its id: 16 hexadecimal digits.
    pub id: String,
    /// Community ID v1.
    pub community_id: String,
    /// Originator.
    pub src_ip: IpAddr,
    /// Its port; for ICMP the type.
    pub src_port: u16,
    /// Responder.
    pub dst_ip: IpAddr,
    /// Its port; for ICMP the code or the type of the answer.
    pub dst_port: u16,
    /// IP protocol; 2054 for ARP.
    pub protocol: u16,
    /// First packet.
    pub start_ns: TimeNs,
    /// Last packet so far.
    pub end_ns: TimeNs,
    /// Packets of originator and responder.
    pub packets: [u64; 2],
    /// IP bytes of originator and responder.
    pub bytes: [u64; 2],
    /// Higher is more anomalous.
    pub score: f32,
    /// Share of ordinary flows expected to score as high.
    pub p_value: f64,
    /// Why, heaviest first.
    pub reasons: Vec<Why>,
}

/// One feature that made a flow anomalous; a number is `None` where it is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// Its name.
    pub feature: String,
    /// Its value.
    pub value: Option<f32>,
    /// Its share of the score, 0 to 1.
    pub weight: Option<f32>,
    /// 1 % quantile of ordinary flows.
    pub low: Option<f32>,
    /// Their median.
    pub median: Option<f32>,
    /// Their 99 % quantile.
    pub high: Option<f32>,
    /// Plain words.
    pub words: String,
}

impl From<&Reason> for Why {
    fn from(reason: &Reason) -> Self {
        let known = |number: f32| number.is_finite().then_some(number);
        Self {
            feature: TABLE[reason.feature].name.to_owned(),
            value: known(reason.value),
            weight: known(reason.weight),
            low: known(reason.low),
            median: known(reason.median),
            high: known(reason.high),
            words: reason.to_string(),
        }
    }
}

impl WorstFlow {
    fn of(incident: &Incident) -> Self {
        let worst = &incident.worst;
        let record: &FlowRecord = &worst.evidence.0;
        Self {
            id: format!("{:016x}", worst.flow),
            community_id: record.community_id(),
            src_ip: record.source(),
            src_port: record.source_port(),
            dst_ip: record.destination(),
            dst_port: record.destination_port(),
            protocol: record.protocol(),
            start_ns: record.start(),
            end_ns: record.last(),
            packets: [record.orig().packets, record.resp().packets].map(u64::from),
            bytes: [record.orig().ip_bytes, record.resp().ip_bytes],
            score: worst.score,
            p_value: worst.p_value,
            reasons: worst.reasons.iter().map(Why::from).collect(),
        }
    }
}

/// Techniques with names of their own.
pub fn techniques(techniques: &[attack::Technique]) -> Vec<Technique> {
    let own = |technique: &attack::Technique| Technique {
        id: technique.id.to_owned(),
        name: technique.name.to_owned(),
    };
    techniques.iter().map(own).collect()
}

impl Alert {
    /// An incident of which only this is known: nothing is counted, nobody else has a part in it, no packet was lost.
    pub const fn of(source: Source, id: String, host: String) -> Self {
        Self {
            id,
            stage: Stage::New,
            source,
            kind: String::new(),
            severity: Severity::Low,
            host,
            role: String::new(),
            sentence: String::new(),
            techniques: Vec::new(),
            p_value: None,
            evidence: 0.0,
            first_ns: 0,
            last_ns: 0,
            count: 0,
            anomalous: 0,
            failed: 0,
            packets: 0,
            sent_bytes: 0,
            received_bytes: 0,
            peers: Seen::NONE,
            ports: Seen::NONE,
            protocol: 0,
            flow: None,
            bundle: None,
            model: String::new(),
            coverage: 1.0,
            intel: Vec::new(),
        }
    }

    /// An incident of flows.
    pub fn of_flows(incident: &Incident, stage: Stage) -> Self {
        Self {
            stage,
            kind: incident.kind.name().to_owned(),
            severity: incident.severity(),
            role: incident.subject.role.name().to_owned(),
            sentence: sentence(incident),
            techniques: techniques(&incident.techniques()),
            p_value: Some(incident.p_value),
            evidence: incident.evidence(),
            first_ns: incident.first,
            last_ns: incident.last,
            count: incident.flows,
            anomalous: incident.anomalous,
            failed: incident.failed,
            packets: incident.packets,
            sent_bytes: incident.sent,
            received_bytes: incident.received,
            peers: Seen::of(&incident.peers),
            ports: Seen::of(&incident.ports),
            protocol: incident.protocol,
            flow: Some(WorstFlow::of(incident)),
            ..Self::of(Source::Flows, incident.id(), incident.subject.to_string())
        }
    }

    /// Says what threat lists say of the host, of the most frequent peers, and of both ends of the most anomalous flow.
    pub fn enrich(&mut self, lists: &Lists) {
        if lists.is_empty() {
            return;
        }
        let names = std::iter::once(&self.host).chain(self.peers.top.iter().map(|(name, _)| name));
        let mut subjects: Vec<String> = names.cloned().collect();
        if let Some(flow) = &self.flow {
            subjects.extend([flow.src_ip, flow.dst_ip].map(|address| address.to_string()));
        }
        subjects.sort();
        subjects.dedup();
        self.intel = subjects
            .iter()
            .flat_map(|subject| match subject.parse() {
                Ok(address) => lists.matches(address),
                // What a log calls a host may be a name.
                Err(_) => lists.of_domain(subject),
            })
            .take(INTEL)
            .collect();
    }

    /// First to last packet, seconds.
    pub fn seconds(&self) -> f64 {
        self.last_ns.saturating_sub(self.first_ns) as f64 / 1e9
    }
}

/// What an incident says of itself; a single odd flow also says what is odd about it.
fn sentence(incident: &Incident) -> String {
    if incident.flows == 0 {
        return "what was seen of this turned out to be part of another incident".to_owned();
    }
    match incident.worst.reasons.first() {
        Some(reason) if incident.kind == Kind::UnusualFlow => {
            format!("{} ({reason})", incident.sentence())
        }
        _ => incident.sentence(),
    }
}
