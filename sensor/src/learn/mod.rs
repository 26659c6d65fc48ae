//! Learning on the box: what the sensor remembers of its own network, when it trains anew, and when it believes itself.
//!
//! A function of scored flows in their order and of packet time; no clock, no thread, no file is chosen here. Training is
//! handed out as a [`Job`] that may run anywhere, and its model comes back as the challenger.

mod drift;
mod quarantine;
mod reservoir;
mod shadow;

use std::{fmt, sync::Arc};

use model::{Model, TrainError};
use sensor_ebpf::flow::TimeNs;

use self::quarantine::attacks;
pub use self::{
    drift::Drift,
    quarantine::{Lesson, Patience, Quarantine},
    reservoir::{Host, Image, Reservoir, Values},
    shadow::{Refusal, Rules, Shadow},
};
use crate::{
    features::{self, model_row},
    score::{Incident, Role, Scored},
};

/// How to learn.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Of the models.
    pub model: model::Settings,
    /// Rows remembered.
    pub rows: usize,
    /// A row counts half as much as one that is this much younger.
    pub half_life_ns: u64,
    /// Most of the rows that one source host may have, as a share.
    pub host_share: f64,
    /// Train anew after so much traffic time; 0 never does by schedule.
    pub every_ns: u64,
    /// Train anew when this share of the features moved; 1 never does by drift.
    pub moved: f64,
    /// Fewest rows to train on.
    pub fewest: usize,
    /// What is learned of the unusual.
    pub patience: Patience,
    /// When a challenger takes over.
    pub rules: Rules,
    /// How long a new champion can be sent back.
    pub probation_ns: u64,
    /// Alarms of a new champion that send it back, as a multiple of its promise.
    pub too_many: f64,
    /// Distance of a new champion's p-values from uniform that sends it back, beyond what it was with the one before.
    pub too_far: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: model::Settings::default(),
            rows: 50_000,
            half_life_ns: 3 * 24 * HOUR_NS,
            host_share: 0.05,
            every_ns: 24 * HOUR_NS,
            moved: 0.3,
            fewest: 2000,
            patience: Patience::default(),
            rules: Rules::default(),
            probation_ns: 6 * HOUR_NS,
            too_many: 8.0,
            too_far: 0.25,
        }
    }
}

const HOUR_NS: u64 = 3_600_000_000_000;
/// Least time between two trainings.
const REST_NS: u64 = HOUR_NS;
/// Rows of attacks that a challenger must still find, at most.
const CANARIES: usize = 512;
/// One in so many of the champion's flows is looked at for drift and scored by the challenger too.
const SHADOWED: u64 = 4;
/// Rows from which drift is believed.
const SEEN: f64 = 1000.0;
/// Flows after which a new champion is judged.
const JUDGED: u64 = 500;

/// Rows to train on, to be done anywhere.
#[derive(Debug)]
pub struct Job {
    rows: model::Rows,
    settings: model::Settings,
}

impl Job {
    /// Trains.
    ///
    /// # Errors
    /// [`TrainError`].
    pub fn train(&self) -> Result<Model, TrainError> {
        Model::train(&self.rows, &features::schema(), &self.settings)
    }
}

/// What was decided.
#[derive(Clone, Debug)]
pub enum Decision {
    /// The challenger takes over: put it in use.
    Promoted(Arc<Model>),
    /// It does not, and is gone.
    Refused(Refusal),
    /// The champion before is put in use again.
    RolledBack(Arc<Model>, Failing),
}

/// What is wrong with a champion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Failing {
    /// It raised this multiple of the alarms it promised.
    Alarms(f64),
    /// Its p-values lie this far from uniform, and those of the one before did not.
    Drift(f64),
}

impl fmt::Display for Failing {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alarms(times) => {
                write!(to, "raised {times:.0} times the alarms it promised")
            }
            Self::Drift(distance) => write!(
                to,
                "does not fit the traffic (its p-values lie {distance:.2} from uniform)"
            ),
        }
    }
}

