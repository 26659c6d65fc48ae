//! What nobody is to be told of: incidents of a host, a prefix or a kind that a person does not want to hear of, all of them
//! while maintenance goes on, and those that somebody already deals with.
//!
//! Time is packet time. An incident is muted while its *last* packet falls into the time of a mute: what goes on when a
//! maintenance window closes is told then, and what ended inside of it never is.

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use sensor_ebpf::flow::TimeNs;

use super::Severity;
use crate::{flow::key_address, time::Weekly};

/// Which hosts are meant: one address or name, or all addresses of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostMatch {
    /// A name, as logs give it, in small letters.
    Name(String),
    /// Addresses from the first to the last, as keys of flows hold them: one where both are the same.
    Range {
        /// First.
        low: [u8; 16],
        /// Last.
        high: [u8; 16],
    },
}

impl HostMatch {
    /// Reads `10.0.0.5`, `10.0.0.0/8`, `2001:db8::/32` or a host's name.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            // A typing error in an address is no name.
            let numeric = |byte| byte == b'.' || u8::is_ascii_digit(&byte);
            let is_odd = |letter: char| {
                letter.is_whitespace() || letter.is_control() || matches!(letter, '/' | ':')
            };
            let is_name = (1..=253).contains(&text.len())
                && !text.contains(is_odd)
                && !text.bytes().all(numeric);
            return if is_name {
                Ok(Self::Name(text.to_lowercase()))
            } else {
                Err(format!(
                    "`{text}` is no host; write an address, a prefix such as 10.0.0.0/8, or a name"
                ))
            };
        };
        let low = key_address(address.to_canonical());
        let Some(length) = length else {
            return Ok(Self::Range { low, high: low });
        };
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits: u32 = length
            .parse()
            .ok()
            .filter(|bits| *bits <= width)
            .ok_or_else(|| {
                format!("`{text}`: the length of a prefix is a number from 0 to {width}")
            })?;
        let free = width - bits;
        let ones = 1_u128.checked_shl(free).map_or(u128::MAX, |bit| bit - 1);
        let first = u128::from_be_bytes(low);
        if first & ones != 0 {
            let network = (first & !ones).to_be_bytes();
            return Err(format!(
                "`{text}` has bits beyond its prefix; write {}/{bits}",
                crate::flow::ip_address(&network)
            ));
        }
        Ok(Self::Range {
            low,
            high: (first | ones).to_be_bytes(),
        })
    }

    /// Whether the host of an incident, as it is named, is meant; of a network, all of it.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => host.to_lowercase() == *name,
            Self::Range { low, high } => match Self::parse(host) {
                Ok(Self::Range {
                    low: first,
                    high: last,
                }) => *low <= first && last <= *high,
                _ => false,
            },
        }
    }

    /// The first address meant, where addresses are.
    pub const fn first(&self) -> Option<&[u8; 16]> {
        match self {
            Self::Name(_) => None,
            Self::Range { low, .. } => Some(low),
        }
    }
}

impl fmt::Display for HostMatch {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Range { low, high } => {
                let [first, last] = [low, high].map(|bytes| u128::from_be_bytes(*bytes));
                let address = crate::flow::ip_address(low);
                let free = (first ^ last).count_ones();
                match (free, address) {
                    (0, _) => write!(f, "{address}"),
                    (_, IpAddr::V4(_)) => write!(f, "{address}/{}", 32 - free.min(32)),
                    (_, IpAddr::V6(_)) => write!(f, "{address}/{}", 128 - free),
                }
            }
        }
    }
}

/// One thing that nobody is to be told of. What is left out matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mute {
    /// Its number among the suppressions of the store; 0 for a window of the configuration.
    pub id: i64,
    /// Whose incidents.
    pub host: Option<HostMatch>,
    /// Name of their kind.
    pub kind: Option<String>,
    /// From this moment.
    pub from: TimeNs,
    /// Until before this one.
    pub until: Option<TimeNs>,
    /// Only in these hours.
    pub weekly: Option<Weekly>,
}

impl Mute {
    /// Whether an incident of this host and kind whose last packet came at this moment is meant.
    pub fn covers(&self, host: &str, kind: &str, last: TimeNs) -> bool {
        last >= self.from
            && self.until.is_none_or(|until| last < until)
            && self.weekly.is_none_or(|weekly| weekly.covers(last))
            && self.kind.as_ref().is_none_or(|wanted| wanted == kind)
            && self.host.as_ref().is_none_or(|wanted| wanted.matches(host))
    }
}

/// Everything that nobody is to be told of, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mutes {
    /// In the order of their numbers.
    pub mutes: Vec<Mute>,
    /// Incidents that somebody has acknowledged or closed, by id, with how grave they were then.
    pub handled: BTreeMap<String, Severity>,
}

impl Mutes {
    /// The mute that covers an incident, if any does: the one of the lowest number.
    pub fn of(&self, host: &str, kind: &str, last: TimeNs) -> Option<&Mute> {
        let mut covering = self.mutes.iter();
        covering.find(|mute| mute.covers(host, kind, last))
    }

    /// Whether somebody deals with this incident already: it is worth telling again only where it became graver.
    pub fn is_handled(&self, id: &str, severity: Severity) -> bool {
        self.handled.get(id).is_some_and(|then| severity <= *then)
    }
}

/// The mutes in force, where one thread learns of them and another asks.
#[derive(Clone, Debug, Default)]
pub struct MuteBoard(Arc<RwLock<Arc<Mutes>>>);

impl MuteBoard {
    /// What is in force now.
    pub fn get(&self) -> Arc<Mutes> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in force.
    pub fn set(&self, mutes: Mutes) {
        let mutes = Arc::new(mutes);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = mutes;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_read_as_they_are_written_and_mean_what_they_say() {
        for (text, inside, outside) in [
            ("10.0.0.5", "10.0.0.5", "10.0.0.6"),
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.200", "192.0.2.127"),
            // A network that something happened to is meant where all of it is.
            ("10.0.0.0/8", "10.9.8.0/24", "0.0.0.0/0"),
            ("10.9.8.0/24", "10.9.8.0/24", "10.9.8.0/23"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("0.0.0.0/0", "198.51.100.7", "2001:db8::1"),
            ("dc01.example.org", "DC01.example.org", "dc02.example.org"),
        ] {
            let parsed = HostMatch::parse(text).expect(text);
            assert_eq!(parsed.to_string(), text);
            assert!(parsed.matches(inside), "{text} {inside}");
            assert!(!parsed.matches(outside), "{text} {outside}");
        }
        let everything = HostMatch::parse("::/0").expect("a prefix");
        assert!(everything.matches("10.0.0.1") && everything.matches("2001:db8::1"));
        for (wrong, why) in [
            ("10.0.0.5/8", "write 10.0.0.0/8"),
            ("10.0.0.0/33", "0 to 32"),
            ("10.0.0.300", "no host"),
            ("10.0.0", "no host"),
            ("fe80::zz", "no host"),
            ("", "no host"),
            ("two words", "no host"),
            ("name/8", "no host"),
        ] {
            let said = HostMatch::parse(wrong).expect_err(wrong);
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }

    proptest! {
        /// A prefix holds an address exactly where their first bits agree.
        #[test]
        fn prefixes_hold_what_agrees(first: u32, other: u32, bits in 0_u32..=32) {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let network = std::net::Ipv4Addr::from(first & mask);
            let prefix = HostMatch::parse(&format!("{network}/{bits}")).expect("a prefix");
            let host = std::net::Ipv4Addr::from(other).to_string();
            prop_assert_eq!(prefix.matches(&host), first & mask == other & mask);
        }
    }
}
