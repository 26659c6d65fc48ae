//! Everything that a report tells, whoever fills it: `run` from memory, `report` from what was kept. The JSON beside the page is this.

use sensor_ebpf::{flow::TimeNs, frame::Malformed, maps::Ledger};
use serde::{Deserialize, Serialize};

use crate::sink::alert::Alert;

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Program that wrote it.
    pub created_by: String,
    /// Where it comes from: `run` or `store`.
    pub source: String,
    /// What was looked at, for the title.
    pub inputs: Vec<String>,
    /// The result in one sentence.
    pub headline: String,
    /// The result in a few.
    pub summary: Vec<String>,
    /// What was not readable, or is missing; a line each.
    pub warnings: Vec<String>,
    /// First and last packet, nanoseconds since 1970.
    pub window_ns: Option<[TimeNs; 2]>,
    /// Packet time covered, seconds.
    pub seconds: f64,
    /// Flows that ended.
    pub flows: u64,
    /// Those that are anomalous.
    pub anomalous: u64,
    /// IP bytes of them.
    pub bytes: u64,
    /// Incidents, most evidence first.
    pub incidents: Vec<Alert>,
    /// Incidents with less evidence that are not listed.
    pub incidents_more: u64,
    /// Traffic in time.
    pub timeline: Timeline,
    /// Flows by score, in equal steps from 0 to 1.
    pub scores: Vec<u64>,
    /// Score from which a flow is anomalous; none where the model has none.
    pub threshold: Option<f64>,
    /// Protocols and services, most bytes first.
    pub services: Vec<Sum>,
    /// Hosts, most bytes first.
    pub talkers: Vec<Sum>,
    /// Conversations, most bytes first.
    pub pairs: Vec<Sum>,
    /// The most anomalous flows, rarest first.
    pub top: Vec<TopFlow>,
    /// Where the packets went.
    pub ledger: Vec<Entry>,
    /// Packets seen.
    pub packets: u64,
    /// Packets that are in no counter: 0, or a defect.
    pub unaccounted: i64,
    /// Share of the packets that are in a flow or known to be none.
    pub completeness: f64,
    /// Features that are missing, with the share of the flows: where some have them and some have not.
    pub missing: Vec<(String, f64)>,
    /// How flows and logs fit together; nothing where there are no logs.
    pub logs: Vec<String>,
    /// The model.
    pub model: ModelFacts,
}

/// Traffic in time, in slots of equal length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Where the first slot begins.
    pub start_ns: TimeNs,
    /// Length of a slot.
    pub slot_ns: u64,
    /// The slots.
    pub slots: Vec<Slot>,
}

/// What began in a slot of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Flows.
    pub flows: u64,
    /// Anomalous ones.
    pub anomalous: u64,
    /// IP bytes.
    pub bytes: u64,
}

/// Sums under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// A host, a service, a conversation.
    pub name: String,
    /// Flows.
    pub flows: u64,
    /// Anomalous ones.
    pub anomalous: u64,
    /// IP bytes that it sent, or its originators.
    pub sent: u64,
    /// IP bytes that it got, or its responders sent.
    pub received: u64,
}

impl Sum {
    /// Both ways.
    pub const fn bytes(&self) -> u64 {
        self.sent.saturating_add(self.received)
    }
}

/// A flow that stands out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TopFlow {
    /// Its id: 16 hexadecimal digits.
    pub id: String,
    /// Community ID.
    pub community_id: String,
    /// Cells for people: severity, p-value, start, duration, source, destination, service, packets, sent, fetched, state.
    pub cells: Vec<String>,
    /// Why, heaviest first.
    pub reasons: Vec<String>,
}

/// A row of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What became of the packets.
    pub name: String,
    /// How many.
    pub packets: u64,
    /// Whether they were lost: in no flow, though they could be.
    pub is_loss: bool,
}

/// What is known of the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// First digits of its digest.
    pub digest: String,
    /// What it learned from, in a sentence.
    pub learned: String,
    /// Further facts: name and value.
    pub facts: Vec<(String, String)>,
}

/// Rows of a ledger, those with packets and those that are always told.
pub fn ledger_rows(ledger: &Ledger) -> Vec<Entry> {
    let row = |name: &str, packets: u64, is_loss: bool| Entry {
        name: name.to_owned(),
        packets,
        is_loss,
    };
    let mut rows = vec![
        row("counted in a flow", ledger.counted, false),
        row(
            "in no flow: too many flows at once",
            ledger.overflow(),
            true,
        ),
        row("left out by sampling", ledger.sampled_out, true),
        row("neither IP nor ARP", ledger.not_ip, false),
    ];
    for reason in Malformed::ALL {
        let packets = ledger.malformed[reason as usize];
        if packets > 0 {
            let name = format!("malformed: {}", reason.name().replace('_', " "));
            rows.push(row(&name, packets, false));
        }
    }
    for (name, packets, is_loss) in [
        ("lost at a socket", ledger.handed_over, true),
        ("counted at another hook", ledger.counted_before, false),
        ("own probes", ledger.probe, false),
    ] {
        if packets > 0 {
            rows.push(row(name, packets, is_loss));
        }
    }
    rows
}
