//! The main jobs, as a user does them.

mod cli_support;
#[path = "cli_support/scene.rs"]
mod scene;
#[path = "cli_support/store.rs"]
mod store;
mod support;

use std::{collections::BTreeMap, fs, path::Path};

use cli_support::{program, run, stdout};
use scene::Scene;
use serde_json::Value;

fn busy(folder: &Path) {
    Scene::busy().write(folder, "busy.pcap");
}

#[test]
fn run_finds_the_planted_attacks_and_says_why() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    busy(here);
    let text = stdout(here, &["run", "busy.pcap"]);
    for part in [
        "10.0.0.99 tried 200 ports of 10.0.0.1 in 4 s",
        "198.51.100.23 made 60 short logins at tcp port 22 of 10.0.0.2",
        "10.0.0.15 sent 3.1 MB out to 198.51.100.77",
        "usual here:",
        "Most anomalous flows",
    ] {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(part), "no `{part}` in\n{text}");
    }
    for file in [
        "pcap_features.csv",
        "predictions.csv",
        "reports/report.html",
        "model_outputs/current",
    ] {
        assert!(here.join("anomaly-out").join(file).is_file(), "{file}");
    }
    assert!(
        !text.contains('\u{1b}'),
        "no colours where it is no terminal"
    );
}

#[test]
fn two_runs_are_byte_identical() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    busy(here);
    let mut outputs = Vec::new();
    for name in ["one", "two"] {
        fs::create_dir(here.join(name)).expect("folder");
        let printed = stdout(&here.join(name), &["run", "../busy.pcap"]);
        let mut files = BTreeMap::from([("printed".to_owned(), printed.into_bytes())]);
        let mut folders = vec![here.join(name).join("anomaly-out")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("folder") {
                let path = entry.expect("entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path
                        .strip_prefix(here.join(name))
                        .expect("inside")
                        .display()
                        .to_string();
                    let is_store = path.extension().is_some_and(|ending| ending == "sqlite");
                    let bytes = match is_store {
                        true => store::contents(&path),
                        false => fs::read(path).expect("file"),
                    };
                    files.insert(name, bytes);
                }
            }
        }
        assert!(files.len() >= 6, "{:?}", files.keys());
        outputs.push(files);
    }
    let differ = |name: &&String| outputs[0].get(*name) != outputs[1].get(*name);
    let differing: Vec<_> = outputs[0].keys().filter(differ).collect();
    assert!(
        differing.is_empty(),
        "two runs of one capture differ: {differing:?}"
    );
    assert_eq!(outputs[0].len(), outputs[1].len());
}

/// What `run` wrote, `predict` computes again from the features alone, to the bit.
#[test]
fn scores_of_tables_are_scores_of_captures() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    busy(here);
    stdout(here, &["run", "busy.pcap"]);
    stdout(
        here,
        &[
            "predict",
            "anomaly-out/pcap_features.csv",
            "-o",
            "again.csv",
        ],
    );
    stdout(here, &["predict", "busy.pcap", "-o", "live.csv"]);
    let scores = |file: &str| -> Vec<(String, String, String)> {
        let mut reader = csv::Reader::from_path(here.join(file)).expect("table");
        let header = reader.headers().expect("header").clone();
        let at = |name: &str| {
            header
                .iter()
                .position(|column| column == name)
                .expect("column")
        };
        let columns = [at("flow_id"), at("score"), at("p_value")];
        reader
            .records()
            .map(|record| {
                let record = record.expect("record");
                let [id, score, p_value] = columns.map(|column| record[column].to_owned());
                (id, score, p_value)
            })
            .collect()
    };
    let whole = scores("anomaly-out/predictions.csv");
    assert_eq!(whole.len(), 961);
    assert_eq!(whole, scores("again.csv"));
    assert_eq!(whole, scores("live.csv"));
}

