//! Context and features over whole runs: what comes out depends on the packets and on nothing else.

#[path = "../support/mod.rs"]
mod support;
mod windows;

use std::path::PathBuf;

use sensor::{
    capture::{Capture, Epoch, Progress, replay},
    context::{self, Context},
    features::{self, Row},
    flow::{FlowEndReason, FlowRecord, Settings, Table},
};
/// The stages behind the capture, as the pipeline strings them together.
struct Stages {
    table: Table,
    context: Context,
    rows: Vec<(FlowRecord, Row)>,
}

impl Stages {
    fn new(settings: &context::Settings) -> Self {
        Self {
            table: Table::new(Settings::default()),
            context: Context::new(settings),
            rows: Vec::new(),
        }
    }

    fn epoch(&mut self, epoch: &Epoch) {
        let (mut changes, mut due) = (Vec::new(), Vec::new());
        while let Some(boundary) = self.table.advance(epoch.index, &mut due) {
            self.context.advance(boundary);
            self.rows(&mut due);
        }
        self.table.merge(epoch, &mut changes, &mut due);
        self.context.absorb(epoch, &changes);
        self.rows(&mut due);
    }

    fn finish(mut self) -> Vec<(FlowRecord, Row)> {
        let mut due = Vec::new();
        self.table.flush(FlowEndReason::ForcedEnd, &mut due);
        self.rows(&mut due);
        self.rows
    }

    fn rows(&mut self, due: &mut Vec<FlowRecord>) {
        for record in due.drain(..) {
            let row = features::extract(&record, &self.context.view(&record));
            self.rows.push((record, row));
        }
    }
}

fn assert_same(one: &[(FlowRecord, Row)], other: &[(FlowRecord, Row)]) {
    assert_eq!(one.len(), other.len());
    for ((record, row), (other_record, other_row)) in one.iter().zip(other) {
        assert_eq!(record, other_record);
        for (feature, (value, other)) in features::TABLE.iter().zip(row.iter().zip(other_row)) {
            assert_eq!(
                value.to_bits(),
                other.to_bits(),
                "{} of {record:?}",
                feature.name
            );
        }
    }
}

fn epochs_of(path: PathBuf) -> Vec<Epoch> {
    let mut replay = replay::Replay::open(&[path], replay::Settings::default()).expect("opens");
    let mut epochs = Vec::new();
    let mut epoch = Epoch::default();
    while replay.next_epoch(&mut epoch).expect("reads") == Progress::Epoch {
        epochs.push(epoch.clone());
    }
    epochs
}

#[test]
fn two_replays_and_any_order_of_deltas_give_the_same_bits() {
    let captures = [
        support::shared("iot23-34-1-mirai").map(|folder| folder.join("irc.pcap")),
        support::shared("c2-caldera").map(|folder| folder.join("sandcat.pcap")),
        support::shared("ddos").map(|folder| folder.join("pkt.TCP.synflood.spoofed.pcap")),
    ];
    for path in captures.into_iter().flatten() {
        let epochs = epochs_of(path.clone());
        let run = |order: fn(&mut Epoch)| {
            // Small, so that hosts are forgotten and what is forgotten shows.
            let settings = context::Settings {
                hosts: 64,
                conversations: 64,
            };
            let mut stages = Stages::new(&settings);
            for epoch in &epochs {
                let mut epoch = epoch.clone();
                order(&mut epoch);
                stages.epoch(&epoch);
            }
            stages.finish()
        };
        let rows = run(|_| {});
        assert!(rows.len() > 20, "{} rows of {}", rows.len(), path.display());
        assert_same(&rows, &run(|_| {}));
        assert_same(&rows, &run(|epoch| epoch.flows.reverse()));
    }
}

/// Every file below a folder of the shared data.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut folders: Vec<_> = support::shared(folder).into_iter().collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn no_capture_upsets_the_stages() {
    let mut captures = 0;
    for path in [
        "malformed-captures",
        "flow-counter-oracle",
        "scans-bruteforce",
        "ddos",
    ]
    .into_iter()
    .flat_map(files)
    {
        let Ok(mut replay) =
            replay::Replay::open(std::slice::from_ref(&path), replay::Settings::default())
        else {
            continue;
        };
        captures += 1;
        let mut stages = Stages::new(&context::Settings {
            hosts: 64,
            conversations: 64,
        });
        let (mut epoch, mut counted) = (Epoch::default(), 0);
        while replay.next_epoch(&mut epoch).expect("reads") == Progress::Epoch {
            counted += epoch.ledger.counted;
            stages.epoch(&epoch);
        }
        let rows = stages.finish();
        let ended = rows.iter().filter(|(record, _)| record.is_final());
        assert_eq!(
            ended
                .map(|(record, _)| record.counters.packets())
                .sum::<u64>(),
            counted,
            "{}",
            path.display()
        );
        for (record, row) in &rows {
            for (feature, value) in features::TABLE.iter().zip(row) {
                assert!(
                    !value.is_infinite(),
                    "{} of {record:?} in {}",
                    feature.name,
                    path.display()
                );
            }
        }
    }
    println!("{captures} captures");
}
