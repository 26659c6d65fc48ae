//! Prometheus and Alertmanager read what is delivered for them, and each rule does what its cases say.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[path = "support/program.rs"]
mod program;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// The files of a folder, sorted.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(deploy().join(folder))
        .expect("a folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{folder} is empty");
    found
}

/// Runs a check, which fails with what the program said.
fn check(program: &Path, arguments: &[&str], files: &[PathBuf]) {
    let output = Command::new(program)
        .args(arguments)
        .args(files)
        .output()
        .expect("it starts");
    assert!(
        output.status.success(),
        "{} {}:\n{}{}",
        program.display(),
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn prometheus_reads_configuration_and_rules() {
    let Some(promtool) = program::find("promtool") else {
        return;
    };
    check(&promtool, &["check", "rules"], &files("prometheus/rules"));
    check(
        &promtool,
        &["check", "config"],
        &[deploy().join("prometheus/prometheus.yml")],
    );
}

/// Each alert fires when it should and not when it should not (`promtool test rules`).
#[test]
fn each_alert_does_what_its_cases_say() {
    let Some(promtool) = program::find("promtool") else {
        return;
    };
    check(&promtool, &["test", "rules"], &files("prometheus/tests"));
}

#[test]
fn alertmanager_reads_its_configuration() {
    let Some(amtool) = program::find("amtool") else {
        return;
    };
    check(
        &amtool,
        &["check-config"],
        &[deploy().join("alertmanager/alertmanager.yml")],
    );
}

/// Critical incidents wake somebody, the rest is read in the morning.
#[test]
fn alerts_are_routed_by_severity() {
    let Some(amtool) = program::find("amtool") else {
        return;
    };
    let file = format!(
        "--config.file={}",
        deploy().join("alertmanager/alertmanager.yml").display()
    );
    for (severity, receiver) in [
        ("critical", "on-call"),
        ("warning", "operators"),
        ("info", "notes"),
    ] {
        let output = Command::new(&amtool)
            .args(["config", "routes", "test", &file])
            .args([
                "alertname=AnomalyDetectIncident",
                &format!("severity={severity}"),
            ])
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), receiver, "{severity}");
    }
}
