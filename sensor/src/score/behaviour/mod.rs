//! Behaviour detectors: what a forest cannot see in one row, each with a p-value.
//!
//! A detector looks at a row whose shape asks for it ([`rule`]), takes one or two measures, and turns them into a
//! p-value: against the baseline the model was trained on (the share of its rows with at least as much, [`at::Known`]),
//! or against a null model written down where it is computed ([`null`]). Two measures are combined by Fisher's method;
//! all detectors and the forest by Bonferroni's ([`combined`]), so that one alert budget governs them all.

mod at;
mod carpet;
mod census;
mod detect;
mod neighbours;
mod null;
mod rule;
mod source;
mod visits;

use model::Model;

pub(super) use self::rule::{PAIR_FLOWS, PAIR_GAP_MEAN, PAIR_GAP_VARIATION};
pub use self::{at::Measure, rule::is_attack};
use self::{carpet::Carpets, census::Census, source::Sources, visits::Visits};
use super::{Kind, Role, Scored, Subject};

/// Tests made of one row besides the forest's: what Bonferroni's correction multiplies by. A rhythm at a rare port and a
/// rhythm that lasts are two. A detector that takes the better of several windows corrects for that itself. That of
/// networks ([`carpet`]) is not among them: what it answers is far above what its null model says.
const DETECTORS: f64 = 12.0;

/// A detector's p-value up to which it names a flow.
const SUSPECT: f64 = 2e-3;

/// What a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    pub(super) subject: Subject,
    /// Corrected for all the tests made of the row.
    pub(super) p_value: f64,
    /// The number that spoke loudest, if one of the row's did.
    pub(super) measure: Option<Measure>,
}

/// A detector's own answer.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    kind: Kind,
    p_value: f64,
    measure: Option<Measure>,
    /// Worth a name whatever its p-value: people want to see it, low in the list.
    is_plain: bool,
}

impl Evidence {
    const fn of(kind: Kind, p_value: f64) -> Self {
        Self {
            kind,
            p_value,
            measure: None,
            is_plain: false,
        }
    }

    const fn with(self, measure: Measure) -> Self {
        Self {
            measure: Some(measure),
            ..self
        }
    }
}

/// One p-value for a row of all that was tested on it: half of the chance of a false alarm goes to the forest, half to
/// the detectors together (Bonferroni).
fn combined(forest: f64, strongest: f64) -> f64 {
    (2.0 * forest).min(2.0 * DETECTORS * strongest).min(1.0)
}

/// Detectors with what they remember. Bounded; a function of the scored flows in their order.
#[derive(Debug)]
pub(super) struct Behaviour {
    visits: Visits,
    sources: Sources,
    census: Census,
    carpets: Carpets,
}

impl Behaviour {
    pub(super) fn new() -> Self {
        Self {
            visits: Visits::new(),
            sources: Sources::new(),
            census: Census::new(),
            carpets: Carpets::new(),
        }
    }

    /// Hosts and pairs forgotten for want of room.
    pub(super) const fn forgotten(&self) -> u64 {
        self.visits.forgotten() + self.sources.forgotten() + self.carpets.forgotten()
    }

    /// What this flow is part of, and which host that is about; `None` for nothing remarkable.
    pub(super) fn judge(&mut self, scored: &Scored, model: &Model) -> Option<Finding> {
        let (record, row) = (&scored.record, &scored.row);
        let actor = Subject::host(record.source(), Role::Actor);
        if record.key.is_arp() {
            // Nobody knows what is usual; the detectors of IP flows look at other rows.
            return neighbours::sweep(record, row).map(|evidence| Finding {
                kind: evidence.kind,
                subject: actor,
                p_value: combined(scored.p_value, evidence.p_value),
                measure: evidence.measure,
            });
        }
        let mut named: Option<(Evidence, Subject)> = None;
        let mut strongest = 1.0_f64;
        let mut weigh = |evidence: Evidence, subject: Subject| {
            strongest = strongest.min(evidence.p_value);
            let stronger = named.is_none_or(|(other, _)| {
                (evidence.kind, evidence.p_value) < (other.kind, other.p_value)
            });
            if (evidence.p_value <= SUSPECT || evidence.is_plain) && stronger {
                named = Some((evidence, subject));
            }
        };
        if let Some((evidence, network)) = self.carpets.see(record, row) {
            weigh(evidence, network);
        }
        if let Some((evidence, victim)) = detect::flood(record, row, model) {
            let victim = self.carpets.victim(victim, record.due);
            // The host's number says nothing of its network.
            let measure = evidence.measure.filter(|_| !victim.is_network());
            weigh(
                Evidence {
                    measure,
                    ..evidence
                },
                victim,
            );
        }
        let found = [
            detect::scan(record, row, model),
            self.sources.probing(record),
            detect::login(record, row, model),
            self.sources.lateral(record, row, model, &self.census),
            self.census.industrial(record, row),
            detect::exfiltration(record, row, model, scored.p_value),
            detect::dns_tunnel(record, row, model),
            detect::download(record, row, model),
            self.visits.beacon(record, row, model),
        ];
        for evidence in found.into_iter().flatten() {
            weigh(evidence, actor);
        }
        self.census.count(record);
        let p_value = combined(scored.p_value, strongest);
        match named {
            Some((evidence, subject)) => Some(Finding {
                kind: evidence.kind,
                subject,
                p_value,
                measure: evidence.measure,
            }),
            None if scored.anomalous => Some(Finding {
                kind: Kind::UnusualFlow,
                subject: actor,
                p_value: combined(scored.p_value, 1.0),
                measure: None,
            }),
            None => None,
        }
    }
}
