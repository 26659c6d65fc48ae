//! The alert budget: which incidents a person is told of, so that there are as many in a day as was asked for.
//!
//! What is budgeted are *alerts*: incidents told for the first time. Rows become incidents first, so a flood of a
//! million flows is one candidate; a told incident that grows is told again without being another alert (it grows
//! fourfold from one telling to the next, so a million flows are ten lines). An incident's evidence, made of its rows'
//! p-values, is compared with a threshold under online control ([`model::Control`]), and what passes takes from an
//! allowance ([`model::Allowance`]). What finds none left waits, and the strongest that waits is told when there is.
//!
//! Time is packet time. While a critical incident goes on the threshold is frozen: an attack must not teach the sensor
//! to keep quiet.

mod channel;
mod untold;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sensor_ebpf::flow::TimeNs;

use self::{
    channel::{Channel, channels},
    untold::Untold,
};
use super::{Incident, Incidents, Kind, Mutes, Severity, Subject, limits::Limits};

/// So many alerts in so much traffic time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Alerts, at least 1.
    pub alerts: u32,
    /// Traffic time, nanoseconds, above 0.
    pub period_ns: u64,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// For all severities without a rate of their own; nothing tells all of them.
    pub shared: Option<Rate>,
    /// For low, medium, high and critical apart.
    pub by_severity: [Option<Rate>; 4],
    /// Of one host, whatever it does.
    pub by_host: Option<Rate>,
    /// Of one kind, whoever does it.
    pub by_kind: Option<Rate>,
}

/// How long the threshold stays after the last that was heard of a critical incident.
const FREEZE_NS: u64 = 10 * 60 * 1_000_000_000;
/// Told incidents that are remembered, at most, and muted ones.
const REMEMBERED: usize = 16_384;
/// Incidents that wait, at most: beyond, the weakest go.
const WAITING: usize = 256;
/// An incident to be told.
#[derive(Clone, Copy, Debug)]
pub struct Alert<'a> {
    /// Which.
    pub incident: &'a Incident,
    /// Whether it was told before and has grown since.
    pub again: bool,
}

/// What became of the candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Incidents told.
    pub alerts: u64,
    /// Tellings of incidents that had grown.
    pub again: u64,
    /// Times that an incident new or grown was below the threshold.
    pub below: u64,
    /// Incidents that waited for the allowance in vain.
    pub withheld: u64,
    /// Times that an incident new or grown was muted.
    pub muted: u64,
    /// Times that one that had grown was dealt with by somebody already.
    pub handled: u64,
    /// Times that one had to wait because its host or its kind had told enough.
    pub limited: u64,
    /// Incidents not told that found no room in what is passed on of such.
    pub unkept: u64,
}

type Place = (Kind, Subject);

/// Keeps to the budget.
#[derive(Debug)]
pub struct Budget {
    channels: Vec<Channel>,
    /// Channel of low, medium, high and critical; nothing for those that are always told.
    of: [Option<usize>; 4],
    now: Option<TimeNs>,
    frozen_until: TimeNs,
    told: BTreeSet<u64>,
    /// By serial number: evidence when it came, and where to find it.
    waiting: BTreeMap<u64, (f64, Place)>,
    /// What nobody is to be told of, and the incidents among those that are not told for that reason.
    mutes: Arc<Mutes>,
    muted: BTreeMap<u64, Place>,
    /// Those that were muted, or found to be dealt with, when it was asked last.
    kept_quiet: Vec<(u64, Place)>,
    untold: Untold,
    limits: Limits,
    stats: Stats,
}

impl Budget {
    /// Nothing told yet.
    pub fn new(settings: &Settings) -> Self {
        let (channels, of) = channels(settings);
        Self {
            channels,
            of,
            now: None,
            frozen_until: 0,
            told: BTreeSet::new(),
            waiting: BTreeMap::new(),
            mutes: Arc::default(),
            muted: BTreeMap::new(),
            kept_quiet: Vec::new(),
            untold: Untold::default(),
            limits: Limits::new(settings.by_host, settings.by_kind),
            stats: Stats::default(),
        }
    }

