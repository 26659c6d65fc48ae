//! conn.log of a live sensor: rotated, left behind, and read by our own reader and by zat.

use std::{fs, path::Path};

use sensor::{
    sink::{
        conn_log::{Lines, Log},
        message::EndedFlow,
        outlet::{Deliver, Encode},
    },
    zeek::ConnLog,
};

use crate::{config, messages, names, python, told};

/// Reads with zat, which converts by the types of the header, and prints what makes a connection.
const READ: &str = r#"
import sys, datetime
from zat.zeek_log_reader import ZeekLogReader
for path in sys.argv[1:]:
    for row in ZeekLogReader(path).readrows():
        assert isinstance(row["ts"], datetime.datetime) and isinstance(row["orig_pkts"], int)
        assert row["duration"] == "-" or isinstance(row["duration"], datetime.timedelta), row
        print("zat", row["uid"], row["id.orig_h"], row["id.resp_h"], row["id.resp_p"], row["conn_state"],
              row["orig_pkts"], row["orig_ip_bytes"], row["resp_pkts"], row["resp_ip_bytes"])
"#;

fn wanted(flow: &EndedFlow) -> String {
    let record = &flow.record;
    format!(
        "C{:016x} {} {} {} {} {} {} {} {}",
        record.id,
        record.source(),
        record.destination(),
        record.destination_port(),
        record.conn_state(),
        record.orig().packets,
        record.orig().ip_bytes,
        record.resp().packets,
        record.resp().ip_bytes,
    )
}

#[test]
fn logs_are_rotated_and_read_by_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("zeek");
    let config = config(&[
        ("conn_log.folder", &place.to_string_lossy()),
        ("conn_log.every", "1ns"),
    ]);
    let (mut flows, _) = told();
    let mut parcels = Vec::new();
    for message in messages(&flows) {
        Lines.encode(&message, &mut parcels);
    }
    // As Zeek's has none of them.
    let all = flows.len();
    flows.retain(|flow| !flow.record.key.is_arp());
    assert!(flows.len() < all, "the demo has ARP");
    let mut batches = parcels.chunks(parcels.len().div_ceil(4));
    let mut log = Log::new(place.clone(), &config.conn_log);
    let mut next = || batches.next().expect("four of them");
    for batch in [next(), next()] {
        assert_eq!(log.deliver(batch), (batch.len(), Ok(())));
    }
    // Killed in the midst of a line.
    drop(log);
    let growing = place.join("conn.log");
    let mut text = fs::read(&growing).expect("a log");
    text.extend(b"1234.5\tCut\t10.0.0");
    fs::write(&growing, text).expect("a log");
    let mut log = Log::new(place.clone(), &config.conn_log);
    for batch in [next(), next()] {
        assert_eq!(log.deliver(batch), (batch.len(), Ok(())));
    }
    log.finish();
    assert!(!growing.exists(), "put aside at the end");
    let logs = names(&place, ".log");
    assert_eq!(logs.len(), 4, "{logs:?}");
    for log in &logs {
        let text = fs::read_to_string(log).expect("a log");
        assert!(text.starts_with("#separator \\x09\n") && text.contains("\n#open\t20"));
        let last = text.lines().next_back().expect("a line");
        assert!(last.starts_with("#close\t20"), "{last}");
    }
    let mut ours = Vec::new();
    for path in &logs {
        let mut log = ConnLog::open(path).expect("a log");
        while let Some(conn) = log.next_conn().expect("a log") {
            ours.push(conn);
        }
        assert_eq!(log.losses().lines(), 0, "{}", path.display());
    }
    let mut told: Vec<String> = ours
        .iter()
        .map(|conn| {
            format!(
                "{} {} {} {}",
                conn.uid,
                conn.source,
                conn.destination,
                conn.orig.packets.unwrap_or_default()
            )
        })
        .collect();
    let mut records: Vec<String> = flows
        .iter()
        .map(|flow| {
            let record = &flow.record;
            let packets = record.orig().packets;
            let (source, destination) = (record.source(), record.destination());
            format!("C{:016x} {source} {destination} {packets}", record.id)
        })
        .collect();
    told.sort_unstable();
    records.sort_unstable();
    assert_eq!(told, records, "our own reader");
    let Some(python) = python::with(&["zat"]) else {
        return;
    };
    let paths: Vec<&Path> = logs.iter().map(AsRef::as_ref).collect();
    let text = python::run(&python, READ, &paths);
    let mut told: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("zat "))
        .collect();
    let mut all: Vec<String> = flows.iter().map(wanted).collect();
    told.sort_unstable();
    all.sort_unstable();
    assert_eq!(told, all, "zat");
    println!(
        "zat and our own reader: {} connections in {} logs",
        told.len(),
        logs.len()
    );
}
