//! An alert in the words and the order in which a person wants them, whatever carries them.

use crate::{
    flow::ARP,
    score::{Severity, Stage, bytes, count},
    sink::alert::{Alert, Seen},
    time::{self, Stamp},
};

/// Longest title, characters; Slack takes 150 in a header.
const TITLE: usize = 140;
/// Longest sentence.
const SENTENCE: usize = 1000;
/// Longest value of a fact; Discord takes 1024.
const VALUE: usize = 300;
/// Peers, ports, techniques and reasons named.
const NAMED: usize = 3;

/// A label of ours with a value that may hold anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub label: &'static str,
    /// Its value: one line.
    pub value: String,
}

/// What a person is told. Every text is one line without control characters, and of bounded length; it is not
/// escaped for what carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Kind and host.
    pub title: String,
    /// How grave.
    pub severity: Severity,
    /// Whether it was told before, or is over.
    pub stage: Stage,
    /// What happened.
    pub sentence: String,
    /// Numbers and names, at most twelve.
    pub facts: Vec<Fact>,
    /// Why its most anomalous flow is anomalous.
    pub why: Vec<String>,
    /// Incident and model.
    pub footer: String,
}

impl From<&Alert> for Notice {
    fn from(alert: &Alert) -> Self {
        let reasons = alert.flow.iter().flat_map(|flow| &flow.reasons);
        let model = match alert.model.as_str() {
            "" => String::new(),
            model => format!(", model {}", line(model, 16)),
        };
        Self {
            title: clip(
                &format!("{}: {}", line(&alert.kind, 60), line(&alert.host, 80)),
                TITLE,
            ),
            severity: alert.severity,
            stage: alert.stage,
            sentence: line(&alert.sentence, SENTENCE),
            facts: facts(alert),
            why: reasons
                .take(NAMED)
                .map(|why| line(&why.words, VALUE))
                .collect(),
            footer: format!("anomaly-detect, incident {}{model}", line(&alert.id, 32)),
        }
    }
}

impl Notice {
    /// `Critical`, `Update, critical`, `Over, critical`.
    pub fn head(&self) -> String {
        let name = self.severity.name();
        match self.stage {
            Stage::New => name[..1].to_uppercase() + &name[1..],
            Stage::Grown | Stage::Progress | Stage::Untold => format!("Update, {name}"),
            Stage::Over => format!("Over, {name}"),
        }
    }

    /// `0xRRGGBB`: readable on dark and on light ground.
    pub const fn colour(&self) -> u32 {
        match (self.stage, self.severity) {
            (Stage::Over, _) => 0x2e_7d32,
            (_, Severity::Critical) => 0xc6_2828,
            (_, Severity::High) => 0xe6_5100,
            (_, Severity::Medium) => 0xf9_a825,
            (_, Severity::Low) => 0x15_65c0,
            (_, Severity::Info) => 0x60_7d8b,
        }
    }
}

fn facts(alert: &Alert) -> Vec<Fact> {
    let mut facts = Vec::with_capacity(12);
    let mut add = |label, value: String| {
        if !value.is_empty() {
            facts.push(Fact {
                label,
                value: line(&value, VALUE),
            });
        }
    };
    add(
        "Host",
        match alert.role.as_str() {
            "" | "host" => alert.host.clone(),
            role => format!("{} ({role})", alert.host),
        },
    );
    add("Seen", seen(alert));
    let of_flows = alert.source == crate::sink::alert::Source::Flows;
    if of_flows {
        add("Flows", flows(alert));
        add("Peers", things(&alert.peers));
        add("Ports", things(&alert.ports));
        let sent = bytes(alert.sent_bytes as f64);
        let fetched = bytes(alert.received_bytes as f64);
        let packets = count(alert.packets as f64);
        add(
            "Traffic",
            format!("{packets} packets, {sent} sent, {fetched} fetched"),
        );
    } else if alert.count > 0 {
        add("Events", count(alert.count as f64));
    }
    let techniques = alert.techniques.iter().take(NAMED);
    let techniques: Vec<_> = techniques
        .map(|of| format!("{} {}", of.id, of.name))
        .collect();
    add("ATT&CK", techniques.join("; "));
    let listed = alert.intel.iter().take(NAMED).map(|known| {
        let label = match known.label.as_str() {
            "" => String::new(),
            label => format!(" ({label})"),
        };
        format!("{} on {}{label}", known.subject, known.list)
    });
    add("Threat lists", listed.collect::<Vec<_>>().join("; "));
    if let Some(flow) = &alert.flow {
        let (from, to) = (flow.src_ip, flow.dst_ip);
        let value = match flow.protocol {
            6 | 17 => format!(
                "{from} port {} to {to} port {}, {}",
                flow.src_port, flow.dst_port, flow.community_id
            ),
            ARP => format!("{from} to {to}, ARP"),
            _ => format!("{from} to {to}, {}", flow.community_id),
        };
        add("Most anomalous flow", value);
    }
    if let Some(p_value) = alert.p_value {
        add("p-value", format!("{p_value:.1e}"));
    }
    if let Some(bundle) = &alert.bundle {
        add("Evidence", format!("evidence/{bundle}"));
    }
    if alert.coverage < 0.9995 {
        add(
            "Coverage",
            format!("{:.1} % of the packets were seen", alert.coverage * 100.0),
        );
    }
    facts
}

