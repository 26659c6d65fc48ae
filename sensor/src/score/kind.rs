//! What an anomaly is called.

use std::{fmt, net::IpAddr};

use crate::flow::{ip_address, key_address, network};

/// What happened. Strongest first: a flow that fits two is called by the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Far more flows than a host can want.
    Flood,
    /// Answers nobody asked for, from many hosts: somebody asked in the victim's name.
    Amplification,
    /// One source tries many ports of few hosts.
    PortScanVertical,
    /// One source tries few ports of many hosts.
    PortScanHorizontal,
    /// One source asks many hosts whether they are there.
    HostSweep,
    /// Connections that are made and thrown away without a word: is somebody listening?
    ServiceProbing,
    /// One source logs in again and again.
    PasswordGuessing,
    /// One source logs in at many hosts, a few times each.
    PasswordSpraying,
    /// One inside host at the remote-control services of others that hardly anybody uses here.
    LateralMovement,
    /// An industrial controller asked by somebody new, or far more than usual.
    IndustrialMisuse,
    /// Much sent out, little fetched.
    Exfiltration,
    /// Name look-ups long and many enough to carry something else.
    DnsTunnel,
    /// Much fetched at first contact from a service that is rare here.
    Download,
    /// Back again like clockwork.
    Beaconing,
    /// Anomalous, and none of the above.
    UnusualFlow,
}

impl Kind {
    /// All of them, strongest first.
    pub const ALL: [Self; 15] = [
        Self::Flood,
        Self::Amplification,
        Self::PortScanVertical,
        Self::PortScanHorizontal,
        Self::HostSweep,
        Self::ServiceProbing,
        Self::PasswordGuessing,
        Self::PasswordSpraying,
        Self::LateralMovement,
        Self::IndustrialMisuse,
        Self::Exfiltration,
        Self::DnsTunnel,
        Self::Download,
        Self::Beaconing,
        Self::UnusualFlow,
    ];

    /// Whether it is merely worth a look: programs of an ordinary network also come back like a clock and fetch much. The
    /// others nobody does by accident.
    pub const fn is_mild(self) -> bool {
        matches!(self, Self::UnusualFlow | Self::Beaconing | Self::Download)
    }

    /// Name for people, files and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::Amplification => "amplification",
            Self::PortScanVertical => "port scan (vertical)",
            Self::PortScanHorizontal => "port scan (horizontal)",
            Self::HostSweep => "host sweep",
            Self::ServiceProbing => "service probing",
            Self::PasswordGuessing => "password guessing",
            Self::PasswordSpraying => "password spraying",
            Self::LateralMovement => "lateral movement",
            Self::IndustrialMisuse => "industrial misuse",
            Self::Exfiltration => "exfiltration",
            Self::DnsTunnel => "dns tunnel",
            Self::Download => "suspicious download",
            Self::Beaconing => "beaconing",
            Self::UnusualFlow => "unusual flow",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which side of it the host of an incident is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It did it.
    Actor,
    /// It was done to it: sources of a flood are many, and often forged.
    Victim,
}

impl Role {
    /// Name for files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Victim => "victim",
        }
    }
}

/// Whether an incident is about one host or about the network it is in. A network comes first: what is part of it is not told of its hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// All of a network: /24 of IPv4, /64 of IPv6, what a pressed flow table sums by too.
    Network,
    /// One host.
    Host,
}

/// Whom an incident is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// A host, or its network.
    pub extent: Extent,
    /// The host's address, or the network's first.
    pub address: IpAddr,
    /// Its side.
    pub role: Role,
}

impl Subject {
    /// One host.
    pub const fn host(address: IpAddr, role: Role) -> Self {
        Self {
            extent: Extent::Host,
            address,
            role,
        }
    }

    /// The network that a host is in.
    pub fn network(address: IpAddr, role: Role) -> Self {
        Self {
            extent: Extent::Network,
            address: ip_address(&network(&key_address(address))),
            role,
        }
    }

    /// Whether it is about a network.
    pub const fn is_network(&self) -> bool {
        matches!(self.extent, Extent::Network)
    }

    /// The address as keys of flows hold it.
    pub const fn key_address(&self) -> [u8; 16] {
        key_address(self.address)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.extent, self.address) {
            (Extent::Host, address) => write!(f, "{address}"),
            (Extent::Network, IpAddr::V4(address)) => write!(f, "{address}/24"),
            (Extent::Network, IpAddr::V6(address)) => write!(f, "{address}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_named_by_its_prefix_and_comes_before_its_hosts() {
        for (host, prefix) in [
            ("10.1.2.77", "10.1.2.0/24"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ] {
            let address = host.parse().expect("an address");
            let network = Subject::network(address, Role::Victim);
            assert_eq!(network.to_string(), prefix);
            assert_eq!(Subject::network(network.address, Role::Victim), network);
            let host = Subject::host(address, Role::Victim);
            assert!(network < host && host.to_string() == address.to_string());
        }
    }
}
