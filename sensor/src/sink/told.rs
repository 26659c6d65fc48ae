//! Incidents of flows and of logs, told alike.

use sensor_ebpf::flow::TimeNs;
use sha2::{Digest as _, Sha256};

use super::alert::{Alert, Seen, Source, techniques};
use crate::{
    attack::Technique,
    logs,
    score::{Incident, Kind, Reason, Severity, Stage},
};

/// An incident, wherever it was found.
#[derive(Clone, Debug)]
pub enum Told<'a> {
    /// In flows, with the process behind its most anomalous flow where a log names it.
    Flows(&'a Incident, Option<String>),
    /// In logs.
    Log(&'a logs::Finding),
}

impl Told<'_> {
    /// How much speaks for it.
    pub fn evidence(&self) -> f64 {
        match self {
            Self::Flows(incident, _) => incident.evidence(),
            Self::Log(finding) => finding.evidence(),
        }
    }

    /// From the evidence.
    pub fn severity(&self) -> Severity {
        Severity::of_evidence(self.evidence())
    }

    /// Name of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Flows(incident, _) => incident.kind.name(),
            Self::Log(finding) => finding.kind.name(),
        }
    }

    /// Whether it is a pattern, not merely something unusual.
    pub fn is_telling(&self) -> bool {
        !matches!(self, Self::Flows(incident, _) if incident.kind == Kind::UnusualFlow)
    }

    /// What the host is in it.
    pub fn role(&self) -> &'static str {
        match self {
            Self::Flows(incident, _) => incident.subject.role.name(),
            Self::Log(_) => "host",
        }
    }

    /// The host it is about: an address, or a name where a log gives no more.
    pub fn host(&self) -> String {
        match self {
            Self::Flows(incident, _) => incident.subject.to_string(),
            Self::Log(finding) => finding.actor.clone(),
        }
    }

    /// First and last packet or event; `None` where events carry no time.
    pub fn span(&self) -> Option<[TimeNs; 2]> {
        match self {
            Self::Flows(incident, _) => Some([incident.first, incident.last]),
            Self::Log(finding) => Some([finding.first?, finding.last?]),
        }
    }

    /// Flows or events in it.
    pub fn count(&self) -> u64 {
        match self {
            Self::Flows(incident, _) => incident.flows,
            Self::Log(finding) => finding.events,
        }
    }

    /// Why its most anomalous flow is anomalous.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Flows(incident, _) => &incident.worst.reasons,
            Self::Log(_) => &[],
        }
    }

    /// ATT&CK techniques that it is evidence of.
    pub fn techniques(&self) -> Vec<Technique> {
        match self {
            Self::Flows(incident, _) => incident.techniques(),
            Self::Log(finding) => finding.kind.techniques().to_vec(),
        }
    }

    /// One plain sentence with numbers.
    pub fn sentence(&self) -> String {
        match self {
            Self::Flows(incident, None) => incident.sentence(),
            Self::Flows(incident, Some(process)) => {
                format!("{}; the process is {process}", incident.sentence())
            }
            Self::Log(finding) => finding.sentence(),
        }
    }
}

impl Told<'_> {
    /// As the outside sees it, when all is over.
    pub fn alert(&self) -> Alert {
        let finding = match self {
            Self::Flows(incident, _) => {
                let mut alert = Alert::of_flows(incident, Stage::Over);
                alert.sentence = self.sentence();
                return alert;
            }
            Self::Log(finding) => finding,
        };
        let named = |names: &[String]| Seen {
            distinct: names.len() as u64,
            exact: true,
            top: names
                .iter()
                .take(10)
                .map(|name| (name.clone(), 1))
                .collect(),
        };
        Alert {
            stage: Stage::Over,
            kind: finding.kind.name().to_owned(),
            severity: self.severity(),
            role: self.role().to_owned(),
            sentence: finding.sentence(),
            techniques: techniques(finding.kind.techniques()),
            evidence: finding.evidence(),
            first_ns: finding.first.unwrap_or(0),
            last_ns: finding.last.or(finding.first).unwrap_or(0),
            count: finding.events,
            peers: named(&finding.hosts.iter().cloned().collect::<Vec<_>>()),
            ..Alert::of(Source::Logs, log_id(finding), finding.actor.clone())
        }
    }
}

/// The same in every reading of the same logs.
fn log_id(finding: &logs::Finding) -> String {
    let text = format!(
        "{}/{}/{:?}",
        finding.kind.name(),
        finding.actor,
        finding.first
    );
    let digest = Sha256::digest(text.as_bytes());
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Both kinds in one order, most evidence first; what comes first at even evidence is what was there first.
pub fn ranked(mut told: Vec<Told<'_>>) -> Vec<Told<'_>> {
    told.sort_by(|a, b| b.evidence().total_cmp(&a.evidence()));
    told
}
