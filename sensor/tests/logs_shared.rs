//! Event logs of the shared data: every event that others count in them is read.

mod support;

use std::{collections::BTreeMap, path::Path};

use sensor::logs::{self, Context, Findings, Kind};

/// Events by id in a file.
fn count(path: &Path) -> (BTreeMap<u32, u64>, logs::Report) {
    let mut ids = BTreeMap::new();
    let report =
        logs::read(path, &mut |event| *ids.entry(event.id).or_default() += 1).expect("a log");
    (ids, report)
}

fn findings(path: &Path) -> Findings {
    let mut events = Vec::new();
    logs::read(path, &mut |event| events.push(event)).expect("a log");
    events.sort_by_key(|event| event.time);
    let (mut context, mut findings) = (Context::default(), Findings::default());
    for event in &events {
        let row = context.absorb(event);
        findings.absorb(event, &row);
    }
    findings
}

#[test]
fn every_event_that_others_count_is_read() {
    let Some(folder) = support::shared("windows-security-logs") else {
        return;
    };
    let mut table = csv::Reader::from_path(folder.join("EVENT_COUNTS.csv")).expect("counts");
    let mut files = 0;
    for record in table.records() {
        let record = record.expect("a row");
        let (ids, report) = count(&folder.join(&record[0]));
        let wanted: Vec<u64> = (2..7)
            .map(|at| record[at].parse().expect("a number"))
            .collect();
        let of = |id| ids.get(&id).copied().unwrap_or(0);
        let found = [report.events, report.security, of(4624), of(4625), of(4688)];
        assert_eq!(found.as_slice(), wanted.as_slice(), "{}", &record[0]);
        files += 1;
    }
    println!("{files} files");
    assert_eq!(files, 61);
}

#[test]
fn tables_and_damaged_files_give_what_is_in_them() {
    let Some(folder) = support::shared("windows-security-logs") else {
        return;
    };
    let (logons, report) = count(&folder.join("csv/host_logons.csv"));
    assert_eq!(report.losses.total(), 0);
    assert_eq!(logons.keys().copied().collect::<Vec<_>>(), [4624]);
    let (starts, _) = count(&folder.join("csv/processes_on_host.csv"));
    assert_eq!(starts.keys().copied().collect::<Vec<_>>(), [4688]);
    println!("{} logons, {} starts", logons[&4624], starts[&4688]);
    let damaged = folder.join("damaged/sample_with_a_bad_chunk_magic.evtx.gz");
    let (ids, report) = count(&damaged);
    println!("{ids:?} {}", report.losses);
    assert!(report.losses.total() > 0);
    assert!(report.events > 0);
}

#[test]
fn guessing_is_told_with_addresses_and_accounts_and_baselines_are_quiet() {
    let Some(folder) = support::shared("windows-security-logs") else {
        return;
    };
    let guessed =
        findings(&folder.join("attack/DeepBlueCLI/smb-password-guessing-security.evtx.gz"));
    let ranked = guessed.ranked();
    for finding in &ranked {
        println!("{}: {}", finding.kind, finding.sentence());
    }
    assert!(ranked.iter().any(|finding| {
        matches!(
            finding.kind,
            Kind::PasswordGuessing | Kind::PasswordSpraying
        ) && finding.events > 3_000
            && !finding.accounts.is_empty()
    }));
    for quiet in [
        "security.evtx.gz",
        "post-Security.evtx.gz",
        "Security_short_selected.evtx",
    ] {
        let found = findings(&folder.join("baseline").join(quiet));
        for finding in found.ranked() {
            println!("{quiet}: {}: {}", finding.kind, finding.sentence());
        }
        assert!(found.ranked().len() <= 1, "{quiet}");
    }
}
