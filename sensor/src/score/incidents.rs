//! All incidents: anomalies of one kind by one host are one, updated as it goes on. Bounded and deterministic: a
//! function of the scored flows in their order.

mod fringe;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{Model, OnlineQuantile};
use sensor_ebpf::flow::TimeNs;

use super::{
    Incident, Kind, Scored, Subject,
    behaviour::Behaviour,
    control::Control,
    incident::{Worst, evidence},
    judge,
    rest::{self, Rest},
    share::{Share, add, other_side, own_side},
};
use crate::flow::Aggregate;

/// Bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Incidents remembered; beyond, the ones with the least evidence are forgotten.
    pub incidents: usize,
    /// Flows of one incident that are explained one by one.
    pub explained: u32,
    /// Whether what is called an anomaly is under online control; by calibration alone otherwise.
    pub hold_rate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            incidents: 4096,
            explained: 200,
            hold_rate: true,
        }
    }
}

/// Traffic time without a flow after which an incident is over.
const OVER_NS: u64 = 30 * 60 * 1_000_000_000;
/// All incidents so far.
#[derive(Debug)]
pub struct Incidents {
    settings: Settings,
    all: BTreeMap<(Kind, Subject), Incident>,
    open: HashMap<u64, Share>,
    forgotten: u64,
    /// Incidents that were over when the next of their kind and host began.
    over: Vec<Incident>,
    /// Incidents that were told and are no more: part of others by now, or forgotten.
    left: Vec<Incident>,
    begun: u64,
    /// Incidents that changed since they were told last.
    changed: BTreeSet<(Kind, Subject)>,
    behaviour: Behaviour,
    rest: Rest,
    control: Control,
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
            left: Vec::new(),
            begun: 0,
            changed: BTreeSet::new(),
            behaviour: Behaviour::new(),
            rest: Rest::default(),
            control: Control::default(),
        }
    }

    /// The control of what is called an anomaly; nothing before the first flow, or where there is none.
    pub fn quantile(&self) -> Option<&OnlineQuantile> {
        self.control.quantile()
    }

    /// Says whether the flow is an anomaly, where that is under control, names what it is part of, takes it in, and explains it if it is anomalous and worth
    /// it. Answers whether this began an incident.
    pub fn absorb(&mut self, scored: &mut Scored, model: &Model) -> bool {
        if self.settings.hold_rate {
            self.control.judge(scored, model);
        }
        let found = self.behaviour.judge(scored, model);
        if let Some(found) = found.filter(|found| !found.kind.is_mild()) {
            self.control.mark(found.subject, scored.record.due);
        }
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
        let parts = match began && at.1.is_network() {
            true => self.take_hosts_of(at, scored.record.start()),
            false => Vec::new(),
        };
        let incident = self
            .all
            .entry(at)
            .or_insert_with(|| Incident::new(at.0, at.1, scored));
        if began {
            self.begun += 1;
            incident.serial = self.begun;
            for aggregate in self.rest.claim(at) {
                rest::add(incident, &aggregate);
            }
            for (place, part) in &parts {
                incident.take_in(part);
                for share in self.open.values_mut() {
                    if share.at == *place && share.serial == part.serial {
                        (share.at, share.serial) = (at, incident.serial);
                    }
                }
            }
        }
        let entry = add(incident, scored, at, anomalous);
        let is_rarer = incident.weigh(found.filter(|found| (found.kind, found.subject) == at));
        if incident.has_grown() || (is_rarer && incident.severity() > incident.told_as) {
            self.changed.insert(at);
        }
        if scored.anomalous && incident.explained < self.settings.explained {
            incident.explained += 1;
            scored.reasons = judge::explain(model, &scored.row);
        }
        let worst = &mut incident.worst;
        if began || scored.score > worst.score {
            if scored.reasons.is_empty() {
                scored.reasons = judge::explain(model, &scored.row);
            }
            *worst = Worst {
                flow: id,
                community_id: scored.record.community_id(),
                score: scored.score,
                p_value: scored.p_value,
                limit: scored.limit,
                anomalous: scored.anomalous,
                reasons: scored.reasons.clone(),
                evidence: evidence(scored),
            };
        }
        if !scored.record.is_final() {
            self.open.insert(id, entry);
        }
        for (_, part) in parts {
            self.leave(Incident { flows: 0, ..part });
        }
        began
    }

    /// Takes in what a pressed flow table had no place for, to the incident it is part of: the numbers of a flood are those of
    /// all of it.
    pub fn absorb_rest(&mut self, aggregates: impl IntoIterator<Item = Aggregate>) {
        for aggregate in aggregates {
            let Some(victim) = rest::victim(&aggregate) else {
                continue;
            };
            let at = rest::places(victim).find(|at| self.all.contains_key(at));
            let Some(at) = at else {
                self.rest.keep(victim, &aggregate);
                continue;
            };
            if let Some(incident) = self.all.get_mut(&at) {
                rest::add(incident, &aggregate);
                if incident.has_grown() {
                    self.changed.insert(at);
                }
            }
        }
    }

    fn take_back(&mut self, before: &Share, scored: &Scored) {
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
        if before.at.1.is_network() {
            let host = own_side(before.at.1.role, scored);
            incident.hosts.remove(&host);
        }
        if incident.flows == 0
            && let Some(incident) = self.all.remove(&before.at)
        {
            self.leave(incident);
        }
    }

    /// Keeps the last numbers of an incident that was told until they are asked for.
    fn leave(&mut self, incident: Incident) {
        if incident.tellings > 0 && self.left.len() < self.settings.incidents {
            self.left.push(incident);
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
            if let Some(incident) = self.all.remove(at) {
                self.leave(incident);
            }
        }
        self.forgotten += weakest.len() as u64;
        self.open.retain(|_, open| self.all.contains_key(&open.at));
    }

    /// Incidents worth telling now: new ones, and those that have four times the flows they had when they were told
    /// last. Each is answered once.
    pub fn news(&mut self) -> Vec<&Incident> {
        let mut changed = std::mem::take(&mut self.changed);
        for at in &changed {
            if let Some(incident) = self.all.get_mut(at) {
                incident.told = incident.flows;
                incident.told_as = incident.severity();
                incident.passed_on = incident.flows;
            }
        }
        changed.retain(|at| {
            let is_fringe = |incident| self.is_fringe(incident);
            self.all
                .get(at)
                .is_some_and(|incident| !is_fringe(incident))
        });
        for at in &changed {
            if let Some(incident) = self.all.get_mut(at) {
                incident.tellings = incident.tellings.saturating_add(1);
            }
        }
        changed.iter().filter_map(|at| self.all.get(at)).collect()
    }

    /// Incidents whose numbers moved since they were told or answered here last.
    pub fn moved(&mut self) -> Vec<&Incident> {
        self.all
            .values_mut()
            .filter(|incident| incident.tellings > 0 && incident.flows != incident.passed_on)
            .map(|incident| {
                incident.passed_on = incident.flows;
                &*incident
            })
            .collect()
    }

    /// Closes incidents without a packet since `before`: what comes later is another incident. Answers those that ended
    /// since this was asked last; one without flows became part of another.
    pub fn close(&mut self, before: TimeNs) -> Vec<Incident> {
        let mut ended = std::mem::take(&mut self.left);
        let over = self
            .all
            .extract_if(.., |_, incident| incident.last < before)
            .map(|(_, incident)| incident);
        let over = self.over.drain(..).chain(over);
        ended.extend(over.filter(|incident| incident.tellings > 0));
        self.open.retain(|_, open| self.all.contains_key(&open.at));
        self.changed.retain(|at| self.all.contains_key(at));
        ended
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
