//! One incident: what a host did, or had done to it, in numbers that grow while it goes on.

use std::net::IpAddr;

use sensor_ebpf::flow::TimeNs;

use super::{
    Kind, Reason, Scored, Severity, Subject, Tally,
    behaviour::{Finding, Measure},
    kind::Role,
};
use crate::{
    attack::{Technique, remote_service},
    bounded::fixed_hash,
    features,
    flow::FlowRecord,
};

/// Distinct hosts and ports that an incident counts exactly.
const DISTINCT: usize = 1024;

/// What one host did, or had done to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// What happened.
    pub kind: Kind,
    /// The host it is about.
    pub subject: Subject,
    /// Chance of something as telling in one flow of ordinary traffic: the least of its flows, each corrected for all
    /// that was tested on it. Above 0, at most 1.
    pub p_value: f64,
    /// The number that spoke loudest in that flow, with what is usual for it; nothing where the forest alone spoke.
    pub measure: Option<Measure>,
    /// Flows in it.
    pub flows: u64,
    /// Flows among them that the model found anomalous.
    pub anomalous: u64,
    /// First packet.
    pub first: TimeNs,
    /// Last packet.
    pub last: TimeNs,
    /// Hosts of the network that it is about; none where it is about one host.
    pub hosts: Tally<IpAddr>,
    /// Hosts on the other side.
    pub peers: Tally<IpAddr>,
    /// Responder ports.
    pub ports: Tally<u16>,
    /// Flows that got no answer or a rejection.
    pub failed: u64,
    /// Payload bytes from the originators.
    pub sent: u64,
    /// Payload bytes from the responders.
    pub received: u64,
    /// Packets of both sides.
    pub packets: u64,
    /// IP protocol of the first flow, or [`crate::flow::ARP`].
    pub protocol: u16,
    /// Mean time between visits in the last flow, seconds; NaN where unknown.
    pub gap: f32,
    /// Its standard deviation over its mean.
    pub gap_variation: f32,
    /// Visits of one source to one service so far, at most: also those before the rule had seen enough.
    pub visits: f32,
    /// The most anomalous flow: its id, Community ID, score, p-value and reasons.
    pub worst: Worst,
    /// Flows explained so far.
    pub(super) explained: u32,
    /// Flows in it when it was told last.
    pub(super) told: u64,
    /// How grave it was then.
    pub(super) told_as: Severity,
    /// How often it was answered as news.
    pub(super) tellings: u32,
    /// Flows in it when its numbers were last passed on.
    pub(super) passed_on: u64,
    /// Tells it from earlier incidents of the same kind and host.
    pub(super) serial: u64,
    /// First packet of the flow that began it.
    pub(super) began: TimeNs,
}

/// The most anomalous flow of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst {
    /// Flow id.
    pub flow: u64,
    /// Community ID.
    pub community_id: String,
    /// Score.
    pub score: f32,
    /// p-value.
    pub p_value: f64,
    /// p-value up to which it was to be called an anomaly when it was judged.
    pub limit: f64,
    /// Whether it was.
    pub anomalous: bool,
    /// Why, heaviest first.
    pub reasons: Vec<Reason>,
    /// What was scored: the record, and the bits of its row.
    pub evidence: Box<(FlowRecord, [u32; features::COUNT])>,
}

pub(super) fn evidence(scored: &Scored) -> Box<(FlowRecord, [u32; features::COUNT])> {
    Box::new((scored.record.clone(), scored.row.map(f32::to_bits)))
}

impl Incident {
    pub(super) fn new(kind: Kind, subject: Subject, scored: &Scored) -> Self {
        Self {
            kind,
            subject,
            p_value: 1.0,
            measure: None,
            flows: 0,
            anomalous: 0,
            first: scored.record.start(),
            last: scored.record.last(),
            hosts: Tally::new(DISTINCT),
            peers: Tally::new(DISTINCT),
            ports: Tally::new(DISTINCT),
            failed: 0,
            sent: 0,
            received: 0,
            packets: 0,
            protocol: scored.record.protocol(),
            gap: f32::NAN,
            gap_variation: f32::NAN,
            visits: 0.0,
            worst: Worst {
                flow: scored.record.id,
                community_id: String::new(),
                score: 0.0,
                p_value: 1.0,
                limit: 1.0,
                anomalous: false,
                reasons: Vec::new(),
                evidence: evidence(scored),
            },
            explained: 0,
            told: 0,
            told_as: Severity::Info,
            tellings: 0,
            passed_on: 0,
            serial: 0,
            began: scored.record.start(),
        }
    }

