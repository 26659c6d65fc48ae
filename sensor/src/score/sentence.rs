//! Incidents in words: one plain sentence with the numbers that speak for it.

use super::{Incident, Kind, amount, bytes, count};
use crate::{
    features::TABLE,
    flow::{ARP, is_icmp, protocol_text},
    time,
};

impl Incident {
    /// One plain sentence with numbers.
    pub fn sentence(&self) -> String {
        let host = self.subject;
        let flows = count(self.flows as f64);
        let s = if self.flows == 1 { "" } else { "s" };
        let over = self.over();
        let peer = self.peer();
        let what = match self.kind {
            Kind::Flood if self.subject.is_network() => format!(
                "{host} got {flows} flows spread over {} of its hosts from {} source{} {over}{}; {} of them without success",
                self.hosts.text(),
                self.peers.text(),
                if self.peers.distinct() == 1 { "" } else { "s" },
                self.rate(),
                self.failed_words()
            ),
            Kind::Amplification if self.subject.is_network() => format!(
                "{host} was sent {} in answers that {} of its hosts did not ask for, by {} hosts, {over}{}",
                bytes(self.received.max(self.sent) as f64),
                self.hosts.text(),
                self.peers.text(),
                self.rate()
            ),
            Kind::Flood => format!(
                "{host} got {flows} flows from {} sources {over}; {} of them without success",
                self.peers.text(),
                self.failed_words()
            ),
            Kind::Amplification => format!(
                "{host} was sent {} in answers it did not ask for, by {} hosts, {over}",
                bytes(self.received.max(self.sent) as f64),
                self.peers.text()
            ),
            Kind::HostSweep => format!(
                "{host} asked {} hosts{} whether they are there, {over}; {} of {flows} got no answer",
                self.peers.text(),
                if self.protocol == ARP { " by ARP" } else { "" },
                self.failed_words()
            ),
            Kind::ServiceProbing => format!(
                "{host} opened {flows} connection{s} to {} of {peer} {over} and hung up without a word",
                self.port_of()
            ),
            Kind::PasswordSpraying => format!(
                "{host} made short logins at {} of {} hosts {over}",
                self.port_of(),
                self.peers.text()
            ),
            Kind::LateralMovement => format!(
                "{host} talked to {} of {peer} {over}, which hardly anybody does here: {} sent, {} fetched",
                self.port_of(),
                bytes(self.sent as f64),
                bytes(self.received as f64)
            ),
            Kind::IndustrialMisuse => format!(
                "{host} exchanged {} packets with the controller {peer} ({}) {over}, far more than others do",
                count(self.packets as f64),
                self.port()
            ),
            Kind::DnsTunnel => format!(
                "{host} sent {} of name look-ups to {peer} {over}, too long and too many for names",
                bytes(self.sent as f64)
            ),
            Kind::Download => format!(
                "{host} fetched {} from {peer} at first contact, by {}, which is rare here",
                bytes(self.received as f64),
                self.port()
            ),
            Kind::PortScanVertical => format!(
                "{host} tried {} ports of {peer} {over}; {} of {flows} attempts failed",
                self.ports.text(),
                self.failed_words()
            ),
            Kind::PortScanHorizontal => format!(
                "{host} tried {} of {} host{} {over}; {} of {flows} attempts failed",
                self.port_of(),
                self.peers.text(),
                if self.peers.distinct() == 1 { "" } else { "s" },
                self.failed_words()
            ),
            Kind::PasswordGuessing => format!(
                "{host} made {} short logins at {} of {peer} {over}, one every {}, each with the same little exchange",
                count(self.tries()),
                self.port_of(),
                time::words(self.pace())
            ),
            Kind::Exfiltration => format!(
                "{host} sent {} out to {peer} ({}) {over} and fetched only {}",
                bytes(self.sent as f64),
                self.port(),
                bytes(self.received as f64)
            ),
            Kind::Beaconing if self.failed * 2 > self.flows => format!(
                "{host} called {} of {peer} {} times {over}, one every {}; {} of {flows} calls got no answer",
                self.port_of(),
                count(self.tries()),
                time::words(f64::from(self.gap)),
                self.failed_words()
            ),
            Kind::Beaconing if self.flows == 1 && self.gap.is_nan() => format!(
                "{host} kept a connection to {} of {peer} {over} and spoke at even intervals, like a clock: {} packets",
                self.port_of(),
                count(self.packets as f64)
            ),
            Kind::Beaconing => format!(
                "{host} came back to {} of {peer} every {}, like a clock: {} times {over}",
                self.port_of(),
                time::words(f64::from(self.gap)),
                count(self.tries())
            ),
            Kind::UnusualFlow => format!(
                "{host} had {flows} flow{s} to {peer} ({}) unlike the usual, {over}: {} sent, {} fetched",
                self.port(),
                bytes(self.sent as f64),
                bytes(self.received as f64)
            ),
        };
        what + &self.usual()
    }

