//! What an anomaly is called.

use std::{fmt, net::IpAddr};

use crate::flow::key_address;

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

/// The host an incident is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Its address.
    pub address: IpAddr,
    /// Its side.
    pub role: Role,
}

impl Subject {
    /// The host's address as keys of flows hold it.
    pub const fn key_address(&self) -> [u8; 16] {
        key_address(self.address)
    }
}
