//! What one flow adds to its incident: taken back, and added anew, whenever a flow that lives is looked at again.

use std::net::IpAddr;

use super::{
    Incident, Kind, Scored, Subject,
    behaviour::{PAIR_FLOWS, PAIR_GAP_MEAN, PAIR_GAP_VARIATION},
    kind::Role,
};
use crate::flow::ConnState;

/// A flow that lives and is part of an incident, with what it added so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) at: (Kind, Subject),
    /// Of the incident it was added to.
    pub(super) serial: u64,
    pub(super) anomalous: bool,
    pub(super) failed: bool,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) packets: u64,
}

/// Host and port on the other side of it.
pub(super) fn other_side(role: Role, scored: &Scored) -> (IpAddr, u16) {
    let record = &scored.record;
    let peer = match role {
        Role::Actor => record.destination(),
        Role::Victim if record.orig().packets == 0 => record.destination(),
        Role::Victim => record.source(),
    };
    (peer, record.destination_port())
}

/// The host on the incident's own side of it.
pub(super) fn own_side(role: Role, scored: &Scored) -> IpAddr {
    let record = &scored.record;
    match role {
        Role::Actor => record.source(),
        Role::Victim if record.orig().packets == 0 => record.source(),
        Role::Victim => record.destination(),
    }
}

/// Adds a flow to an incident, and answers what it added.
pub(super) fn add(
    incident: &mut Incident,
    scored: &Scored,
    at: (Kind, Subject),
    anomalous: bool,
) -> Share {
    let record = &scored.record;
    let entry = Share {
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
    if at.1.is_network() {
        incident.hosts.add(own_side(at.1.role, scored));
    }
    let gap = scored.row[PAIR_GAP_MEAN];
    if !gap.is_nan() {
        incident.gap = gap;
        incident.gap_variation = scored.row[PAIR_GAP_VARIATION];
    }
    incident.visits = incident.visits.max(scored.row[PAIR_FLOWS]);
    entry
}
