//! What is told of lists and of what is on them.

use serde::{Deserialize, Serialize};

use super::Losses;

/// That an address or a name is on a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// What is on the list.
    pub subject: String,
    /// Name of the list.
    pub list: String,
    /// The entry that matched.
    pub entry: String,
    /// What the list says of it; may be empty.
    pub label: String,
    /// Who says so, where the list tells; may be empty.
    #[serde(default)]
    pub source: String,
    /// How sure they are, 0 to 100, where the list tells.
    pub confidence: Option<u8>,
}

impl Match {
    /// What is on the list, and what the list says of it: `203.0.113.7 by 203.0.113.0/24, botnet, says abuse.example, confidence 80`.
    pub fn words(&self) -> String {
        let mut words = self.subject.clone();
        if self.entry != self.subject {
            words.push_str(&format!(" by {}", self.entry));
        }
        if !self.label.is_empty() {
            words.push_str(&format!(", {}", self.label));
        }
        if !self.source.is_empty() {
            words.push_str(&format!(", says {}", self.source));
        }
        if let Some(confidence) = self.confidence {
            words.push_str(&format!(", confidence {confidence}"));
        }
        words
    }
}

/// What became of one list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListInfo {
    /// Its name.
    pub name: String,
    /// How it is written: plain, CSV, STIX or MISP.
    pub form: &'static str,
    /// Addresses and prefixes.
    pub prefixes: u64,
    /// Domains.
    pub domains: u64,
    /// JA3 and JA4 fingerprints, which nothing here sees: they are kept and match nothing.
    pub fingerprints: u64,
    /// Entries not used.
    pub losses: Losses,
    /// Entries that can never match, because all of their addresses are allowed.
    pub allowed: u64,
    /// Some of the entries that somebody should look at.
    pub quoted: Vec<String>,
}
