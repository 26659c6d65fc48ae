//! Incidents as syslog messages (RFC 5424).

use std::fmt::Write as _;

use crate::{
    flow::ARP,
    score::Severity,
    sink::{
        alert::{Alert, Stage},
        escape,
        message::Message,
        outlet::Encode,
    },
    time::Stamp,
};

/// What every message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// 0 to 23 (RFC 5424 §6.2.1).
    pub facility: u8,
    /// Name of this machine.
    pub hostname: String,
    /// A longer message loses the end of its text (RFC 5426 §3.2: receivers take 2048 bytes, RFC 5425 §4.3.1: 8192).
    pub longest_bytes: usize,
    /// Less severe incidents are not sent.
    pub least: Severity,
}

/// Writes messages, without framing.
#[derive(Clone, Debug)]
pub struct Syslog(pub Format);

impl Encode for Syslog {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        if let Message::Alert(told) = message
            && told.stage != Stage::Progress
            && told.severity >= self.0.least
        {
            parcels.push(self.0.message(told));
        }
    }
}

impl Format {
    /// An incident.
    pub fn message(&self, told: &Alert) -> Vec<u8> {
        let priority = u32::from(self.facility) * 8 + level(told.severity);
        // Microseconds are as fine as the format goes (§6.2.3).
        let stamp = Stamp(told.last_ns).to_string();
        let mut text = format!(
            "<{priority}>1 {}Z {} anomaly-detect {} incident-{} ",
            &stamp[..26],
            self.hostname,
            std::process::id(),
            told.stage.name()
        );
        structured_data(&mut text, told);
        let mut sentence = escape::terminal(&told.sentence).replace('\n', " ");
        let room = self.longest_bytes.saturating_sub(text.len() + 4);
        if sentence.len() > room {
            let end = (0..=room).rev().find(|at| sentence.is_char_boundary(*at));
            sentence.truncate(end.unwrap_or(0));
        }
        text.push(' ');
        if !sentence.is_ascii() {
            // What is UTF-8 says so (§6.4).
            text.push('\u{feff}');
        }
        text.push_str(&sentence);
        text.into_bytes()
    }
}

/// The elements. 32473 is the number that RFC 5612 sets aside for who has none of his own.
fn structured_data(text: &mut String, told: &Alert) {
    text.push_str("[incident@32473");
    let mut put = |name: &str, value: &str| {
        let _ = write!(text, " {name}=\"");
        for letter in escape::terminal(value).chars().take(256) {
            match letter {
                // §6.3.3
                '"' | '\\' | ']' => text.extend(['\\', letter]),
                '\n' => text.push(' '),
                _ => text.push(letter),
            }
        }
        text.push('"');
    };
    put("id", &told.id);
    put("stage", told.stage.name());
    put("kind", &told.kind);
    put("severity", told.severity.name());
    put("host", &told.host);
    put("role", &told.role);
    put("count", &told.count.to_string());
    put("peers", &told.peers.distinct.to_string());
    put("ports", &told.ports.distinct.to_string());
    put("evidence", &format!("{:.2}", told.evidence));
    if let Some(p_value) = told.p_value {
        put("pValue", &format!("{p_value:.2e}"));
    }
    put("first", &Stamp(told.first_ns).to_string());
    put("last", &Stamp(told.last_ns).to_string());
    let techniques: Vec<_> = told.techniques.iter().map(|one| one.id.as_str()).collect();
    if !techniques.is_empty() {
        put("techniques", &techniques.join(","));
    }
    if let Some(flow) = &told.flow {
        put("src", &flow.src_ip.to_string());
        put("srcPort", &flow.src_port.to_string());
        put("dst", &flow.dst_ip.to_string());
        put("dstPort", &flow.dst_port.to_string());
        if flow.protocol == ARP {
            put("protocol", "arp");
        } else {
            put("protocol", &flow.protocol.to_string());
            put("communityId", &flow.community_id);
        }
    }
    text.push(']');
}

/// Numbers of §6.2.1: critical, error, warning, notice, informational.
const fn level(severity: Severity) -> u32 {
    match severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    }
}

/// The name of this machine, as far as it may stand in a header: printable ASCII, at most 255 (§6.2.4); `-` for none.
pub fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .or_else(|_| std::env::var("COMPUTERNAME"))
        .unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).collect();
    match name.get(..name.len().min(255)) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => "-".to_owned(),
    }
}
