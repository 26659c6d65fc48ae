//! Every capture of the shared data: as many packets as its manifest says, and twice the same epochs, to the byte.

mod support;

use std::{fs, path::PathBuf};

use sensor::capture::{
    Capture, Epoch, Progress,
    replay::{Replay, Settings},
};

fn replay(path: &PathBuf) -> Vec<Epoch> {
    let mut replay =
        Replay::open(std::slice::from_ref(path), Settings::default()).expect("a capture");
    let mut epochs = Vec::new();
    let mut epoch = Epoch::default();
    while replay.next_epoch(&mut epoch).expect("read") == Progress::Epoch {
        epochs.push(epoch.clone());
    }
    // Three of the Windows captures end in a stray byte, which is said and costs no packet.
    for loss in replay.report().losses {
        println!("{loss}");
    }
    epochs
}

/// The captures that the manifests give packet counts of.
fn captures(root: &PathBuf) -> Vec<(PathBuf, u64)> {
    let mut captures = Vec::new();
    for folder in fs::read_dir(root).expect("shared data") {
        let folder = folder.expect("folder").path();
        let Ok(mut manifest) = csv::Reader::from_path(folder.join("MANIFEST.csv")) else {
            continue;
        };
        let headers = manifest.headers().expect("header").clone();
        let column = |name| headers.iter().position(|header| header == name);
        let (file, packets) = (
            column("file").expect("file"),
            column("packets").expect("packets"),
        );
        for row in manifest.records() {
            let row = row.expect("row");
            if let Ok(packets) = row[packets].parse() {
                captures.push((folder.join(&row[file]), packets));
            }
        }
    }
    captures
}

#[test]
fn shared_captures_are_read_whole_and_twice_the_same() {
    let Some(root) = support::shared("") else {
        return;
    };
    let captures = captures(&root);
    assert!(captures.len() > 230, "{} captures", captures.len());
    let mut differing = Vec::new();
    for (path, packets) in &captures {
        let epochs = replay(path);
        let seen: u64 = epochs.iter().map(|epoch| epoch.ledger.seen).sum();
        if seen != *packets {
            differing.push(format!(
                "{}: {packets} packets, read {seen}",
                path.display()
            ));
        }
        assert!(epochs.iter().all(|epoch| epoch.ledger.unaccounted() == 0));
        assert!(epochs.is_sorted_by(|a, b| a.index < b.index));
        assert!(replay(path) == epochs, "{} differs", path.display());
    }
    println!("{} captures, read twice", captures.len());
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
