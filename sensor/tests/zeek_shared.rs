//! Every Zeek log of the shared data: as many records as its README counts, and what was lost by name.

mod support;

use std::{collections::BTreeMap, fs, path::Path};

use sensor::zeek::{Conn, ConnLog, Loss, Losses};

fn read(path: &Path) -> (Vec<Conn>, Losses, u64) {
    let mut log = ConnLog::open(path).expect("shared files can be read");
    let mut conns = Vec::new();
    while let Some(conn) = log.next_conn().expect("shared files can be read on") {
        conns.push(conn);
    }
    (conns, *log.losses(), log.lines_of_records())
}

/// `| file | bytes | packets | flows | records | ...` of a README.
fn records_in(readme: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(readme).expect("the folder has a README");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let records = cells[5].parse().ok()?;
        Some((cells[1].trim_matches('`').to_owned(), records))
    })
    .collect()
}

#[test]
fn every_record_is_read_or_named() {
    let mut files = 0;
    for folder in ["zeek-conn-logs", "scans-bruteforce", "iot23-34-1-mirai"] {
        let Some(folder) = support::shared(folder) else {
            return;
        };
        for (name, records) in records_in(&folder.join("README.md")) {
            let (conns, losses, lines) = read(&folder.join(&name));
            let cut = u64::from(name.contains("truncated"));
            assert_eq!(lines, records, "{name}");
            assert_eq!(conns.len() as u64 + losses.lines(), records, "{name}");
            assert_eq!(losses.lines(), cut, "{name}: {losses}");
            assert_eq!(losses.count(Loss::CutShort), cut, "{name}: {losses}");
            files += 1;
        }
    }
    assert_eq!(files, 19, "16 logs, two scans, one of an infected device");
}

#[test]
fn labels_are_those_of_the_readme() {
    let Some(folder) = support::shared("zeek-conn-logs") else {
        return;
    };
    let Some(mirai) = support::shared("iot23-34-1-mirai") else {
        return;
    };
    let cases: [(_, &[(&str, usize)]); 6] = [
        (
            folder.join("ctu-botnet-230-1-njrat.conn.log.labeled"),
            &[("Background", 739), ("Malicious", 244), ("Benign", 9)],
        ),
        (
            folder.join("ctu50-normal-40-day1.conn.log.labeled"),
            &[("Malicious", 4201), ("Benign", 1402), ("Background", 60)],
        ),
        (
            folder.join("ctu50-normal-43-day1.conn.log.labeled.gz"),
            &[("Benign", 4771), ("Malicious", 3951), ("Background", 326)],
        ),
        (
            folder.join("benign-2023-02-20.conn.log.labeled.gz"),
            &[("Benign", 6796), ("Unknown", 328)],
        ),
        (
            folder.join("ctu-sme-11-win7-remcos.conn.log.labeled"),
            &[("Malicious", 719), ("Benign", 44), ("Unknown", 3)],
        ),
        (
            mirai.join("conn.log.labeled.gz"),
            &[("Malicious", 21_222), ("Benign", 1923)],
        ),
    ];
    for (path, expected) in cases {
        let (conns, _, _) = read(&path);
        for (label, count) in expected {
            let found = conns
                .iter()
                .filter(|conn| conn.label.as_deref() == Some(label))
                .count();
            assert_eq!(found, *count, "{}: {label}", path.display());
        }
    }
}

#[test]
fn an_impossible_port_costs_the_port_and_not_the_row() {
    let Some(folder) = support::shared("zeek-conn-logs") else {
        return;
    };
    let (conns, losses, _) = read(&folder.join("odd/rita-truncated.conn.json.log"));
    assert_eq!(conns[2].source_port, None);
    assert_eq!(conns[2].destination_port, Some(2798));
    assert_eq!(losses.unreadable_values, 1);
}