#[derive(Debug)]
struct Probation {
    before: Arc<Model>,
    /// Distance of p-values under the champion before.
    distance: f64,
    until: TimeNs,
    rows: u64,
    alarms: u64,
}

/// Counts for metrics and reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows learned.
    pub learned: u64,
    /// Unusual rows that were told to wait.
    pub waited: u64,
    /// Rows learned as a habit after they had waited.
    pub habits: u64,
    /// Rows of attacks and of hosts that attacked.
    pub refused: u64,
}

/// Remembers, watches for drift, and decides.
#[derive(Debug)]
pub struct Learner {
    settings: Settings,
    reservoir: Reservoir,
    quarantine: Quarantine,
    drift: Drift,
    champion: Arc<Model>,
    shadow: Option<Shadow>,
    probation: Option<Probation>,
    canaries: Vec<Values>,
    offered_canaries: u64,
    training: bool,
    stats: Stats,
}

impl Learner {
    /// Begins with this model in use.
    pub fn new(settings: Settings, champion: Arc<Model>) -> Self {
        Self {
            reservoir: Reservoir::new(
                settings.rows,
                settings.half_life_ns,
                settings.host_share,
                settings.model.seed,
            ),
            quarantine: Quarantine::new(settings.patience),
            drift: Drift::new(&champion),
            champion,
            shadow: None,
            probation: None,
            canaries: Vec::new(),
            offered_canaries: 0,
            training: false,
            stats: Stats::default(),
            settings,
        }
    }

    /// Takes in a flow that the champion scored and that was given its kind.
    pub fn observe(&mut self, scored: &Scored) {
        if scored.record.key.is_arp() {
            return;
        }
        let values = model_row(&scored.row);
        let record = &scored.record;
        let time = record.due;
        if self.reservoir.trained() == 0 || self.reservoir.trained() > time {
            // The first flow, or the clock was set back.
            self.reservoir.train(time);
        }
        if let Some(probation) = &mut self.probation {
            probation.rows += 1;
            probation.alarms += u64::from(scored.unusual && !attacks(scored));
        }
        if attacks(scored) {
            self.keep_canary(&values);
        } else {
            // Whether it is this one's turn must not hang on how often a host sends: a count would beat with a clock.
            if mixed(record.id ^ u64::from(record.checkpoint)).is_multiple_of(SHADOWED) {
                self.drift.see(&values, scored.p_value);
                if let Some(shadow) = &mut self.shadow {
                    shadow.see(&values, scored.unusual);
                }
            }
        }
        let host = record.key.addresses[record.originator];
        match self.quarantine.judge(scored) {
            Lesson::Learn => {
                self.stats.learned += 1;
                self.reservoir.offer(host, time, &values);
            }
            Lesson::Habit(waited) => {
                self.stats.habits += 1 + waited.len() as u64;
                for (_, waited) in waited {
                    self.reservoir.offer(host, time, &waited);
                }
                self.reservoir.offer(host, time, &values);
            }
            Lesson::Wait => self.stats.waited += 1,
            Lesson::Never => self.stats.refused += 1,
        }
    }

    /// Takes in an incident that was told: its actor teaches nothing, and what it taught is forgotten, unless it was
    /// merely unusual, came back like a clock, or fetched much.
    pub fn heed(&mut self, incident: &Incident, now: TimeNs) {
        if incident.kind.is_mild() || incident.subject.role != Role::Actor {
            return;
        }
        let host = incident.subject.key_address();
        self.quarantine.ban(host, now);
        self.reservoir.forget(&host);
    }

    /// Keeps a bounded sample of attack rows: the first, then ever more rarely one in the place of another.
    fn keep_canary(&mut self, values: &Values) {
        self.offered_canaries += 1;
        if self.canaries.len() < CANARIES {
            self.canaries.push(*values);
        } else if self.offered_canaries.is_power_of_two() {
            let at = self.offered_canaries.trailing_zeros() as usize % CANARIES;
            self.canaries[at] = *values;
        }
    }