#[test]
fn flow_tables_begin_with_the_agreed_columns() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    Scene::office().write(here, "office.pcap");
    let table = stdout(here, &["pcap", "office.pcap", "-o", "-"]);
    let (header, rest) = table.split_once('\n').expect("lines");
    assert!(header.starts_with(
        "flow_id,community_id,start_time,end_time,src_ip,src_port,dst_ip,dst_port,protocol,vlan_id,\
         orig_packets,orig_bytes,resp_packets,resp_bytes,end_reason,"
    ));
    assert!(header.split(',').count() >= 15 + 60);
    let first: Vec<_> = rest.lines().next().expect("flow").split(',').collect();
    assert!(
        first[2].starts_with("2026-01-05T08:00:00.")
            && first[2].ends_with('Z')
            && first[2].len() == 30
    );
    assert_eq!(first[8], "tcp");
    let columns: std::collections::BTreeSet<_> = header.split(',').collect();
    assert_eq!(columns.len(), header.split(',').count(), "a name twice");
    let json = stdout(
        here,
        &["pcap", "office.pcap", "-o", "-", "--format", "json"],
    );
    assert_eq!(json.lines().count(), rest.lines().count());
    let flow: Value = serde_json::from_str(json.lines().next().expect("line")).expect("JSON");
    assert_eq!(flow["flow_id"], first[0]);
    assert!(flow["orig_packets"].is_u64());
}

#[test]
fn standard_input_is_a_capture_too() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    let path = Scene::office().write(here, "office.pcap");
    let file = fs::File::open(path).expect("capture");
    let output = program(here)
        .args(["run", "-", "-o", "-"])
        .stdin(file)
        .output()
        .expect("runs");
    assert!(output.status.success());
    let piped = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(piped, stdout(here, &["run", "office.pcap", "-o", "-"]));
    assert!(!here.join("anomaly-out").exists(), "nothing is written");
}

#[test]
fn eval_prints_the_agreed_keys() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    busy(here);
    stdout(here, &["run", "busy.pcap"]);
    fs::write(
        here.join("truth.toml"),
        "[[attack]]\nactor = \"10.0.0.99\"\n[[attack]]\nactor = \"198.51.100.23\"\nports = [22]\n\
         [[attack]]\nvictim = \"198.51.100.77\"\n",
    )
    .expect("file");
    let arguments = [
        "eval",
        "anomaly-out/predictions.csv",
        "--rules",
        "truth.toml",
        "--format",
        "json",
    ];
    let value: Value = serde_json::from_str(&stdout(here, &arguments)).expect("JSON");
    let keys: Vec<_> = value
        .as_object()
        .expect("object")
        .keys()
        .map(String::as_str)
        .collect();
    let wanted = [
        "roc_auc",
        "pr_auc",
        "precision",
        "recall",
        "f1",
        "threshold",
        "rows",
        "positives",
        "false_alarms_per_day",
        "attacks_planted",
        "attacks_found",
        "seconds_to_detect",
        "confusion",
    ];
    assert_eq!(keys, wanted);
    assert_eq!(
        (value["rows"].as_u64(), value["positives"].as_u64()),
        (Some(961), Some(261))
    );
    assert!(value["roc_auc"].as_f64().expect("number") > 0.9, "{value}");
    let from_capture = [
        "eval",
        "busy.pcap",
        "--rules",
        "truth.toml",
        "--format",
        "json",
    ];
    let again: Value = serde_json::from_str(&stdout(here, &from_capture)).expect("JSON");
    assert_eq!(again["roc_auc"], value["roc_auc"]);

    // Labels in a column.
    let table = fs::read_to_string(here.join("anomaly-out/predictions.csv")).expect("table");
    let labelled: Vec<String> = table
        .lines()
        .enumerate()
        .map(|(at, line)| match at {
            0 => format!("label,{line}"),
            _ if line.contains(",10.0.0.99,") => format!("scan,{line}"),
            _ => format!("benign,{line}"),
        })
        .collect();
    fs::write(here.join("labelled.csv"), labelled.join("\n")).expect("table");
    let value: Value =
        serde_json::from_str(&stdout(here, &["eval", "labelled.csv", "--format", "json"]))
            .expect("JSON");
    assert_eq!(value["positives"], 200);
    assert!(stdout(here, &["eval", "labelled.csv"]).contains("ordinary"));
}