/// `2026-11-21 05:38:14 UTC, for 1 min 3 s`.
fn seen(alert: &Alert) -> String {
    let first = Stamp(alert.first_ns).short();
    let seconds = time::between(alert.first_ns, alert.last_ns);
    if seconds < 1.0 {
        return format!("{first} UTC");
    }
    format!("{first} UTC, for {}", time::words(seconds))
}

fn flows(alert: &Alert) -> String {
    let mut text = count(alert.count as f64);
    if alert.anomalous > 0 {
        text += &format!(", {} anomalous", count(alert.anomalous as f64));
    }
    if alert.failed > 0 {
        text += &format!(", {} failed", count(alert.failed as f64));
    }
    text
}

/// `3: 10.0.0.1, 10.0.0.2, 10.0.0.3`; `at least 4 096, most 10.0.0.1, ...`.
fn things(seen: &Seen) -> String {
    let named: Vec<_> = seen
        .top
        .iter()
        .take(NAMED)
        .map(|(name, _)| name.as_str())
        .collect();
    let named = named.join(", ");
    match seen.distinct {
        0 => String::new(),
        1 => named,
        distinct => {
            let least = if seen.exact { "" } else { "at least " };
            let among = if distinct > NAMED as u64 {
                ", most often "
            } else {
                ": "
            };
            let among = if named.is_empty() { "" } else { among };
            format!("{least}{}{among}{named}", count(distinct as f64))
        }
    }
}

/// A text from outside as one line of at most `longest` characters: line breaks and other controls, and characters
/// that turn the direction of writing or cannot be seen, become spaces or marks.
pub fn line(text: &str, longest: usize) -> String {
    let safe = |character: char| match character {
        '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        // Unicode, general categories Cc and Cf as far as they hide or turn text.
        hidden if hidden.is_control() => '\u{fffd}',
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
        other => other,
    };
    // A hostile text may be long: no more of it is read than can be shown.
    let head: String = text.chars().take(longest + 1).map(safe).collect();
    clip(head.trim(), longest)
}

/// At most so many characters, the last a mark where something was cut off.
pub fn clip(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some(_) => {
            let head: String = text.chars().take(longest.saturating_sub(1)).collect();
            head + "…"
        }
    }
}

#[cfg(test)]
pub(in crate::sink) mod tests {
    use super::*;
    use crate::sink::alert::example;

    /// An alert in which every field is set.
    pub(in crate::sink) fn alert() -> Alert {
        Alert {
            bundle: Some("3f9a1c2b4d5e6f70".to_owned()),
            ..example(0x3f9a_1c2b_4d5e_6f70)
        }
    }

    /// The same with a hostile text wherever the outside can put one.
    pub(in crate::sink) fn hostile(text: &str) -> Alert {
        let mut alert = alert();
        let own = || text.to_owned();
        (alert.host, alert.role, alert.kind) = (own(), own(), own());
        (alert.sentence, alert.model, alert.id) = (own(), own(), own());
        alert.bundle = Some(own());
        alert.intel = vec![crate::intel::Match {
            subject: own(),
            list: own(),
            entry: own(),
            label: own(),
            source: own(),
            confidence: None,
        }];
        alert.peers.top = vec![(own(), 1)];
        alert.ports.top = vec![(own(), 1), (own(), 1)];
        alert.techniques[0].name = own();
        if let Some(flow) = &mut alert.flow {
            flow.community_id = own();
            flow.reasons[0].words = own();
        }
        alert
    }

    #[test]
    fn an_alert_reads_well() {
        let notice = Notice::from(&alert());
        assert_eq!(notice.head(), "Critical");
        assert_eq!(notice.title, "port scan (vertical): 192.0.2.99");
        let facts: Vec<_> = notice
            .facts
            .iter()
            .map(|fact| format!("{}: {}", fact.label, fact.value))
            .collect();
        assert_eq!(
            facts,
            [
                "Host: 192.0.2.99 (actor)",
                "Seen: 2026-01-05 08:00:00 UTC, for 1 min 3 s",
                "Flows: 812, 600 anomalous, 790 failed",
                "Peers: 192.0.2.1",
                "Ports: 812, most often 22, 80, 443",
                "Traffic: 1634 packets, 0 B sent, 5.1 kB fetched",
                "ATT&CK: T1046 Network Service Discovery",
                "Most anomalous flow: 192.0.2.99 port 50000 to 192.0.2.1 port 22, 1:Rzxbay2Tce7oerZt5LxOW0FY//A=",
                "p-value: 1.2e-11",
                "Evidence: evidence/3f9a1c2b4d5e6f70",
            ]
        );
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(
            line(" a\r\nb\u{1b}[2J\u{202e}c\u{2028}d ", 80),
            "a  b\u{fffd}[2J\u{fffd}c d"
        );
        assert_eq!(line(&"ä".repeat(1000), 5), "ääää…");
        assert_eq!(line("12345", 5), "12345");
    }
}
