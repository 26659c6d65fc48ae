//! The README's first command, held to the demo's ground truth.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Incidents in which an attack must be found.
const TOP: usize = 10;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo")
}

/// Runs the program as the README says, with its output in `folder`; answers with the summary.
fn run(folder: &Path) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_anomaly-detect"))
        .arg("run")
        .arg(demo())
        .args(["--format", "json", "--output"])
        .arg(folder)
        .output()
        .expect("our program starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the summary is JSON")
}

#[test]
fn every_planted_attack_is_among_the_top_incidents() {
    let text =
        fs::read_to_string(demo().join("ground-truth.toml")).expect("the demo has a ground truth");
    let truth: toml::Table = text.parse().expect("the ground truth is TOML");
    let attacks = truth["attack"].as_array().expect("a list of attacks");
    assert_eq!(attacks.len(), 3);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let summary = run(folder.path());
    let incidents = summary["incidents"]
        .as_array()
        .expect("a list of incidents");
    for attack in attacks {
        let field = |name: &str| attack[name].as_str().expect("a string");
        let (kind, actor, victim) = (field("kind"), field("actor"), field("victim"));
        let found = incidents
            .iter()
            .take(TOP)
            .find(|incident| incident["kind"] == kind && incident["host"] == actor);
        let Some(found) = found else {
            panic!(
                "no {kind} by {actor} among the first {TOP} of {}",
                summary["incidents"]
            );
        };
        assert_eq!(found["top_peer"], victim, "{kind} by {actor}");
        let sentence = found["sentence"].as_str().unwrap_or_default();
        assert!(
            sentence.contains(actor) && sentence.contains(victim),
            "{sentence}"
        );
        let reasons = found["worst_flow"]["reasons"]
            .as_array()
            .map_or(0, Vec::len);
        assert!(reasons > 0, "{kind} by {actor} has no reason");
    }
}

/// Sentences are put together from parts: no comma may stand where a part ended and nothing follows.
#[test]
fn sentences_are_well_formed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let summary = run(folder.path());
    for incident in summary["incidents"]
        .as_array()
        .expect("a list of incidents")
    {
        let sentence = incident["sentence"].as_str().expect("a sentence");
        for wrong in [",)", ",,", " ,", "  ", "()"] {
            assert!(!sentence.contains(wrong), "{wrong:?} in {sentence:?}");
        }
    }
}

/// Ordinary work is not called an attack of these kinds: the confounders that the recording has on purpose (a
/// monitoring host, mistyped passwords, uploads to a cloud service).
#[test]
fn ordinary_work_is_not_called_one_of_the_attacks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let summary = run(folder.path());
    let mut counts = BTreeMap::new();
    for incident in summary["incidents"]
        .as_array()
        .expect("a list of incidents")
    {
        let kind = incident["kind"].as_str().unwrap_or_default().to_owned();
        *counts.entry(kind).or_insert(0) += 1;
    }
    for kind in [
        "port scan (vertical)",
        "port scan (horizontal)",
        "password guessing",
        "exfiltration",
        "flood",
    ] {
        let planted = i32::from(!["port scan (horizontal)", "flood"].contains(&kind));
        assert_eq!(
            counts.get(kind).copied().unwrap_or(0),
            planted,
            "{kind}: {counts:?}"
        );
    }
}

/// A flow is told of in the same words by the run that found it and by who asks the store later.
#[test]
fn a_report_of_the_store_says_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    run(folder.path());
    let page = folder.path().join("again.html");
    let status = Command::new(env!("CARGO_BIN_EXE_anomaly-detect"))
        .arg("report")
        .arg(folder.path().join("anomaly.sqlite"))
        .arg("--output")
        .arg(&page)
        .status()
        .expect("our program starts");
    assert!(status.success());
    let text = |path: &Path| fs::read_to_string(path).expect("a file");
    let predictions = text(&folder.path().join("predictions.csv"));
    let report: serde_json::Value =
        serde_json::from_str(&text(&page.with_extension("json"))).expect("a report is JSON");
    let top = report["top"].as_array().expect("a list of flows");
    assert!(!top.is_empty());
    for flow in top {
        let field = |at: &serde_json::Value| at.as_str().expect("a text").to_owned();
        let id = field(&flow["id"]);
        let line = predictions.lines().find(|line| line.starts_with(&id));
        let line = line.expect("a flow of the run");
        assert!(line.contains(&field(&flow["reasons"][0])), "{flow}\n{line}");
    }
}

#[test]
fn two_runs_write_the_same_bytes() {
    let folders = [(), ()].map(|()| tempfile::tempdir().expect("a temporary folder"));
    for folder in &folders {
        run(folder.path());
    }
    for name in ["pcap_features.csv", "predictions.csv"] {
        let [a, b] = folders
            .each_ref()
            .map(|folder| fs::read(folder.path().join(name)).expect("it is written"));
        assert!(!a.is_empty() && a == b, "{name} differs between two runs");
    }
    let [a, b] = folders.each_ref().map(|folder| {
        let mut models: Vec<_> = fs::read_dir(folder.path().join("model_outputs"))
            .expect("it is written")
            .map(|entry| entry.expect("a readable folder").file_name())
            .collect();
        models.sort();
        models
    });
    // A model's name ends in its digest.
    assert_eq!(a, b, "the two runs trained different models");
}
