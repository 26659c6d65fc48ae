//! Anomalies of one kind by one host become one incident, updated as it goes on. Bounded and deterministic: a
//! function of the scored flows in their order.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use model::Model;
use sensor_ebpf::flow::TimeNs;

use super::{
    Kind, Reason, Scored, Severity, Subject, Tally,
    behaviour::{Behaviour, Finding, Measure, PAIR_FLOWS, PAIR_GAP_MEAN, PAIR_GAP_VARIATION},
    judge,
    kind::Role,
    rest::{self, Rest},
};
use crate::{
    attack::{Technique, remote_service},
    bounded::fixed_hash,
    features,
    flow::{Aggregate, ConnState, FlowRecord},
};

/// Bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Incidents remembered; beyond, the ones with the least evidence are forgotten.
    pub incidents: usize,
    /// Flows of one incident that are explained one by one.
    pub explained: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            incidents: 4096,
            explained: 200,
        }
    }
}

/// Traffic time without a flow after which an incident is over.
const OVER_NS: u64 = 30 * 60 * 1_000_000_000;
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
    /// IP protocol of the first flow.
    pub protocol: u8,
    /// Mean time between visits in the last flow, seconds; NaN where unknown.
    pub gap: f32,
    /// Its standard deviation over its mean.
    pub gap_variation: f32,
    /// Visits of one source to one service so far, at most: also those before the rule had seen enough.
    pub visits: f32,
    /// The most anomalous flow: its id, Community ID, score, p-value and reasons.
    pub worst: Worst,
    /// Flows explained so far.
    explained: u32,
    /// Flows in it when it was told last.
    told: u64,
    /// Tells it from earlier incidents of the same kind and host.
    serial: u64,
    /// First packet of the flow that began it.
    began: TimeNs,
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
    /// Why, heaviest first.
    pub reasons: Vec<Reason>,
    /// What was scored: the record, and the bits of its row.
    pub evidence: Box<(FlowRecord, [u32; features::COUNT])>,
}

fn evidence(scored: &Scored) -> Box<(FlowRecord, [u32; features::COUNT])> {
    Box::new((scored.record.clone(), scored.row.map(f32::to_bits)))
}

impl Incident {
    fn new(kind: Kind, subject: Subject, scored: &Scored) -> Self {
        Self {
            kind,
            subject,
            p_value: 1.0,
            measure: None,
            flows: 0,
            anomalous: 0,
            first: scored.record.start(),
            last: scored.record.last(),
            peers: Tally::new(DISTINCT),
            ports: Tally::new(DISTINCT),
            failed: 0,
            sent: 0,
            received: 0,
            packets: 0,
            protocol: scored.record.key.protocol,
            gap: f32::NAN,
            gap_variation: f32::NAN,
            visits: 0.0,
            worst: Worst {
                flow: scored.record.id,
                community_id: String::new(),
                score: 0.0,
                p_value: 1.0,
                reasons: Vec::new(),
                evidence: evidence(scored),
            },
            explained: 0,
            told: 0,
            serial: 0,
            began: scored.record.start(),
        }
    }

    /// Names it, the same in every run over the same packets: 16 hexadecimal digits.
    pub fn id(&self) -> String {
        let bits = u128::from_be_bytes(self.subject.key_address());
        let [high, low] = [bits >> 64, bits].map(|half| half as u64);
        let what = (self.kind as u64) << 1 | u64::from(self.subject.role == Role::Victim);
        format!("{:016x}", fixed_hash(&[what, high, low, self.began]))
    }

    /// Tells it from earlier incidents of the same kind and host: the number of incidents begun, with it.
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// Keeps the most telling finding.
    fn weigh(&mut self, found: Option<Finding>) {
        let Some(found) = found else { return };
        let wider = |new: &Measure| {
            found.p_value == self.p_value
                && self
                    .measure
                    .is_none_or(|old| new.feature == old.feature && new.value > old.value)
        };
        if found.p_value < self.p_value || found.measure.as_ref().is_some_and(wider) {
            self.p_value = found.p_value;
            self.measure = found.measure;
        }
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

/// A flow that lives and is part of an incident, with what it added so far.
#[derive(Clone, Copy, Debug)]
struct Open {
    at: (Kind, Subject),
    /// Of the incident it was added to.
    serial: u64,
    anomalous: bool,
    failed: bool,
    sent: u64,
    received: u64,
    packets: u64,
}

/// All incidents so far.
#[derive(Debug)]
pub struct Incidents {
    settings: Settings,
    all: BTreeMap<(Kind, Subject), Incident>,
    open: HashMap<u64, Open>,
    forgotten: u64,
    /// Incidents that were over when the next of their kind and host began.
    over: Vec<Incident>,
    begun: u64,
    /// Incidents that changed since they were told last.
    changed: BTreeSet<(Kind, Subject)>,
    behaviour: Behaviour,
    rest: Rest,
}

impl Incidents {
    /// None yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            all: BTreeMap::new(),
            open: HashMap::new(),
            forgotten: 0,
            over: Vec::new(),
            begun: 0,
            changed: BTreeSet::new(),
            behaviour: Behaviour::new(),
            rest: Rest::default(),
        }
    }

