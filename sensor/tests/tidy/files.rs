//! Rules for the files themselves.

use std::{fs, process::Command};

use super::{expect_none, root, sources, texts};

/// A file this long is asked why.
const LONG_LINES: usize = 400;

/// Those that have an answer. An entry that is no longer needed fails the test too.
const LONG: &[(&str, &str)] = &[
    (
        "sensor/tests/frame_differential/generate.rs",
        "every part of a frame, each with the truth beside it",
    ),
    (
        "sensor/tests/senders/mail.rs",
        "one real mail server and everything that is asked of it",
    ),
    (
        "sensor/src/features/table.rs",
        "the one table that declares every feature",
    ),
    (
        "sensor/src/zeek/table.rs",
        "the one table that declares every feature of a connection",
    ),
    (
        "sensor/src/sink/store/incidents.rs",
        "incidents in and out, with every way to ask for them",
    ),
    (
        "sensor/src/sink/store/files.rs",
        "files and captures taken in whole, with their tests",
    ),
    (
        "sensor/src/sink/store/writer.rs",
        "one thread: what it takes, when it writes, what it does where the disk fails",
    ),
    (
        "sensor/src/score/phrase.rs",
        "one sentence for each feature",
    ),
    (
        "sensor/src/capture/xdp/mod.rs",
        "the one face of the kernel side: how it is set up, begun, asked and drained",
    ),
    (
        "sensor-ebpf/src/account.rs",
        "one arithmetic for kernel and agent: a packet added, and what two of them counted merged",
    ),
    (
        "sensor-ebpf/src/bin/flow-monitor.rs",
        "one object: what its programs share is inlined into each",
    ),
    (
        "sensor/src/config/mod.rs",
        "every section of the configuration, side by side",
    ),
];

#[test]
fn files_are_short_or_say_why() {
    let mut findings = Vec::new();
    let mut long = Vec::new();
    for text in sources() {
        let lines = text.text.lines().count();
        if lines > LONG_LINES {
            long.push(text.path.clone());
            if !LONG.iter().any(|(path, _)| *path == text.path) {
                findings.push(format!(
                    "{}: {lines} lines; split it, or give the reason in {}",
                    text.path,
                    file!()
                ));
            }
        }
    }
    for (path, _) in LONG {
        if !long.iter().any(|found| found == path) {
            findings.push(format!("{path} is not long any more: take it off the list"));
        }
    }
    expect_none(&findings, "A long file is often two concepts.");
}

#[test]
fn no_notes_to_self_and_no_silenced_lints() {
    // Spelt in parts, so that this file does not find itself.
    let notes = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat());
    let silenced = ["#[al", "low("].concat();
    let mut findings = Vec::new();
    for text in sources() {
        for (number, line) in text.text.lines().enumerate() {
            let at = format!("{}:{}", text.path, number + 1);
            if notes.iter().any(|note| line.contains(note.as_str())) {
                findings.push(format!("{at}: write an issue, or do it"));
            }
            if line.contains(&silenced) {
                findings.push(format!("{at}: use #[expect(lint, reason = \"...\")]"));
            }
        }
    }
    expect_none(&findings, "Notes to self and silenced lints do not stay.");
}

#[test]
fn no_commented_out_code() {
    let mut findings = Vec::new();
    for text in sources() {
        for (number, line) in text.text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("// ") else {
                continue;
            };
            let comment = comment.trim_end();
            let statement = comment.ends_with(';')
                && (comment.contains(" = ")
                    || comment.contains("();")
                    || comment.starts_with("use "));
            let block = comment.ends_with('{')
                && ["if ", "for ", "while ", "fn ", "match "]
                    .iter()
                    .any(|word| comment.starts_with(word));
            if statement || block {
                findings.push(format!("{}:{}: {comment}", text.path, number + 1));
            }
        }
    }
    expect_none(&findings, "Code in a comment is dead: git remembers it.");
}

/// Metric names are chosen in one place, so that the table in docs/metrics.md can be complete.
#[test]
fn metric_names_are_written_in_one_place() {
    let prefix = ["\"anomaly", "_detect_"].concat();
    let mut findings = Vec::new();
    for text in texts("sensor/src", "rs") {
        let owner = text.path.starts_with("sensor/src/metrics");
        if !owner && text.text.contains(&prefix) {
            findings.push(format!(
                "{}: declare the metric in sensor/src/metrics",
                text.path
            ));
        }
    }
    expect_none(&findings, "A metric is named where it is used.");
}

/// What git has, or nothing where there is no git (a source archive).
fn committed() -> Vec<String> {
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(root())
        .output();
    match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect(),
        _ => {
            eprintln!("not run: this is not a git checkout, or git is not installed");
            Vec::new()
        }
    }
}

#[test]
fn committed_files_are_small_and_ours() {
    const LARGEST_BYTES: u64 = 3 * 1000 * 1000;
    const CAPTURES: &[&str] = &[
        "pcap", "pcapng", "cap", "pcap.gz", "pcap.zst", "erf", "evtx",
    ];
    let mut findings = Vec::new();
    let mut demo_bytes = 0;
    for path in committed() {
        // Deleted in the work tree and not yet committed: nothing to measure.
        let Ok(meta) = fs::metadata(root().join(&path)) else {
            continue;
        };
        if meta.len() > LARGEST_BYTES {
            findings.push(format!("{path}: {} bytes", meta.len()));
        }
        if path.starts_with("demo/") {
            demo_bytes += meta.len();
        }
        let ours = path.starts_with("demo/") || path.contains("/cases/");
        if !ours
            && CAPTURES
                .iter()
                .any(|extension| path.ends_with(&format!(".{extension}")))
        {
            findings.push(format!(
                "{path}: a capture outside demo/ and the cases; the shared data is never committed"
            ));
        }
    }
    if demo_bytes > LARGEST_BYTES {
        findings.push(format!("demo/: {demo_bytes} bytes together"));
    }
    expect_none(&findings, "Committed files are ours and at most 3 MB.");
}
