//! Names of hosts and their addresses, as the log itself tells them.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use super::{Event, Field};

/// Names remembered; a domain has fewer hosts that write into one log.
const NAMES_MAX: usize = 65_536;
/// Addresses remembered for one name.
const ADDRESSES_MAX: usize = 16;

/// Which addresses each host has.
#[derive(Debug, Default)]
pub struct Hosts {
    votes: HashMap<String, BTreeMap<IpAddr, u64>>,
}

impl Hosts {
    /// Learns from an event: a connection names an address of the host that wrote it (5156), a logon over the network the
    /// workstation it came from (4624, 4625).
    pub fn learn(&mut self, event: &Event) {
        match event.id {
            5156 => {
                if let Some(address) = local_end(event) {
                    self.vote(&event.computer, address);
                }
            }
            4624 | 4625 => {
                if let (Some(name), Some(address)) =
                    (event.get(Field::Workstation), event.address())
                {
                    self.vote(&short(name), address);
                }
            }
            _ => {}
        }
    }

    fn vote(&mut self, name: &str, address: IpAddr) {
        if !self.votes.contains_key(name) {
            if self.votes.len() >= NAMES_MAX || name.is_empty() {
                return;
            }
            self.votes.insert(name.to_owned(), BTreeMap::new());
        }
        let Some(votes) = self.votes.get_mut(name) else {
            return;
        };
        if votes.contains_key(&address) || votes.len() < ADDRESSES_MAX {
            *votes.entry(address).or_insert(0) += 1;
        }
    }

    /// The address that most events give a host; of several the lowest IPv4 address.
    pub fn address(&self, name: &str) -> Option<IpAddr> {
        let votes = self.votes.get(&short(name))?;
        votes
            .iter()
            .max_by_key(|(address, votes)| (**votes, std::cmp::Reverse(**address)))
            .map(|(address, _)| *address)
    }

    /// Every address of a host.
    pub fn addresses(&self, name: &str) -> impl Iterator<Item = IpAddr> {
        let votes = self.votes.get(&short(name));
        votes.into_iter().flat_map(|votes| votes.keys().copied())
    }

    /// Hosts with an address.
    pub fn len(&self) -> usize {
        self.votes.len()
    }

    /// Whether no host has one.
    pub fn is_empty(&self) -> bool {
        self.votes.is_empty()
    }
}

/// A name as events compare: small letters, without backslashes and domain.
fn short(name: &str) -> String {
    let name = name.trim_start_matches('\\');
    name.split('.').next().unwrap_or(name).to_lowercase()
}

/// Whether an address can stand for one host on a network.
pub(super) fn is_of_a_host(address: IpAddr) -> bool {
    !address.is_loopback()
        && !address.is_unspecified()
        && !address.is_multicast()
        && match address {
            IpAddr::V4(address) => !address.is_broadcast() && address.octets()[3] != 255,
            IpAddr::V6(_) => true,
        }
}

/// `%%14593`, or the word: whether the host that wrote an event 5156 began the connection.
pub(super) fn is_outbound(event: &Event) -> Option<bool> {
    match event.get(Field::Direction)? {
        "%%14593" | "Outbound" => Some(true),
        "%%14592" | "Inbound" => Some(false),
        _ => None,
    }
}

/// The two ends of the connection that an event 5156 is about, as it gives them: source, destination.
pub(super) fn ends(event: &Event) -> Option<[(IpAddr, u16); 2]> {
    let end = |address, port| {
        let address: IpAddr = event.get(address)?.parse().ok()?;
        let port = u16::try_from(event.number(port)?).ok()?;
        Some((address.to_canonical(), port))
    };
    Some([
        end(Field::SourceAddress, Field::SourcePort)?,
        end(Field::DestinationAddress, Field::DestinationPort)?,
    ])
}

/// The address of the host that wrote an event 5156: the source of what it began, the destination of what it accepted.
pub(super) fn local_end(event: &Event) -> Option<IpAddr> {
    let [source, destination] = ends(event)?;
    let (local, _) = if is_outbound(event)? {
        source
    } else {
        destination
    };
    is_of_a_host(local).then_some(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(computer: &str, direction: &str, source: &str, destination: &str) -> Event {
        let mut event = Event::new(None, 5156, computer, true);
        event.put(Field::Direction, direction);
        event.put(Field::SourceAddress, source);
        event.put(Field::SourcePort, "50000");
        event.put(Field::DestinationAddress, destination);
        event.put(Field::DestinationPort, "445");
        event
    }

    #[test]
    fn a_host_has_the_address_it_speaks_from() {
        let mut hosts = Hosts::default();
        hosts.learn(&connection("PC5.corp", "%%14593", "10.0.0.5", "10.0.0.1"));
        hosts.learn(&connection("dc.corp", "%%14592", "10.0.0.5", "10.0.0.1"));
        hosts.learn(&connection("dc.corp", "%%14592", "127.0.0.1", "127.0.0.1"));
        hosts.learn(&connection(
            "dc.corp",
            "%%14592",
            "10.0.0.1",
            "239.255.255.250",
        ));
        let address = |name| hosts.address(name).map(|address| address.to_string());
        assert_eq!(address("pc5").as_deref(), Some("10.0.0.5"));
        assert_eq!(address("\\\\DC").as_deref(), Some("10.0.0.1"));
        assert_eq!(address("pc6"), None);
        assert_eq!(hosts.len(), 2);
    }

    #[test]
    fn a_logon_names_its_workstation() {
        let mut hosts = Hosts::default();
        let mut logon = Event::new(None, 4624, "dc", true);
        logon.put(Field::Workstation, "KALI");
        logon.put(Field::Address, "10.0.0.66");
        hosts.learn(&logon);
        assert_eq!(hosts.addresses("kali").count(), 1);
    }
}