#[test]
fn models_are_kept_chosen_and_rolled_back() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    Scene::office().write(here, "office.pcap");
    stdout(here, &["train", "office.pcap", "--seed", "1"]);
    stdout(here, &["train", "office.pcap", "--seed", "2"]);
    let names = |text: &str| -> Vec<String> {
        let models: Vec<Value> = serde_json::from_str(text).expect("JSON");
        models
            .iter()
            .map(|model| {
                let used = if model["in_use"] == true { "*" } else { "" };
                format!("{used}{}", &model["name"].as_str().expect("name")[..4])
            })
            .collect()
    };
    let list = ["model", "list", "--format", "json"];
    assert_eq!(names(&stdout(here, &list)), ["0001", "*0002"]);
    assert!(stdout(here, &["model", "rollback"]).starts_with("in use: 0001-"));
    assert_eq!(names(&stdout(here, &list)), ["*0001", "0002"]);
    assert!(stdout(here, &["model", "use", "2"]).starts_with("in use: 0002-"));
    assert!(stdout(here, &["model", "show", "1"]).contains("seed 1"));
    let output = run(here, &["model", "use", "7"]);
    assert_eq!(output.status.code(), Some(66));
    assert!(String::from_utf8_lossy(&output.stderr).contains("0001-"));
    // A damaged model is not put in use.
    let store = here.join("anomaly-out/model_outputs");
    let first = fs::read_dir(&store)
        .expect("store")
        .map(|entry| entry.expect("entry").path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("0001"))
        })
        .expect("model");
    fs::write(first, "damaged").expect("model");
    assert_eq!(run(here, &["model", "use", "1"]).status.code(), Some(1));
    assert_eq!(names(&stdout(here, &list)), ["0001", "*0002"]);
}

#[test]
fn explain_names_the_flow_and_the_reasons() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    busy(here);
    stdout(here, &["run", "busy.pcap"]);
    let arguments = [
        "explain",
        "anomaly-out/predictions.csv",
        "--format",
        "json",
        "--top",
        "2",
    ];
    let flows: Vec<Value> = serde_json::from_str(&stdout(here, &arguments)).expect("JSON");
    assert_eq!(flows.len(), 2);
    let id = flows[0]["flow"]["flow_id"].as_str().expect("id");
    assert!(!flows[0]["reasons"].as_array().expect("reasons").is_empty());
    let from_capture = stdout(here, &["explain", "busy.pcap", "--flow", id]);
    assert!(
        from_capture.contains(id) && from_capture.contains("usual here"),
        "{from_capture}"
    );
    assert_eq!(
        run(here, &["explain", "busy.pcap", "--flow", "nothing"])
            .status
            .code(),
        Some(1)
    );
}

#[test]
fn fail_on_ends_with_three_when_something_is_found() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    busy(here);
    let fails = ["run", "busy.pcap", "--fail-on", "high", "-q"];
    assert_eq!(run(here, &fails).status.code(), Some(3));
    Scene::office().write(here, "office.pcap");
    let fine = ["run", "office.pcap", "--fail-on", "critical", "-q"];
    assert_eq!(run(here, &fine).status.code(), Some(0));
}

#[test]
fn timeouts_of_zero_keep_a_conversation_in_one_record() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    let mut scene = Scene::default();
    for visit in 0..3 {
        scene.talk(visit * 400_000, (5, 4000), (6, 80), 100, 100);
    }
    scene.write(here, "rare.pcap");
    let rows = |arguments: &[&str]| {
        let mut all = vec!["pcap", "rare.pcap", "-o", "-"];
        all.extend(arguments);
        stdout(here, &all).lines().count() - 1
    };
    assert_eq!(rows(&[]), 3);
    assert_eq!(rows(&["--idle-timeout", "0", "--active-timeout", "0"]), 1);
}

/// A capture of real attacks: the kinds that a person would name.
#[test]
fn shared_captures_are_called_by_their_names() {
    for (folder, file, kind) in [
        (
            "scans-bruteforce",
            "masscan_tcp_0_1000_20190821.pcap",
            "port scan (vertical)",
        ),
        (
            "scans-bruteforce",
            "test7-malicious.pcap",
            "port scan (horizontal)",
        ),
        (
            "scans-bruteforce",
            "malicious-ssh-bruteforce.pcap",
            "password guessing",
        ),
        ("scans-bruteforce", "test-cc-capture-1.pcap", "beaconing"),
        ("iot23-34-1-mirai", "irc.pcap", "beaconing"),
        ("ddos", "pkt.TCP.synflood.spoofed.pcap", "flood"),
        ("ddos", "CIC-DDoS-2019-SynFlood.pcap", "flood"),
        ("ddos", "amp.UDP.snmp.src161.pcapng", "amplification"),
        ("ddos", "amp.dns.RRSIG.fragmented.pcap", "amplification"),
    ] {
        let Some(data) = support::shared(folder) else {
            return;
        };
        let here = tempfile::tempdir().expect("folder");
        let path = data.join(file).display().to_string();
        let text = stdout(here.path(), &["run", &path, "--format", "json"]);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["incidents"][0]["kind"], kind, "{file}: {text}");
    }
}
