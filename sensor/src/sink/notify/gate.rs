//! Which alerts a sink tells.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use sensor_ebpf::flow::TimeNs;

use crate::{
    config::Grade,
    score::{Severity, Stage},
    sink::alert::Alert,
};

/// Incidents that are remembered; the one told first is forgotten first, which costs at most a mail too many.
const REMEMBERED: usize = 4096;

/// Lets through what is grave enough, and not too often on the same incident. Time is that of the packets, so the
/// same packets are told alike whenever they are looked at.
#[derive(Debug)]
pub struct Gate {
    least: Severity,
    ends: bool,
    repeat_ns: u64,
    told: HashMap<String, Told>,
    order: VecDeque<String>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    first: Severity,
    severity: Severity,
    at: TimeNs,
}

impl Gate {
    /// Tells from `least` on; the end of an incident too, if it `ends`; the same incident again after `repeat`, or
    /// when it became graver.
    pub fn new(least: Grade, ends: bool, repeat: Duration) -> Self {
        Self {
            least: match least {
                Grade::Low => Severity::Low,
                Grade::Medium => Severity::Medium,
                Grade::High => Severity::High,
                Grade::Critical => Severity::Critical,
            },
            ends,
            repeat_ns: u64::try_from(repeat.as_nanos()).unwrap_or(u64::MAX),
            told: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether to tell this; if so, the severity with which the incident was told first.
    pub fn admit(&mut self, alert: &Alert) -> Option<Severity> {
        let known = self.told.get_mut(&alert.id);
        match (alert.stage, known) {
            (Stage::Progress | Stage::Untold, _) => None,
            (Stage::Over, known) => {
                let first = known.map(|told| told.first);
                self.told.remove(&alert.id);
                self.order.retain(|id| *id != alert.id);
                (self.ends && alert.severity >= self.least).then(|| first.unwrap_or(alert.severity))
            }
            _ if alert.severity < self.least => None,
            (Stage::New | Stage::Grown, Some(told)) => {
                let waited = alert.last_ns.saturating_sub(told.at) >= self.repeat_ns;
                if alert.severity <= told.severity && !waited {
                    return None;
                }
                told.severity = alert.severity;
                told.at = alert.last_ns;
                Some(told.first)
            }
            (Stage::New | Stage::Grown, None) => {
                if self.order.len() == REMEMBERED
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.told.remove(&oldest);
                }
                self.order.push_back(alert.id.clone());
                let told = Told {
                    first: alert.severity,
                    severity: alert.severity,
                    at: alert.last_ns,
                };
                self.told.insert(alert.id.clone(), told);
                Some(alert.severity)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::notify::notice::tests::alert;

    fn at(stage: Stage, severity: Severity, second: u64) -> Alert {
        Alert {
            stage,
            severity,
            last_ns: second * 1_000_000_000,
            ..alert()
        }
    }

    #[test]
    fn an_incident_is_told_again_when_graver_or_later() {
        let mut gate = Gate::new(Grade::Medium, true, Duration::from_secs(60));
        let mut told = |stage, severity, second| gate.admit(&at(stage, severity, second));
        assert_eq!(told(Stage::New, Severity::Low, 0), None);
        assert_eq!(
            told(Stage::Grown, Severity::Medium, 10),
            Some(Severity::Medium)
        );
        assert_eq!(told(Stage::Grown, Severity::Medium, 20), None);
        assert_eq!(told(Stage::Progress, Severity::Critical, 25), None);
        assert_eq!(
            told(Stage::Grown, Severity::High, 30),
            Some(Severity::Medium)
        );
        assert_eq!(told(Stage::Grown, Severity::High, 89), None);
        assert_eq!(
            told(Stage::Grown, Severity::High, 90),
            Some(Severity::Medium)
        );
        assert_eq!(
            told(Stage::Over, Severity::High, 91),
            Some(Severity::Medium)
        );
        assert_eq!(told(Stage::New, Severity::High, 92), Some(Severity::High));
    }

    #[test]
    fn memory_is_bounded() {
        let mut gate = Gate::new(Grade::Low, false, Duration::ZERO);
        for number in 0..3 * REMEMBERED {
            let id = format!("{number:016x}");
            let alert = Alert {
                id,
                ..at(Stage::New, Severity::High, 0)
            };
            assert!(gate.admit(&alert).is_some());
        }
        assert_eq!(
            (gate.told.len(), gate.order.len()),
            (REMEMBERED, REMEMBERED)
        );
        assert_eq!(gate.admit(&at(Stage::Over, Severity::High, 1)), None);
    }
}