    /// Keeps to another budget from now on. What was told stays told, what waits goes on waiting; a rate that stays keeps what is
    /// left of it, and one that is another begins with what was learned of the traffic.
    pub fn adjust(&mut self, settings: &Settings) {
        let (mut wanted, of) = channels(settings);
        for channel in &mut wanted {
            let before = self.channels.iter().position(|one| one.own == channel.own);
            let Some(before) = before.map(|at| self.channels.swap_remove(at)) else {
                continue;
            };
            if before.rate == channel.rate {
                *channel = before;
            } else {
                channel.learned(before.control.threshold());
            }
        }
        (self.channels, self.of) = (wanted, of);
        self.limits.adjust(settings.by_host, settings.by_kind);
    }

    /// Has it keep quiet of these from now on. What is not muted any more and goes on is told, as if it were new.
    pub fn mute(&mut self, mutes: Arc<Mutes>) {
        self.mutes = mutes;
    }

    fn is_muted(&self, incident: &Incident) -> bool {
        let host = incident.subject.to_string();
        let kind = incident.kind.name();
        self.mutes.of(&host, kind, incident.last).is_some()
    }

    /// Takes what is new among the incidents, at this moment of the traffic, and answers what to tell: the strongest
    /// first, as far as the budget goes. Moments never run backwards; an earlier one counts as the last.
    pub fn tell<'a>(&mut self, now: TimeNs, incidents: &'a mut Incidents) -> Vec<Alert<'a>> {
        let fresh: Vec<(u64, Place)> = incidents
            .news()
            .iter()
            .map(|incident| (incident.serial(), (incident.kind, incident.subject)))
            .collect();
        let incidents: &'a Incidents = incidents;
        self.pass(now);
        self.kept_quiet.clear();
        self.untold.begin();
        let mut alerts = Vec::new();
        let mut candidates: Vec<(u64, &'a Incident)> = Vec::new();
        let is_room = |channel: &Channel| channel.allowance.left() >= 1.0;
        if !self.waiting.is_empty()
            && (self.channels.is_empty() || self.channels.iter().any(is_room))
        {
            let mut lost = 0;
            self.waiting.retain(|serial, (_, place)| {
                let still = find(incidents, *serial, *place);
                lost += u64::from(still.is_none());
                candidates.extend(still.map(|incident| (*serial, incident)));
                still.is_some()
            });
            self.stats.withheld += lost;
        }
        for (serial, place) in fresh {
            let Some(incident) = find(incidents, serial, place) else {
                continue;
            };
            if self.is_muted(incident) {
                self.stats.muted += 1;
                self.kept_quiet.push((serial, place));
                self.waiting.remove(&serial);
                self.muted.insert(serial, place);
                if self.muted.len() > REMEMBERED {
                    self.muted.pop_first();
                }
            } else if self.mutes.is_handled(&incident.id(), incident.severity()) {
                self.stats.handled += 1;
                self.kept_quiet.push((serial, place));
                // Not another alert, when it becomes graver.
                self.remember(serial);
            } else if self.told.contains(&serial) {
                self.stats.again += 1;
                self.heed(incident);
                alerts.push(Alert {
                    incident,
                    again: true,
                });
            } else if !self.waiting.contains_key(&serial) {
                self.muted.remove(&serial);
                candidates.push((serial, incident));
            }
        }
        let mut again = Vec::new();
        let mut muted = std::mem::take(&mut self.muted);
        muted.retain(|serial, place| match find(incidents, *serial, *place) {
            Some(incident) if self.is_muted(incident) => true,
            Some(incident) => {
                again.push((*serial, incident));
                false
            }
            None => false,
        });
        self.muted = muted;
        for (serial, incident) in again {
            if !self.told.contains(&serial) && !candidates.iter().any(|(known, _)| *known == serial)
            {
                candidates.push((serial, incident));
            }
        }
        candidates.sort_by(|a, b| {
            b.1.evidence()
                .total_cmp(&a.1.evidence())
                .then(a.0.cmp(&b.0))
        });
        for (serial, incident) in candidates {
            if self.decide(serial, incident) {
                alerts.push(Alert {
                    incident,
                    again: false,
                });
            } else {
                let place = (incident.kind, incident.subject);
                self.stats.unkept += u64::from(!self.untold.keep(serial, place));
            }
        }
        alerts
    }

    fn decide(&mut self, serial: u64, incident: &Incident) -> bool {
        let severity = incident.severity();
        self.heed(incident);
        let place = (severity as usize).saturating_sub(1);
        if let Some(channel) = self.of[place].map(|at| &mut self.channels[at]) {
            let waited = self.waiting.contains_key(&serial);
            // What waited passed the threshold when it came.
            if !waited && !channel.control.is_alarm(incident.evidence()) {
                self.stats.below += 1;
                return false;
            }
        }
        let urgent = severity == Severity::Critical;
        if !self.limits.allow(self.now.unwrap_or(0), incident, urgent) {
            self.stats.limited += u64::from(!self.waiting.contains_key(&serial));
            self.wait(serial, incident);
            return false;
        }
        if let Some(channel) = self.of[place].map(|at| &mut self.channels[at]) {
            if !channel.allowance.take(urgent) {
                self.wait(serial, incident);
                return false;
            }
            channel.control.raise();
        }
        self.limits.take(incident, urgent);
        self.waiting.remove(&serial);
        self.remember(serial);
        self.stats.alerts += 1;
        true
    }

    fn remember(&mut self, serial: u64) {
        self.untold.forget(serial);
        self.told.insert(serial);
        if self.told.len() > REMEMBERED {
            self.told.pop_first();
        }
    }

    fn wait(&mut self, serial: u64, incident: &Incident) {
        let place = (incident.kind, incident.subject);
        self.waiting.insert(serial, (incident.evidence(), place));
        if self.waiting.len() <= WAITING {
            return;
        }
        let weakest = self
            .waiting
            .iter()
            .min_by(|a, b| a.1.0.total_cmp(&b.1.0).then(b.0.cmp(a.0)))
            .map(|(serial, _)| *serial);
        if let Some(serial) = weakest {
            self.waiting.remove(&serial);
            self.stats.withheld += 1;
        }
    }

    /// A critical incident keeps the thresholds where they are.
    fn heed(&mut self, incident: &Incident) {
        if incident.severity() == Severity::Critical {
            self.frozen_until = self
                .frozen_until
                .max(self.now.unwrap_or(0).saturating_add(FREEZE_NS));
            for channel in &mut self.channels {
                channel.control.freeze(true);
            }
        }
    }

    fn pass(&mut self, now: TimeNs) {
        let before = *self.now.get_or_insert(now);
        let passed = now.saturating_sub(before);
        self.now = Some(before.max(now));
        let frozen = now < self.frozen_until;
        for channel in &mut self.channels {
            channel.control.freeze(frozen);
            let expected = passed as f64 * channel.per_ns;
            channel.control.pass(expected);
            channel.allowance.pass(expected);
        }
    }

    /// What became of the candidates so far.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Incidents that wait for the allowance now.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Incidents that were worth telling when it was asked last, and that nobody is told of: muted, or dealt with.
    pub fn kept_quiet<'a>(&self, incidents: &'a Incidents) -> Vec<&'a Incident> {
        let found = self.kept_quiet.iter();
        found
            .filter_map(|(serial, place)| find(incidents, *serial, *place))
            .collect()
    }

    /// Incidents that were worth telling when it was asked last, and for which there was no room, most evidence first; each is
    /// answered once.
    pub fn newly_untold<'a>(&self, incidents: &'a Incidents) -> Vec<&'a Incident> {
        let found = self.untold.newly().iter();
        found
            .filter_map(|(serial, place)| find(incidents, *serial, *place))
            .collect()
    }

    /// Whether this incident is one that nobody was told of for want of room.
    pub fn is_untold(&self, incident: &Incident) -> bool {
        self.untold.has(incident.serial())
    }

    /// Whether it keeps quiet of this incident because of a mute.
    pub fn has_muted(&self, incident: &Incident) -> bool {
        self.muted.contains_key(&incident.serial())
    }

    /// Whether this incident was told.
    pub fn has_told(&self, incident: &Incident) -> bool {
        self.told.contains(&incident.serial())
    }

    /// Evidence from which an incident of this severity is told; nothing where all are.
    pub fn threshold(&self, severity: Severity) -> Option<f64> {
        let channel = self.of[(severity as usize).saturating_sub(1)]?;
        Some(self.channels[channel].control.threshold())
    }
}

fn find(incidents: &Incidents, serial: u64, place: Place) -> Option<&Incident> {
    incidents
        .get(place.0, place.1)
        .filter(|incident| incident.serial() == serial && !incidents.is_fringe(incident))
}
