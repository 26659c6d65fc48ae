//! Models of several boxes, compared and merged as a user would; and one whose traffic moved.

mod cli_support;
#[path = "cli_support/foreign.rs"]
mod foreign;

use std::{fs, path::Path};

use cli_support::{run, stdout};
use serde_json::Value;

#[test]
fn models_of_several_boxes_are_compared_and_merged() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/office.pcap.zst");
    let demo = demo.to_str().expect("UTF-8");
    stdout(here, &["train", demo, "--seed", "1"]);
    stdout(here, &["train", demo, "--seed", "2", "--trees", "50"]);
    let diff: Value = serde_json::from_str(&stdout(
        here,
        &["model", "diff", "1", "2", "--format", "json"],
    ))
    .expect("JSON");
    // The same traffic, but for the rows held out.
    assert_eq!(diff["columns_moved"], 0);
    assert_eq!(diff["columns"].as_array().map(Vec::len), Some(15));
    assert!(stdout(here, &["model", "diff", "1", "2"]).contains("0 of "));
    let merge = ["model", "merge", "1", "2", "--calibrate-on", demo];
    assert!(stdout(here, &merge).contains("150 trees of 2 models"));
    // It is kept and can be used, and what was in use still is.
    assert!(stdout(here, &["model", "show"]).contains("seed 2"));
    assert!(stdout(here, &["model", "show", "3"]).contains("HeldOut"));
    assert!(stdout(here, &["model", "use", "3"]).starts_with("in use: 0003-"));
    stdout(here, &["predict", demo]);
    // Without traffic to calibrate on it says so.
    let output = run(here, &["model", "merge", "1", "2", "-o", "fleet.model"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not calibrated"));
    assert!(stdout(here, &["model", "show", "fleet.model"]).contains("Merged"));
    foreign::write_model(&here.join("other.model"));
    for command in ["merge", "diff"] {
        let output = run(here, &["model", command, "1", "other.model"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains("schema") && said.contains("other.model"),
            "{said}"
        );
    }
}

/// A table that does not say whom its rows came from teaches with every one of them.
#[test]
fn rows_of_a_table_that_moved_are_called_anomalous_less_than_by_calibration() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/office.pcap.zst");
    let demo = demo.to_str().expect("UTF-8");
    stdout(here, &["train", demo]);
    let table = stdout(here, &["features", demo, "-o", "-"]);
    let (header, rows) = table.split_once('\n').expect("lines");
    let duration = header
        .split(',')
        .position(|name| name == "duration")
        .expect("column");
    let mut moved = header.replace("src_ip,", "origin,") + "\n";
    for row in rows.lines() {
        let fields = row.split(',').enumerate();
        let fields: Vec<&str> = fields
            .map(|(at, field)| if at == duration { "90000.5" } else { field })
            .collect();
        moved += &(fields.join(",") + "\n");
    }
    fs::write(here.join("moved.csv"), moved).expect("written");
    let anomalies = |hold_rate: &str| {
        let set = format!("score.hold_rate={hold_rate}");
        stdout(here, &["predict", "moved.csv", "-o", "-", "--set", &set])
            .lines()
            .filter(|line| line.contains(",anomaly,"))
            .count()
    };
    let [held, loose] = ["true", "false"].map(anomalies);
    assert!(loose > 100, "strange enough: {loose}");
    assert!(held < loose / 2, "{held} of {loose}");
}
