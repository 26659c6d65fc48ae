//! Our kinds and severities in the words and numbers of Suricata's.

use crate::score::Severity;

/// The 53 bits of a flow's id that every JSON reader keeps exactly (RFC 8259 §6).
pub const fn flow_id(id: u64) -> u64 {
    id >> 11
}

/// A number for each kind that never changes, in the range for local rules (1000000 to 1999999): from a hash of its name
/// (FNV-1a), so that a new kind moves no other.
pub fn signature_id(kind: &str) -> u32 {
    let hash = kind.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    1_900_000 + hash % 99_991
}

/// The class that Suricata's classification.config has for it.
pub fn category(kind: &str) -> &'static str {
    match kind {
        "flood" | "amplification" => "Attempted Denial of Service",
        "port scan (vertical)" | "port scan (horizontal)" | "host sweep" | "service probing" => {
            "Detection of a Network Scan"
        }
        "password guessing" | "password spraying" => "Attempted User Privilege Gain",
        "lateral movement" => "Attempted Administrator Privilege Gain",
        "exfiltration" | "dns tunnel" => "Potential Corporate Privacy Violation",
        "beaconing" => "Malware Command and Control Activity Detected",
        "suspicious download" => "Potentially Bad Traffic",
        "industrial misuse" => "Generic Protocol Command Decode",
        _ => "Misc activity",
    }
}

/// Suricata's priority: 1 is gravest.
pub const fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::Critical | Severity::High => 1,
        Severity::Medium => 2,
        Severity::Low => 3,
        Severity::Info => 4,
    }
}

/// The words of `signature_severity` in Emerging Threats rules.
pub(super) const fn grade(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::High => "Major",
        Severity::Medium | Severity::Low => "Minor",
        Severity::Info => "Informational",
    }
}

pub(super) fn event_name(kind: &str) -> String {
    let letters = kind.chars().map(|letter| {
        if letter.is_alphanumeric() {
            letter
        } else {
            '_'
        }
    });
    let name: String = letters.collect();
    name.replace("__", "_").trim_matches('_').to_owned()
}