    /// Names what the flow is part of, takes it in, and explains it if it is anomalous and worth it. Answers whether
    /// this began an incident.
    pub fn absorb(&mut self, scored: &mut Scored, model: &Model) -> bool {
        let found = self.behaviour.judge(scored, model);
        let id = scored.record.id;
        let before = self.open.remove(&id);
        // A flow stays what it was called first, unless something stronger fits.
        let at = match (found, before) {
            (Some(found), Some(before)) => (found.kind, found.subject).min(before.at),
            (Some(found), None) => (found.kind, found.subject),
            (None, Some(before)) => before.at,
            (None, None) => return false,
        };
        if let Some(before) = before {
            self.take_back(&before, scored);
        }
        scored.kind = Some(at.0);
        let anomalous = scored.anomalous || before.is_some_and(|before| before.anomalous);
        self.end_if_over(at, scored.record.start());
        let began = !self.all.contains_key(&at);
        if began && self.all.len() >= self.settings.incidents {
            self.forget();
        }
        let incident = self
            .all
            .entry(at)
            .or_insert_with(|| Incident::new(at.0, at.1, scored));
        if began {
            self.begun += 1;
            incident.serial = self.begun;
            if let Some(aggregate) = self.rest.claim(at) {
                rest::add(incident, &aggregate);
            }
        }
        let entry = add(incident, scored, at, anomalous);
        incident.weigh(found.filter(|found| (found.kind, found.subject) == at));
        if incident.flows >= (4 * incident.told).max(1) {
            self.changed.insert(at);
        }
        if scored.anomalous && incident.explained < self.settings.explained {
            incident.explained += 1;
            scored.reasons = judge::explain(model, &scored.row);
        }
        let worst = &mut incident.worst;
        if worst.community_id.is_empty() || scored.score > worst.score {
            if scored.reasons.is_empty() {
                scored.reasons = judge::explain(model, &scored.row);
            }
            *worst = Worst {
                flow: id,
                community_id: scored.record.community_id(),
                score: scored.score,
                p_value: scored.p_value,
                reasons: scored.reasons.clone(),
                evidence: evidence(scored),
            };
        }
        if !scored.record.is_final() {
            self.open.insert(id, entry);
        }
        began
    }

    /// Takes in what a pressed flow table had no place for, to the incident it is part of: the numbers of a flood are those of
    /// all of it.
    pub fn absorb_rest(&mut self, aggregates: impl IntoIterator<Item = Aggregate>) {
        for aggregate in aggregates {
            let Some(host) = rest::host(&aggregate) else {
                continue;
            };
            let at = rest::KINDS.map(|kind| (kind, rest::subject(host)));
            let Some(at) = at.into_iter().find(|at| self.all.contains_key(at)) else {
                self.rest.keep(host, &aggregate);
                continue;
            };
            if let Some(incident) = self.all.get_mut(&at) {
                rest::add(incident, &aggregate);
                if incident.flows >= (4 * incident.told).max(1) {
                    self.changed.insert(at);
                }
            }
        }
    }

    fn take_back(&mut self, before: &Open, scored: &Scored) {
        let Some(incident) = self.all.get_mut(&before.at) else {
            return;
        };
        // What it was added to is over, and stays as it was.
        if incident.serial != before.serial {
            return;
        }
        incident.flows -= 1;
        incident.anomalous -= u64::from(before.anomalous);
        incident.failed -= u64::from(before.failed);
        incident.sent -= before.sent;
        incident.received -= before.received;
        incident.packets -= before.packets;
        let (peer, port) = other_side(before.at.1.role, scored);
        incident.peers.remove(&peer);
        incident.ports.remove(&port);
        if incident.flows == 0 {
            self.all.remove(&before.at);
        }
    }

    /// Puts an incident aside that has been quiet for long before `start`: what comes now is another.
    fn end_if_over(&mut self, at: (Kind, Subject), start: TimeNs) {
        let quiet = |incident: &Incident| start.saturating_sub(incident.last) > OVER_NS;
        if !self.all.get(&at).is_some_and(quiet) {
            return;
        }
        if let Some(incident) = self.all.remove(&at) {
            self.over.push(incident);
        }
        if self.over.len() > self.settings.incidents {
            self.over
                .sort_by(|a, b| b.evidence().total_cmp(&a.evidence()));
            let kept = self.settings.incidents * 3 / 4;
            self.forgotten += (self.over.len() - kept) as u64;
            self.over.truncate(kept);
        }
    }

    /// Makes room: the quarter with the least evidence goes.
    fn forget(&mut self) {
        let mut weakest: Vec<_> = self
            .all
            .iter()
            .map(|(at, incident)| (incident.evidence(), *at))
            .collect();
        weakest.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        weakest.truncate(self.settings.incidents.div_ceil(4));
        for (_, at) in &weakest {
            self.all.remove(at);
        }
        self.forgotten += weakest.len() as u64;
        self.open.retain(|_, open| self.all.contains_key(&open.at));
    }

