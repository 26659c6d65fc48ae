//! Damaged captures: read as far as libpcap reads them, without a crash and without more memory.

#[path = "support/processor.rs"]
mod processor;
mod support;

use std::{collections::BTreeMap, fs, time::Duration};

use processor::processor_time;
use sensor::capture::{
    Capture, CaptureError, Epoch, Progress,
    replay::{Replay, Settings},
};

/// Packets read, or why not.
fn read(path: &std::path::Path) -> Result<u64, CaptureError> {
    let mut replay = Replay::open(&[path.to_path_buf()], Settings::default())?;
    let mut epoch = Epoch::default();
    let mut counted = 0;
    while replay.next_epoch(&mut epoch)? == Progress::Epoch {
        assert_eq!(epoch.ledger.unaccounted(), 0, "{}", path.display());
        counted += epoch.ledger.seen;
    }
    assert_eq!(counted, replay.report().packets, "{}", path.display());
    Ok(counted)
}

#[test]
fn malformed_captures_give_what_libpcap_gives() {
    let Some(folder) = support::shared("malformed-captures") else {
        return;
    };
    let expected: BTreeMap<String, u64> = fs::read_to_string(folder.join("READER_RESULTS.csv"))
        .expect("results")
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.splitn(4, ',');
            let file = fields.next().expect("file").to_owned();
            let packets = fields.nth(1).expect("packets").parse().ok();
            // The container of this one is sound; tcpdump has no printer for its link type.
            let packets = packets.or_else(|| file.ends_with("-5755755617189888.bin").then_some(2));
            (file, packets.unwrap_or(0))
        })
        .collect();
    assert_eq!(expected.len(), 284);
    let mut differing = Vec::new();
    for (file, packets) in &expected {
        let before = processor_time();
        let got = read(&folder.join(file));
        let took = processor_time().saturating_sub(before);
        assert!(took < Duration::from_secs(2), "{file} takes {took:?}");
        if *got.as_ref().unwrap_or(&0) != *packets {
            differing.push(format!("{file}: libpcap {packets}, ours {got:?}"));
        }
    }
    println!(
        "{} of {} as libpcap",
        expected.len() - differing.len(),
        expected.len()
    );
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    if let Some(peak_kib) = peak_memory_kib() {
        println!("peak memory {peak_kib} KiB");
        assert!(peak_kib < 64 << 10, "{peak_kib} KiB");
    }
}

/// Most memory this process ever had, where the system says (Linux).
fn peak_memory_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
