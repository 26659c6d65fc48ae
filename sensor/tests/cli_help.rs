//! The help texts, compared with what is kept: a change of the grammar is a change of this file too.

use std::{fmt::Write as _, fs, path::Path};

#[test]
fn help_is_as_kept() {
    let commands = [
        "run", "pcap", "features", "logs", "zeek", "intel", "train", "predict", "live", "explain",
        "eval", "model", "alerts", "flows", "hosts", "top", "sinks", "config", "doctor", "health",
    ];
    let mut all = sensor::cli::help(None);
    for command in commands {
        let _ = write!(
            all,
            "\n{}\n{}",
            "=".repeat(100),
            sensor::cli::help(Some(command))
        );
    }
    let all: String = all
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &all).expect("kept help");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == all,
        "the help differs from sensor/tests/golden/help.txt; rewrite it with:\n  UPDATE=1 cargo test -p sensor --test cli_help"
    );
}
