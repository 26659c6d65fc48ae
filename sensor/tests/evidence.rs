//! Evidence as a user meets it: bundles that `run` keeps, whether they hold, and that they fail where anything was changed.

mod cli_support;
mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cli_support::{run, stdout};
use serde_json::Value;

/// The demo, scored; folders of its bundles.
fn demo(here: &Path) -> Vec<PathBuf> {
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/office.pcap.zst");
    stdout(here, &["run", capture, "--quiet"]);
    bundles(&here.join("anomaly-out"))
}

fn bundles(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.join("evidence")) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder").path())
        .collect();
    found.sort();
    found
}

fn bundle(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("bundle.json")).expect("a bundle");
    serde_json::from_str(&text).expect("JSON")
}

fn replay(here: &Path, folders: &[PathBuf]) -> Vec<Value> {
    let mut arguments = vec!["explain", "--format", "json", "--replay"];
    arguments.extend(folders.iter().filter_map(|folder| folder.to_str()));
    let lines = stdout(here, &arguments);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn every_alert_of_the_demo_comes_out_again() {
    let here = tempfile::tempdir().expect("folder");
    let folders = demo(here.path());
    assert!(folders.len() >= 10, "{folders:?}");
    let replayed = replay(here.path(), &folders);
    assert_eq!(replayed.len(), folders.len());
    for (folder, replayed) in folders.iter().zip(&replayed) {
        let said = bundle(folder);
        assert_eq!(replayed["score"], said["score"]["value"]);
        let whole = said["packets"]["flow"] == said["packets"]["flow_of"];
        assert_eq!(
            replayed["features_from_packets"].as_u64() > Some(90),
            whole,
            "{replayed}"
        );
    }
}

/// A change of anything that the verdict rests on is found, in one line and with an exit code of its own.
#[test]
fn a_bundle_that_was_changed_does_not_hold() {
    let here = tempfile::tempdir().expect("folder");
    let folders = demo(here.path());
    let folder = folders
        .iter()
        .find(|folder| {
            let packets = &bundle(folder)["packets"];
            packets["flow"] == packets["flow_of"] && packets["flow"].as_u64() > Some(3)
        })
        .expect("a whole flow");
    let original = fs::read_to_string(folder.join("bundle.json")).expect("a bundle");
    let fails = |what: &str, code: i32, words: &str| {
        let output = run(
            here.path(),
            &["explain", "--replay", folder.to_str().expect("UTF-8")],
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{what}: {said}");
        assert!(said.contains(words), "{what}: {said}");
        assert_eq!(said.lines().count(), 1, "{what}: {said}");
    };
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&original).expect("JSON");
        change(&mut value);
        fs::write(folder.join("bundle.json"), value.to_string()).expect("written");
    };
    let flip = |value: &mut Value| {
        let digits = value.as_str().expect("digits");
        let bits = u64::from_str_radix(digits, 16).expect("hexadecimal") ^ 1;
        *value = Value::from(format!("{bits:0width$x}", width = digits.len()));
    };
    changed(&|value| flip(&mut value["score"]["bits"]));
    fails("the score", 1, "the score does not come out again");
    changed(&|value| flip(&mut value["score"]["p_value_bits"]));
    fails("the p-value", 1, "the p-value does not come out again");
    changed(&|value| flip(&mut value["contributions"][0]["weight_bits"]));
    fails("a weight", 1, "the explanation does not come out again");
    changed(&|value| {
        let verdict = &mut value["prediction"]["verdict"];
        let other = if *verdict == "normal" {
            "anomaly"
        } else {
            "normal"
        };
        *verdict = Value::from(other);
    });
    fails("the verdict", 1, "the prediction does not come out again");
    changed(&|value| value["prediction"]["limit_bits"] = Value::from("3fe0000000000000"));
    fails("a limit that nothing sets", 1, "the limit of p-values");
    // A feature of the flow itself, by so little that no tree may notice.
    changed(&|value| {
        let features = value["features"].as_array_mut().expect("features");
        let duration = features.iter_mut().find(|one| one["name"] == "duration");
        flip(&mut duration.expect("a duration")["bits"]);
    });
    fails("a feature", 1, "does not come out again");
    changed(&|value| value["model"] = Value::from("0".repeat(64)));
    fails("the model", 66, "no model");
    changed(&|value| {
        value["features"].as_array_mut().expect("features").pop();
    });
    fails("the schema", 66, "not this program's");
    fs::write(folder.join("bundle.json"), &original[..original.len() / 2]).expect("written");
    fails("half of it", 66, "not a bundle");
    // And the packets: without the later ones of the flow.
    fs::write(folder.join("bundle.json"), &original).expect("written");
    let packets = folder.join("packets.pcapng");
    let bytes = fs::read(&packets).expect("packets");
    fs::write(&packets, &bytes[..bytes.len().min(1500)]).expect("written");
    fails("half of the packets", 1, "does not come out again");
    fs::write(&packets, &bytes).expect("written");
    assert_eq!(replay(here.path(), std::slice::from_ref(folder)).len(), 1);
}

/// Captures in a folder.
fn captures(folder: &Path) -> Vec<PathBuf> {
    let is_capture = |path: &PathBuf| {
        let name = path.to_string_lossy();
        [".pcap", ".pcapng", ".pcap.zst"]
            .iter()
            .any(|ending| name.ends_with(ending))
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_capture)
        .collect();
    found.sort();
    found
}