    /// Incidents worth telling now: new ones, and those that have four times the flows they had when they were told
    /// last. Each is answered once.
    pub fn news(&mut self) -> Vec<&Incident> {
        let changed = std::mem::take(&mut self.changed);
        for at in &changed {
            if let Some(incident) = self.all.get_mut(at) {
                incident.told = incident.flows;
            }
        }
        changed
            .iter()
            .filter_map(|at| self.all.get(at))
            .filter(|incident| !self.is_fringe(incident))
            .collect()
    }

    /// Closes incidents without a packet since `before`: what comes later is another incident.
    pub fn close(&mut self, before: TimeNs) {
        self.over.clear();
        self.all.retain(|_, incident| incident.last >= before);
        self.open.retain(|_, open| self.all.contains_key(&open.at));
        self.changed.retain(|at| self.all.contains_key(at));
    }

    /// Incidents by kind, in the order of [`Kind::ALL`].
    pub fn by_kind(&self) -> [usize; Kind::ALL.len()] {
        let mut counts = [0; Kind::ALL.len()];
        for (kind, _) in self.all.keys() {
            counts[*kind as usize] += 1;
        }
        counts
    }

    /// The incident a flow of this kind and host belongs to.
    pub fn get(&self, kind: Kind, subject: Subject) -> Option<&Incident> {
        self.all.get(&(kind, subject))
    }

    /// Incidents remembered.
    pub fn len(&self) -> usize {
        self.all.len() + self.over.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Incidents forgotten for want of room.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Hosts and pairs that behaviour detectors had to forget for want of room.
    pub const fn forgotten_hosts(&self) -> u64 {
        self.behaviour.forgotten()
    }

    /// Whether single unusual flows are the fringe of something larger: what a flooded host got before it was a
    /// flood, what a scanner sent to its victim before it was a scan.
    pub(super) fn is_fringe(&self, incident: &Incident) -> bool {
        const MARGIN_NS: u64 = 60_000_000_000;
        let (Kind::UnusualFlow, 1, Some((peer, _))) = (
            incident.kind,
            incident.peers.distinct(),
            incident.peers.most(),
        ) else {
            return false;
        };
        let near = |larger: &&Incident| {
            incident.first <= larger.last.saturating_add(MARGIN_NS)
                && incident.last.saturating_add(MARGIN_NS) >= larger.first
        };
        let victim = |address| Subject {
            address,
            role: Role::Victim,
        };
        let floods = [peer, incident.subject.address]
            .into_iter()
            .flat_map(|host| [Kind::Flood, Kind::Amplification].map(|kind| (kind, host)))
            .filter_map(|(kind, host)| self.get(kind, victim(host)));
        let scans = Kind::ALL[Kind::PortScanVertical as usize..Kind::LateralMovement as usize]
            .iter()
            .copied()
            .filter_map(|kind| self.get(kind, incident.subject))
            .filter(|scan| scan.peers.contains(&peer));
        floods.chain(scans).any(|larger| near(&larger))
    }

    /// All of them, most evidence first; single flows at the fringe of a larger incident are left out.
    pub fn ranked(&self) -> Vec<&Incident> {
        let mut ranked: Vec<_> = self
            .all
            .values()
            .chain(&self.over)
            .filter(|incident| !self.is_fringe(incident))
            .collect();
        ranked.sort_by(|a, b| {
            b.evidence()
                .total_cmp(&a.evidence())
                .then(a.first.cmp(&b.first))
                .then((a.kind, a.subject).cmp(&(b.kind, b.subject)))
        });
        ranked
    }
}

fn other_side(role: Role, scored: &Scored) -> (IpAddr, u16) {
    let record = &scored.record;
    let peer = match role {
        Role::Actor => record.destination(),
        Role::Victim if record.orig().packets == 0 => record.destination(),
        Role::Victim => record.source(),
    };
    (peer, record.destination_port())
}

fn add(incident: &mut Incident, scored: &Scored, at: (Kind, Subject), anomalous: bool) -> Open {
    let record = &scored.record;
    let entry = Open {
        at,
        serial: incident.serial,
        anomalous,
        failed: record.resp().packets == 0 || record.conn_state() == ConnState::Rej,
        sent: record.orig().payload_bytes,
        received: record.resp().payload_bytes,
        packets: record.counters.packets(),
    };
    incident.flows += 1;
    incident.anomalous += u64::from(anomalous);
    incident.failed += u64::from(entry.failed);
    incident.sent += entry.sent;
    incident.received += entry.received;
    incident.packets += entry.packets;
    incident.first = incident.first.min(record.start());
    incident.last = incident.last.max(record.last());
    let (peer, port) = other_side(at.1.role, scored);
    incident.peers.add(peer);
    incident.ports.add(port);
    let gap = scored.row[PAIR_GAP_MEAN];
    if !gap.is_nan() {
        incident.gap = gap;
        incident.gap_variation = scored.row[PAIR_GAP_VARIATION];
    }
    incident.visits = incident.visits.max(scored.row[PAIR_FLOWS]);
    entry
}