    /// A training that is due now, if any. Until its model is given to [`Learner::challenge`] there is no other.
    pub fn job(&mut self, now: TimeNs) -> Option<Job> {
        let busy = self.training || self.shadow.is_some() || self.probation.is_some();
        let since = now.saturating_sub(self.reservoir.trained());
        if busy || since < REST_NS || self.reservoir.len() < self.settings.fewest {
            return None;
        }
        let by_schedule = self.settings.every_ns > 0 && since >= self.settings.every_ns;
        let by_drift = self.drift.rows() >= SEEN
            && self.settings.moved < 1.0
            && self.drift.moved() >= self.settings.moved;
        if !by_schedule && !by_drift {
            return None;
        }
        self.training = true;
        self.reservoir.train(now);
        Some(Job {
            rows: self.reservoir.snapshot(),
            settings: self.settings.model.clone(),
        })
    }

    /// Takes the model that a job gave, or that it gave none.
    pub fn challenge(&mut self, challenger: Option<Model>) {
        self.training = false;
        self.shadow = challenger.map(Shadow::new);
    }

    /// What is to be done now, if anything.
    pub fn decide(&mut self, now: TimeNs) -> Option<Decision> {
        if let Some(probation) = &self.probation {
            let promised = self.champion.info().settings.contamination * probation.rows as f64;
            let ratio = probation.alarms as f64 / promised.max(1e-9);
            let distance = self.drift.distance();
            let failing = if probation.rows < JUDGED {
                None
            } else if ratio > self.settings.too_many {
                Some(Failing::Alarms(ratio))
            } else if self.drift.rows() >= SEEN
                && distance > probation.distance + self.settings.too_far
            {
                Some(Failing::Drift(distance))
            } else {
                None
            };
            if let Some(failing) = failing {
                let before = Arc::clone(&probation.before);
                self.adopt(Arc::clone(&before));
                return Some(Decision::RolledBack(before, failing));
            }
            if now >= probation.until && probation.rows >= JUDGED {
                self.probation = None;
            }
        }
        let verdict =
            self.shadow
                .as_ref()?
                .verdict(&self.champion, &self.canaries, &self.settings.rules)?;
        let challenger = self.shadow.take()?;
        Some(match verdict {
            Err(refusal) => Decision::Refused(refusal),
            Ok(()) => {
                let before = Arc::clone(&self.champion);
                let distance = self.drift.distance();
                let model = Arc::new(challenger.into_model());
                self.adopt(Arc::clone(&model));
                self.probation = Some(Probation {
                    before,
                    distance,
                    until: now.saturating_add(self.settings.probation_ns),
                    rows: 0,
                    alarms: 0,
                });
                Decision::Promoted(model)
            }
        })
    }

    /// Takes this model as the one in use: chosen here, or by a person.
    pub fn adopt(&mut self, model: Arc<Model>) {
        self.drift = Drift::new(&model);
        self.champion = model;
        self.shadow = None;
        self.probation = None;
    }

    /// The model in use.
    pub const fn champion(&self) -> &Arc<Model> {
        &self.champion
    }

    /// What is remembered.
    pub const fn reservoir(&self) -> &Reservoir {
        &self.reservoir
    }

    /// What is remembered, to be restored.
    pub const fn reservoir_mut(&mut self) -> &mut Reservoir {
        &mut self.reservoir
    }

    /// How far the traffic moved.
    pub const fn drift(&self) -> &Drift {
        &self.drift
    }

    /// Unusual rows that wait.
    pub fn waiting(&self) -> usize {
        self.quarantine.len()
    }

    /// Whether a challenger scores in the shadow.
    pub const fn has_challenger(&self) -> bool {
        self.shadow.is_some()
    }

    /// Counts so far.
    pub const fn stats(&self) -> Stats {
        self.stats
    }
}

/// The finaliser of SplitMix64.
const fn mixed(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
