//! Flow records against Zeek's connection log of the same traffic: who began, packets and IP bytes each way, state
//! and history.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::Path,
};

use sensor::{
    capture::{Capture, Epoch, Progress, replay},
    flow::{FlowEndReason, FlowRecord, Settings, Table},
};

/// What Zeek says of one connection.
struct Connection {
    /// Packets and IP bytes of the originator, then of the responder.
    counts: [u64; 4],
    state: String,
    history: String,
}

/// Originator and responder with their ports, in text.
type Endpoints = [String; 4];

fn zeek(path: &Path) -> BTreeMap<Endpoints, Vec<Connection>> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(File::open(path).expect("opens"))
        .read_to_string(&mut text)
        .expect("text");
    let mut connections: BTreeMap<Endpoints, Vec<Connection>> = BTreeMap::new();
    // The capture holds the command-and-control part only.
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains("C&C"))
    {
        let field: Vec<&str> = line.split('\t').collect();
        let number = |at: usize| field[at].parse().expect("a number");
        connections
            .entry([2, 3, 4, 5].map(|at| field[at].to_owned()))
            .or_default()
            .push(Connection {
                counts: [16, 17, 18, 19].map(number),
                state: field[11].to_owned(),
                history: field[15].to_owned(),
            });
    }
    connections
}

fn ours(path: &Path) -> Vec<FlowRecord> {
    let mut replay =
        replay::Replay::open(&[path.to_path_buf()], replay::Settings::default()).expect("opens");
    let mut table = Table::new(Settings {
        checkpoints: false,
        ..Settings::no_expiry()
    });
    let (mut epoch, mut changes, mut due) = (Epoch::default(), Vec::new(), Vec::new());
    while replay.next_epoch(&mut epoch).expect("reads") == Progress::Epoch {
        table.merge(&epoch, &mut changes, &mut due);
    }
    table.flush(FlowEndReason::ForcedEnd, &mut due);
    due
}

/// The letters that both know, without their order.
fn letters(history: &str) -> BTreeSet<char> {
    history
        .chars()
        .filter(|letter| "SHADFR".contains(letter.to_ascii_uppercase()))
        .collect()
}

#[test]
fn records_are_those_of_zeek() {
    let Some(folder) = support::shared("iot23-34-1-mirai") else {
        return;
    };
    let connections = zeek(&folder.join("conn.log.labeled.gz"));
    let records = ours(&folder.join("irc.pcap"));
    assert_eq!((connections.len(), records.len()), (4055, 4055));
    let mut single = 0;
    for record in &records {
        let endpoints = [
            record.source().to_string(),
            record.source_port().to_string(),
            record.destination().to_string(),
            record.destination_port().to_string(),
        ];
        let of_zeek = connections
            .get(&endpoints)
            .unwrap_or_else(|| panic!("Zeek has no {endpoints:?}"));
        let (orig, resp) = (record.orig(), record.resp());
        let counts = [orig.packets, orig.ip_bytes, resp.packets, resp.ip_bytes];
        let sums: [u64; 4] =
            std::array::from_fn(|at| of_zeek.iter().map(|one| one.counts[at]).sum());
        assert_eq!(counts, sums, "{endpoints:?}");
        // Zeek cuts at its own timeouts; the states of what it did not cut can be compared.
        if let [one] = &of_zeek[..] {
            single += 1;
            assert_eq!(record.conn_state().name(), one.state, "{endpoints:?}");
            assert_eq!(
                letters(&record.history()),
                letters(&one.history),
                "{endpoints:?} {}",
                one.history
            );
        }
    }
    assert_eq!(single, 1404);
}
