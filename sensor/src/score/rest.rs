//! The part of a flood that got no flow records of its own, added to the incident it belongs to.

use std::{collections::BTreeMap, net::IpAddr};

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
    waiting: BTreeMap<IpAddr, Aggregate>,
}

/// The kinds an aggregate can be part of.
pub(super) const KINDS: [Kind; 2] = [Kind::Flood, Kind::Amplification];

/// The host an aggregate is about; none for those of networks and of everything.
pub(super) const fn host(aggregate: &Aggregate) -> Option<IpAddr> {
    match aggregate.prefix {
        Prefix::Destination(host) => Some(host),
        Prefix::Source(_) | Prefix::DestinationNetwork(_) | Prefix::Everything => None,
    }
}

/// The key of the incident that a flood of `host` is.
pub(super) const fn subject(host: IpAddr) -> Subject {
    Subject {
        address: host,
        role: Role::Victim,
    }
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
}

impl Rest {
    /// Keeps an aggregate whose flood has no incident yet.
    pub(super) fn keep(&mut self, host: IpAddr, aggregate: &Aggregate) {
        self.waiting
            .retain(|_, old| old.last.saturating_add(WAITS_NS) >= aggregate.first);
        if let Some(old) = self.waiting.get_mut(&host) {
            old.flows += aggregate.flows;
            old.packets += aggregate.packets;
            old.ip_bytes += aggregate.ip_bytes;
            for (sum, more) in old.payload_bytes.iter_mut().zip(aggregate.payload_bytes) {
                *sum += more;
            }
            old.last = old.last.max(aggregate.last);
        } else if self.waiting.len() < HOSTS {
            self.waiting.insert(host, *aggregate);
        }
    }

    /// What waited for an incident that has just begun.
    pub(super) fn claim(&mut self, at: (Kind, Subject)) -> Option<Aggregate> {
        if !KINDS.contains(&at.0) {
            return None;
        }
        self.waiting.remove(&at.1.address)
    }
}