    /// What is usual here for the number that spoke loudest.
    fn usual(&self) -> String {
        match self.measure {
            Some(measure) if !measure.usual.is_nan() && measure.value > measure.usual => {
                let feature = &TABLE[measure.feature];
                let window = ["10s", "60s", "600s"]
                    .iter()
                    .find(|window| feature.name.ends_with(&format!("_{window}")))
                    .map_or("", |window| match *window {
                        "10s" => " in 10 s",
                        "60s" => " in a minute",
                        _ => " in ten minutes",
                    });
                format!(
                    " ({}{window}; usual here: at most {})",
                    amount(measure.value, feature.unit),
                    amount(measure.usual, feature.unit)
                )
            }
            _ => String::new(),
        }
    }

    fn over(&self) -> String {
        match time::between(self.first, self.last) {
            seconds if seconds < 1e-6 => "at once".to_owned(),
            seconds => format!("in {}", time::words(seconds)),
        }
    }

    /// Flows a second, where there was a second.
    fn rate(&self) -> String {
        match time::between(self.first, self.last) {
            seconds if seconds < 1.0 => String::new(),
            seconds => format!(
                ", {} a second",
                count((self.flows as f64 / seconds).round())
            ),
        }
    }

    /// Flows, with those before the rule had seen enough.
    fn tries(&self) -> f64 {
        f64::from(self.visits).max(self.flows as f64)
    }

    /// Seconds from one flow to the next.
    fn pace(&self) -> f64 {
        if self.gap.is_nan() {
            time::between(self.first, self.last) / (self.flows.max(2) - 1) as f64
        } else {
            f64::from(self.gap)
        }
    }

    fn failed_words(&self) -> String {
        if self.failed == self.flows && self.flows > 1 {
            "all".to_owned()
        } else {
            count(self.failed as f64)
        }
    }

    /// The host on the other side, or how many they are.
    fn peer(&self) -> String {
        match (self.peers.distinct(), self.peers.most()) {
            (1, Some((peer, _))) => peer.to_string(),
            // Nearly all with one: the others are an aside.
            (others, Some((peer, most))) if most * 10 >= self.flows * 9 => format!(
                "{peer} (and {} other host{})",
                others - 1,
                if others == 2 { "" } else { "s" }
            ),
            (_, Some((peer, _))) => format!("{} hosts, most of all {peer}", self.peers.text()),
            _ => "nobody".to_owned(),
        }
    }

    /// The port asked for, or how many they are.
    fn port(&self) -> String {
        let protocol = protocol_text(self.protocol).into_owned();
        if is_icmp(self.protocol) {
            return protocol;
        }
        match (self.ports.distinct(), self.ports.most()) {
            (1, Some((0, _))) | (0, _) => protocol,
            (1, Some((port, _))) => format!("{protocol} port {port}"),
            (_, Some((port, _))) => {
                format!("{} {protocol} ports, most of all {port}", self.ports.text())
            }
            _ => protocol,
        }
    }

    /// [`Self::port`] where " of" the host follows: an aside ends with a comma.
    fn port_of(&self) -> String {
        let port = self.port();
        if port.contains(',') { port + "," } else { port }
    }
}