/// A hundred alerts of different kinds, from real captures of attacks and the demo.
#[test]
fn a_hundred_alerts_of_real_captures_come_out_again() {
    const FOLDERS: [&str; 6] = [
        "scans-bruteforce",
        "iot23-34-1-mirai",
        "ddos",
        "c2-caldera",
        "modbus-scada",
        "iot-sentinel-benign",
    ];
    // Many networks at once, merged by time.
    const MERGED: [&str; 2] = ["scans-bruteforce", "flow-counter-oracle/pcap"];
    let (mut kinds, mut alerts, mut whole) = (BTreeSet::new(), 0, 0);
    let Some(data) = support::shared("") else {
        return;
    };
    let single = FOLDERS
        .iter()
        .flat_map(|folder| captures(&data.join(folder)));
    let merged = MERGED.iter().map(|folder| data.join(folder));
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/office.pcap.zst");
    for input in single.chain(merged).chain([demo]) {
        let here = tempfile::tempdir().expect("folder");
        let input = input.to_str().expect("UTF-8");
        stdout(
            here.path(),
            &["run", input, "--quiet", "--set", "evidence.alerts=100"],
        );
        let folders = bundles(&here.path().join("anomaly-out"));
        for folder in &folders {
            let kind = bundle(folder)["incident"]["kind"].to_string();
            kinds.insert(kind);
        }
        if !folders.is_empty() {
            let replayed = replay(here.path(), &folders);
            assert_eq!(replayed.len(), folders.len(), "{input}");
            let made_anew = |value: &&Value| value["features_from_packets"].as_u64() > Some(0);
            whole += replayed.iter().filter(made_anew).count();
        }
        alerts += folders.len();
    }
    println!(
        "{alerts} alerts of {} kinds, {whole} of them with all packets: {kinds:?}",
        kinds.len()
    );
    assert!(
        alerts >= 100 && kinds.len() >= 8 && whole >= 50,
        "{alerts} {kinds:?}"
    );
}

/// Wireshark's own tools read what is kept, and show why it was.
#[test]
fn wireshark_reads_the_evidence_and_shows_the_comments() {
    let installed = ["tshark", "capinfos"]
        .iter()
        .all(|tool| Command::new(tool).arg("--version").output().is_ok());
    if !installed {
        eprintln!("not run: tshark and capinfos are not installed (Debian: tshark)");
        return;
    }
    let here = tempfile::tempdir().expect("folder");
    let folders = demo(here.path());
    for folder in &folders {
        let said = bundle(folder);
        let packets = folder.join("packets.pcapng");
        let text = |program: &str, arguments: &[&str]| {
            let output = Command::new(program)
                .args(arguments)
                .arg(&packets)
                .output()
                .expect("it runs");
            assert!(output.status.success(), "{program}: {output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let about = text("capinfos", &["-ck", "-M"]);
        let sentence = said["incident"]["sentence"].as_str().expect("a sentence");
        let count = said["packets"]["flow"].as_u64().expect("a number")
            + said["packets"]["host"].as_u64().expect("a number");
        assert!(about.contains(sentence), "{about}");
        assert!(about.contains(&format!("{count}")), "{about}");
        let comments = text("tshark", &["-T", "fields", "-e", "frame.comment", "-r"]);
        let community = said["flow"]["community_id"].as_str().expect("an id");
        let score = said["score"]["value"].to_string();
        let first = comments
            .lines()
            .find(|line| !line.is_empty())
            .expect("a comment");
        assert!(
            first.contains(community) && first.contains(&score),
            "{first}"
        );
        let of_flow = comments
            .lines()
            .filter(|line| line.contains(community))
            .count();
        assert_eq!(
            of_flow as u64,
            said["packets"]["flow"].as_u64().expect("a number")
        );
    }
}

#[test]
fn the_packets_of_a_flow_are_cut_out_of_a_capture() {
    let here = tempfile::tempdir().expect("folder");
    let folders = demo(here.path());
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/office.pcap.zst");
    let said = bundle(&folders[0]);
    let id = folders[0]
        .file_name()
        .and_then(|name| name.to_str())
        .expect("an id");
    let community = said["flow"]["community_id"].as_str().expect("an id");
    stdout(
        here.path(),
        &["extract", capture, "--alert", id, "-o", "alert.pcapng"],
    );
    stdout(
        here.path(),
        &["extract", capture, "--flow", community, "-o", "flow.pcapng"],
    );
    assert_eq!(
        fs::read(here.path().join("alert.pcapng")).expect("a file"),
        fs::read(here.path().join("flow.pcapng")).expect("a file")
    );
    // All of its packets and nothing else.
    let table = stdout(
        here.path(),
        &["pcap", "flow.pcapng", "-o", "-", "--format", "json"],
    );
    for line in table.lines() {
        let flow: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(flow["community_id"], community);
    }
    let none = run(
        here.path(),
        &["extract", capture, "--flow", "1:none", "-o", "none.pcapng"],
    );
    assert_eq!(none.status.code(), Some(1));
    assert!(!here.path().join("none.pcapng").exists());
}
