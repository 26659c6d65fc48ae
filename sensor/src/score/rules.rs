//! Rules that tell which flows are attacks: ground truth, for measuring.

use std::net::IpAddr;

use sensor_ebpf::flow::TimeNs;
use serde::Deserialize;

use crate::time::Stamp;

/// A set of rules; a flow that any of them matches is an attack.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules(Vec<Rule>);

/// One rule, checked. What is left out matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rule {
    name: String,
    actor: Option<IpAddr>,
    victim: Option<IpAddr>,
    ports: Vec<u16>,
    start: TimeNs,
    end: Option<TimeNs>,
}

/// The file.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    attack: Vec<Raw>,
}

/// One rule as it is written. Other keys are notes for people.
#[derive(Deserialize)]
struct Raw {
    kind: Option<String>,
    actor: Option<String>,
    victim: Option<String>,
    #[serde(default)]
    ports: Vec<u16>,
    start: Option<String>,
    end: Option<String>,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// Originator and responder.
    pub hosts: [IpAddr; 2],
    /// Port of the responder.
    pub port: u16,
    /// First packet.
    pub start: TimeNs,
    /// Last packet.
    pub end: TimeNs,
}

/// Times in rules are those of programs, times of packets those of the wire: this much apart they still agree.
const TOLERANCE_NS: u64 = 1_000_000_000;

impl Rules {
    /// Reads rules from TOML.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document: Document =
            toml::from_str(text).map_err(|error| error.to_string().trim().replace('\n', " "))?;
        if document.attack.is_empty() {
            return Err("no [[attack]] in it".to_owned());
        }
        let rules = document.attack.into_iter().enumerate();
        rules
            .map(|(at, raw)| check(raw).map_err(|what| format!("attack {}: {what}", at + 1)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether a flow is an attack.
    pub fn matches(&self, talk: &Talk) -> bool {
        self.0.iter().any(|rule| rule.matches(talk))
    }

    /// Places of the rules that a flow matches, in the order of the file.
    pub fn which(&self, talk: &Talk) -> impl Iterator<Item = usize> {
        let rules = self.0.iter().enumerate();
        rules.filter_map(|(at, rule)| rule.matches(talk).then_some(at))
    }

    /// The attacks: what each is called, and when it began, if that is written.
    pub fn attacks(&self) -> impl Iterator<Item = (&str, Option<TimeNs>)> {
        self.0.iter().map(|rule| {
            let start = (rule.start > 0).then(|| rule.start + TOLERANCE_NS);
            (rule.name.as_str(), start)
        })
    }
}

impl Rule {
    fn matches(&self, talk: &Talk) -> bool {
        let [a, b] = talk.hosts;
        let is = |wanted: Option<IpAddr>, host| wanted.is_none_or(|wanted| wanted == host);
        let hosts =
            is(self.actor, a) && is(self.victim, b) || is(self.actor, b) && is(self.victim, a);
        hosts
            && (self.ports.is_empty() || self.ports.contains(&talk.port))
            && talk.end >= self.start
            && self.end.is_none_or(|end| talk.start <= end)
    }
}

fn check(raw: Raw) -> Result<Rule, String> {
    let host = |text: Option<String>| {
        text.map(|text| {
            text.parse::<IpAddr>()
                .map(|host| host.to_canonical())
                .map_err(|_| format!("`{text}` is no address"))
        })
        .transpose()
    };
    let time = |text: Option<String>| {
        text.map(|text| {
            Stamp::parse(&text).map(|stamp| stamp.0).ok_or_else(|| {
                format!("`{text}` is no time; write for example 2026-11-21T05:36:57Z")
            })
        })
        .transpose()
    };
    Ok(Rule {
        name: raw.kind.unwrap_or_else(|| "attack".to_owned()),
        actor: host(raw.actor)?,
        victim: host(raw.victim)?,
        ports: raw.ports,
        start: time(raw.start)?.unwrap_or(0).saturating_sub(TOLERANCE_NS),
        end: time(raw.end)?.map(|end| end.saturating_add(TOLERANCE_NS)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_match_in_either_role_and_within_their_time() {
        let rules = Rules::parse(
            "[[attack]]\nkind = \"scan\"\nactor = \"10.0.0.1\"\nvictim = \"10.0.0.2\"\nports = [22]\n\
             start = \"2026-11-21T05:00:00Z\"\nend = \"2026-11-21T05:01:00Z\"\n",
        )
        .unwrap();
        let start = Stamp::parse("2026-11-21T05:00:30Z").unwrap().0;
        let talk = Talk {
            hosts: ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()],
            port: 22,
            start,
            end: start + 1,
        };
        let [a, b] = talk.hosts;
        assert!(rules.matches(&talk));
        assert!(rules.matches(&Talk {
            hosts: [b, a],
            ..talk
        }));
        assert!(!rules.matches(&Talk {
            hosts: [a, a],
            ..talk
        }));
        assert!(!rules.matches(&Talk { port: 23, ..talk }));
        let late = start + 120_000_000_000;
        assert!(!rules.matches(&Talk {
            start: late,
            end: late,
            ..talk
        }));
        assert!(Rules::parse("").is_err());
        assert!(
            Rules::parse("[[attack]]\nactor = \"me\"\n")
                .unwrap_err()
                .contains("attack 1: `me`")
        );
    }
}