    /// Names it, the same in every run over the same packets: 16 hexadecimal digits.
    pub fn id(&self) -> String {
        let bits = u128::from_be_bytes(self.subject.key_address());
        let [high, low] = [bits >> 64, bits].map(|half| half as u64);
        let what = u64::from(self.subject.is_network()) << 32
            | (self.kind as u64) << 1
            | u64::from(self.subject.role == Role::Victim);
        format!("{:016x}", fixed_hash(&[what, high, low, self.began]))
    }

    /// The host whose packets show it: that it is about, or of a network the one that its most anomalous flow went to.
    pub fn witness(&self) -> IpAddr {
        let (record, _) = &*self.worst.evidence;
        match (self.subject.is_network(), record.orig().packets) {
            (false, _) => self.subject.address,
            (true, 0) => record.source(),
            (true, _) => record.destination(),
        }
    }

    /// Whether it is not news for the first time.
    pub const fn was_told(&self) -> bool {
        self.tellings > 1
    }

    /// Tells it from earlier incidents of the same kind and host: the number of incidents begun, with it.
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// Keeps the most telling finding. Answers whether it is more telling than before.
    pub(super) fn weigh(&mut self, found: Option<Finding>) -> bool {
        let Some(found) = found else { return false };
        let wider = |new: &Measure| {
            found.p_value == self.p_value
                && self
                    .measure
                    .is_none_or(|old| new.feature == old.feature && new.value > old.value)
        };
        let is_rarer = found.p_value < self.p_value;
        if is_rarer || found.measure.as_ref().is_some_and(wider) {
            self.p_value = found.p_value;
            self.measure = found.measure;
        }
        is_rarer
    }

    /// Takes in an incident of a host that turned out to be part of what its network goes through.
    pub(super) fn take_in(&mut self, part: &Self) {
        self.hosts.add_many(part.subject.address, part.flows);
        self.peers.merge(&part.peers);
        self.ports.merge(&part.ports);
        self.flows += part.flows;
        self.anomalous += part.anomalous;
        self.failed += part.failed;
        self.sent += part.sent;
        self.received += part.received;
        self.packets += part.packets;
        self.first = self.first.min(part.first);
        self.last = self.last.max(part.last);
        self.explained += part.explained;
        if part.worst.score > self.worst.score {
            self.worst = part.worst.clone();
        }
        if part.p_value < self.p_value {
            // The host's number is not the network's.
            self.p_value = part.p_value;
        }
    }

    /// Whether there is enough that is new to tell it again.
    pub(super) fn has_grown(&self) -> bool {
        self.flows >= (4 * self.told).max(1)
    }

    /// How much speaks for it, in powers of ten: the surprise of its most telling flow, and its spread (half a power for
    /// each power of ten of flows, hosts or ports beyond the first). An incident that a pattern names counts for two
    /// more than a flow that is merely unlike others.
    pub fn evidence(&self) -> f64 {
        let surprise = (-self.p_value.log10()).clamp(0.0, 9.0);
        let spread = self.peers.distinct().max(self.ports.distinct()) as f64;
        let spread = spread.max(self.flows as f64).max(1.0).log10() / 2.0;
        let named = if self.kind == Kind::UnusualFlow {
            0.0
        } else {
            2.0
        };
        surprise + spread + named
    }

    /// From the evidence.
    pub fn severity(&self) -> Severity {
        Severity::of_evidence(self.evidence())
    }

    /// The techniques of MITRE ATT&CK that it is evidence of, most telling first.
    pub fn techniques(&self) -> Vec<Technique> {
        let port = self.ports.most().map_or(0, |(port, _)| port);
        match (self.kind, remote_service(port)) {
            (Kind::LateralMovement, Some(precise)) => {
                let other = self.kind.techniques().iter().skip(1);
                std::iter::once(precise).chain(other.copied()).collect()
            }
            _ => self.kind.techniques().to_vec(),
        }
    }
}
