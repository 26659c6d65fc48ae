//! The part of a flood that got no flow records of its own, added to the incident it belongs to.

use std::collections::BTreeMap;

use sensor_ebpf::flow::TimeNs;

use super::{Incident, Kind, Role, Subject};
use crate::flow::{Aggregate, Prefix};

/// Hosts with a rest that waits for its incident.
const HOSTS: usize = 1024;
/// Packet time for which it waits: a flood is named within two epochs.
const WAITS_NS: TimeNs = 10_000_000_000;

/// What of a flood arrived before it had a name.
#[derive(Clone, Debug, Default)]
pub(super) struct Rest {
    waiting: BTreeMap<Subject, Aggregate>,
}

/// The kinds an aggregate can be part of.
pub(super) const KINDS: [Kind; 2] = [Kind::Flood, Kind::Amplification];

/// Whom an aggregate is about, if it is about a victim.
pub(super) fn victim(aggregate: &Aggregate) -> Option<Subject> {
    match aggregate.prefix {
        Prefix::Destination(host) => Some(Subject::host(host, Role::Victim)),
        Prefix::DestinationNetwork(first) => Some(Subject::network(first, Role::Victim)),
        Prefix::Source(_) | Prefix::Everything => None,
    }
}

/// Where incidents are that an aggregate about this victim can be part of: of the host, or of the network it is in.
pub(super) fn places(victim: Subject) -> impl Iterator<Item = (Kind, Subject)> {
    let network = Subject::network(victim.address, Role::Victim);
    let subjects = [victim, network];
    KINDS
        .into_iter()
        .flat_map(move |kind| subjects.map(|subject| (kind, subject)))
}

/// Adds the flows of an aggregate, none of which was completed.
pub(super) fn add(incident: &mut Incident, aggregate: &Aggregate) {
    incident.flows += aggregate.flows;
    incident.failed += aggregate.flows;
    incident.packets += aggregate.packets;
    incident.sent += aggregate.payload_bytes[0];
    incident.received += aggregate.payload_bytes[1];
    incident.first = incident.first.min(aggregate.first);
    incident.last = incident.last.max(aggregate.last);
    if let (true, Prefix::Destination(host)) = (incident.subject.is_network(), aggregate.prefix) {
        incident.hosts.add_many(host, aggregate.flows);
    }
}

impl Rest {
    /// Keeps an aggregate whose flood has no incident yet.
    pub(super) fn keep(&mut self, victim: Subject, aggregate: &Aggregate) {
        self.waiting
            .retain(|_, old| old.last.saturating_add(WAITS_NS) >= aggregate.first);
        if let Some(old) = self.waiting.get_mut(&victim) {
            old.flows += aggregate.flows;
            old.packets += aggregate.packets;
            old.ip_bytes += aggregate.ip_bytes;
            for (sum, more) in old.payload_bytes.iter_mut().zip(aggregate.payload_bytes) {
                *sum += more;
            }
            old.last = old.last.max(aggregate.last);
        } else if self.waiting.len() < HOSTS {
            self.waiting.insert(victim, *aggregate);
        }
    }

    /// What waited for an incident that has just begun: of a network, also what waited for its hosts.
    pub(super) fn claim(&mut self, (kind, subject): (Kind, Subject)) -> Vec<Aggregate> {
        if !KINDS.contains(&kind) {
            return Vec::new();
        }
        if !subject.is_network() {
            return self.waiting.remove(&subject).into_iter().collect();
        }
        let is_part = |other: &Subject, _: &mut Aggregate| {
            Subject::network(other.address, Role::Victim) == subject
        };
        self.waiting
            .extract_if(.., is_part)
            .map(|(_, aggregate)| aggregate)
            .collect()
    }
}
