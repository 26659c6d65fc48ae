//! What belongs to a larger incident: the fringe of a flood or a scan, and what single hosts went through before it was plain that their network
//! did.

use std::net::IpAddr;

use sensor_ebpf::flow::TimeNs;

use super::{
    super::{Incident, Kind, Role, Subject, rest},
    Incidents,
};

/// Traffic time around an incident in which what happens to the same hosts may belong to it.
const MARGIN_NS: u64 = 60_000_000_000;

impl Incidents {
    /// Whether single unusual flows are the fringe of something larger: what a flooded host got before it was a
    /// flood, what a scanner sent to its victim before it was a scan.
    pub(in crate::score) fn is_fringe(&self, incident: &Incident) -> bool {
        if matches!(incident.kind, Kind::PortScanHorizontal | Kind::HostSweep) {
            return self.begins_carpet(incident);
        }
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
        let floods = [peer, incident.subject.address]
            .into_iter()
            .flat_map(|host| rest::places(Subject::host(host, Role::Victim)))
            .filter_map(|(kind, victim)| self.get(kind, victim));
        let scans = Kind::ALL[Kind::PortScanVertical as usize..Kind::LateralMovement as usize]
            .iter()
            .copied()
            .filter_map(|kind| self.get(kind, incident.subject))
            .filter(|scan| scan.peers.contains(&peer));
        floods.chain(scans).any(|larger| near(&larger))
    }

    /// Whether a scan of hosts was the beginning of a flood of their network: all of them are in it, and the source went on to do more for
    /// the flood than it had done for the scan.
    fn begins_carpet(&self, scan: &Incident) -> bool {
        let Some((peer, _)) = scan.peers.most() else {
            return false;
        };
        let network = Subject::network(peer, Role::Victim);
        let is_one = |peer: &IpAddr| Subject::network(*peer, Role::Victim) == network;
        self.get(Kind::Flood, network).is_some_and(|flood| {
            flood.first <= scan.last.saturating_add(MARGIN_NS)
                && scan.first.saturating_add(MARGIN_NS) >= flood.first
                && flood.peers.count(&scan.subject.address) >= scan.flows
                && scan.peers.things().all(is_one)
        })
    }

    /// Takes out what hosts of a network went through until now, for it turned out to be part of what their network goes through.
    pub(super) fn take_hosts_of(
        &mut self,
        at: (Kind, Subject),
        now: TimeNs,
    ) -> Vec<((Kind, Subject), Incident)> {
        let is_part = |(kind, subject): &(Kind, Subject), incident: &mut Incident| {
            *kind == at.0
                && !subject.is_network()
                && Subject::network(subject.address, subject.role) == at.1
                && now <= incident.last.saturating_add(MARGIN_NS)
        };
        let parts: Vec<_> = self.all.extract_if(.., is_part).collect();
        for (place, _) in &parts {
            self.changed.remove(place);
        }
        parts
    }
}
