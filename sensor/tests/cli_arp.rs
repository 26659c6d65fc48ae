//! What is seen of ARP: a sweep is raised, what hosts do every day is not, and IP flows are judged as if there were none.

mod cli_support;
#[path = "cli_support/scene.rs"]
mod scene;
mod support;

use std::path::Path;

use cli_support::stdout;
use scene::{Scene, address};
use serde_json::Value;
use tempfile::TempDir;

/// No address yet: 0.0.0.0.
const NOBODY: u16 = u16::MAX;

/// An ARP packet: 1 asks, 2 answers.
fn arp(scene: &mut Scene, ms: u64, operation: u8, sender: u16, target: u16) {
    let mut frame = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6];
    frame.extend([0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1]);
    frame.extend(if sender == NOBODY {
        [0; 4]
    } else {
        address(sender)
    });
    frame.extend([0; 6]);
    frame.extend(address(target));
    scene.frame(ms * 1_000_000, frame);
}

/// Hosts of a /24, of which `10.0.0.1` to `.21` are there.
const THERE: std::ops::RangeInclusive<u16> = 1..=21;

/// Host 50 asks for every address of its /24 within a second and a half; who is there answers.
fn sweep(scene: &mut Scene) {
    for host in 1..=254 {
        let ms = 70_000 + u64::from(host) * 6;
        arp(scene, ms, 1, 50, host);
        if THERE.contains(&host) {
            arp(scene, ms + 1, 2, host, 50);
        }
    }
}

/// What happens all the time: clients ask for a server every other minute; the router asks for all that are there and, every
/// twenty seconds, for one that was switched off; everybody tells that he is here, and asks first whether somebody else is.
fn day(scene: &mut Scene) {
    for host in THERE {
        let ms = 1_000 + u64::from(host) * 310;
        arp(scene, ms, 1, host, host);
        arp(scene, ms + 5, 2, host, host);
        for minute in [0, 2] {
            let ms = ms + minute * 60_000;
            let server = 1 + host % 3;
            arp(scene, ms + 30, 1, host, server);
            arp(scene, ms + 31, 2, server, host);
            arp(scene, ms + 40, 1, 254, host);
            arp(scene, ms + 41, 2, host, 254);
        }
    }
    for off in 0..9 {
        for again in 0..3 {
            arp(
                scene,
                u64::from(off) * 20_000 + again * 1_000,
                1,
                254,
                100 + off,
            );
        }
    }
    // Sixty machines come up after a power cut; the address that they ask for is their own (RFC 5227).
    for host in 130..190 {
        arp(scene, 90_000 + u64::from(host), 1, NOBODY, host);
    }
}

/// `busy.pcap` without ARP; `arp.pcap`, the same with what happens all the time; `sweep.pcap`, with a sweep as well.
fn captured() -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    Scene::busy().write(folder.path(), "busy.pcap");
    let mut scene = Scene::busy();
    day(&mut scene);
    scene.write(folder.path(), "arp.pcap");
    let mut scene = Scene::busy();
    day(&mut scene);
    sweep(&mut scene);
    scene.write(folder.path(), "sweep.pcap");
    folder
}

/// The same, with a model of the one without ARP.
fn learned() -> TempDir {
    let folder = captured();
    stdout(folder.path(), &["train", "busy.pcap", "-o", "busy.model"]);
    folder
}

/// Incidents of a capture, judged by a model of the same traffic without ARP.
fn incidents(folder: &Path, capture: &str) -> Vec<Value> {
    let judged = ["run", capture, "--model", "busy.model"];
    let report = stdout(folder, &[&judged[..], &["--format", "json"]].concat());
    let report: Value = serde_json::from_str(&report).expect("JSON");
    report["incidents"].as_array().expect("a list").clone()
}

/// Those that are sweeps.
fn sweeps(folder: &Path, capture: &str) -> Vec<Value> {
    let mut all = incidents(folder, capture);
    all.retain(|incident| incident["kind"] == "host sweep");
    all
}

#[test]
fn a_sweep_is_raised_and_what_hosts_do_every_day_is_not() {
    let folder = learned();
    let here = folder.path();
    assert_eq!(sweeps(here, "arp.pcap"), Vec::<Value>::new());
    let found = sweeps(here, "sweep.pcap");
    assert_eq!(found.len(), 1, "{found:#?}");
    let sweep = &found[0];
    assert_eq!(sweep["host"], "10.0.0.50");
    assert_eq!(sweep["role"], "actor");
    let sentence = sweep["sentence"].as_str().expect("a sentence");
    assert!(
        sentence.starts_with("10.0.0.50 asked 2")
            && sentence.contains(" hosts by ARP whether they are there"),
        "{sentence}"
    );
    assert!(
        sweep["p_value"].as_f64().expect("a number") < 1e-4,
        "{sweep}"
    );
    let techniques = sweep["techniques"].as_array().expect("a list");
    assert_eq!(techniques[0]["id"], "T1018", "{techniques:?}");
}

/// One that takes its time is seen over ten minutes; a router that looks for hosts that were switched off is none.
#[test]
fn a_slow_sweep_is_raised_and_a_router_that_misses_hosts_is_not() {
    let folder = learned();
    let here = folder.path();
    let mut scene = Scene::busy();
    for asked in 0..110 {
        arp(
            &mut scene,
            20_000 + u64::from(asked) * 6_000,
            1,
            51,
            100 + asked,
        );
        if asked % 3 == 0 {
            arp(
                &mut scene,
                21_000 + u64::from(asked) * 6_000,
                1,
                254,
                100 + asked,
            );
        }
    }
    scene.write(here, "slow.pcap");
    let found = sweeps(here, "slow.pcap");
    let hosts: Vec<&Value> = found.iter().map(|sweep| &sweep["host"]).collect();
    assert_eq!(hosts, ["10.0.0.51"]);
}

/// ARP changes no bit of what is said of IP flows.
#[test]
fn flows_of_ip_are_judged_as_if_there_were_no_arp() {
    let folder = learned();
    let here = folder.path();
    stdout(here, &["train", "sweep.pcap", "-o", "sweep.model"]);
    let same = |name: &str| std::fs::read(here.join(name)).expect("a model");
    let rows = |capture: &str, of_arp: bool| -> Vec<String> {
        let table = stdout(
            here,
            &["predict", capture, "--model", "busy.model", "-o", "-"],
        );
        let (header, rows) = table.split_once('\n').expect("lines");
        let at = header
            .split(',')
            .position(|name| name == "protocol")
            .expect("a column");
        let is = |row: &&str| (row.split(',').nth(at) == Some("arp")) == of_arp;
        rows.lines().filter(is).map(str::to_owned).collect()
    };
    let alone = rows("busy.pcap", false);
    assert_eq!(alone.len(), 961);
    assert_eq!(alone, rows("sweep.pcap", false));
    assert!(rows("busy.pcap", true).is_empty());
    assert!(rows("sweep.pcap", true).len() > 254);
    assert_eq!(same("busy.model").len(), same("sweep.model").len());
}

/// A table of flows has those of ARP, and is trained on and judged without them.
#[test]
fn tables_have_flows_of_arp_that_no_model_is_asked_about() {
    let folder = captured();
    let here = folder.path();
    stdout(here, &["pcap", "sweep.pcap", "-o", "sweep.csv"]);
    stdout(here, &["train", "sweep.csv", "-o", "table.model"]);
    stdout(
        here,
        &[
            "predict",
            "sweep.csv",
            "--model",
            "table.model",
            "-o",
            "said.csv",
        ],
    );
    let mut reader = csv::Reader::from_path(here.join("said.csv")).expect("a table");
    let header = reader.headers().expect("a header").clone();
    let at = |name: &str| {
        header
            .iter()
            .position(|column| column == name)
            .expect("a column")
    };
    let (protocol, score, prediction, community) = (
        at("protocol"),
        at("score"),
        at("prediction"),
        at("community_id"),
    );
    let (source, port) = (at("src_ip"), at("src_port"));
    let (mut arp, mut others) = (0, 0);
    for record in reader.records() {
        let record = record.expect("a record");
        let judged: f64 = record[score].parse().expect("a number");
        if &record[protocol] == "arp" {
            arp += 1;
            assert_eq!((judged, &record[prediction]), (0.0, "normal"));
            assert_eq!((&record[community], &record[port]), ("", ""));
            assert!(!record[source].is_empty());
        } else {
            others += 1;
            assert!(judged > 0.0);
        }
    }
    assert!(arp > 254 && others == 961, "{arp} {others}");
}

/// The alert's evidence replays, and its packets are found by the flow's name.
#[test]
fn evidence_of_a_sweep_replays_and_its_packets_are_found() {
    let folder = learned();
    let here = folder.path();
    stdout(here, &["run", "sweep.pcap", "--model", "busy.model"]);
    let evidence = std::fs::read_dir(here.join("anomaly-out/evidence")).expect("a folder");
    let bundles = evidence.map(|entry| entry.expect("an entry").path());
    let text =
        |bundle: &Path| std::fs::read_to_string(bundle.join("bundle.json")).expect("a bundle");
    let bundle = bundles
        .into_iter()
        .find(|bundle| text(bundle).contains("by ARP"))
        .expect("the sweep's");
    let bundle = bundle.display().to_string();
    stdout(
        here,
        &["explain", "--replay", &bundle, "--model", "busy.model"],
    );
    let packets = |arguments: &[&str]| {
        let arguments = [&["extract", "sweep.pcap", "-o", "cut.pcapng"], arguments].concat();
        stdout(here, &arguments);
        let mut packets = 0;
        sensor::capture::input::frames(&here.join("cut.pcapng"), |_| packets += 1)
            .expect("packets");
        packets
    };
    assert!(packets(&["--alert", &bundle]) >= 1);
    assert_eq!(packets(&["--flow", "arp/10.0.0.50/10.0.0.7"]), 2);
    assert_eq!(packets(&["--flow", "arp/10.0.0.50/10.0.0.77"]), 1);
}

/// As Zeek, whose conn.log has no ARP.
#[test]
fn conn_log_is_of_ip() {
    let folder = captured();
    let here = folder.path();
    for capture in ["busy", "sweep"] {
        let (capture, log) = (format!("{capture}.pcap"), format!("{capture}.log"));
        stdout(
            here,
            &["pcap", &capture, "-o", "flows.csv", "--conn-log", &log],
        );
    }
    let log = |name: &str| std::fs::read(here.join(name)).expect("a log");
    assert_eq!(log("busy.log"), log("sweep.log"));
}

/// The recording of a real one.
#[test]
fn the_recorded_sweep_is_raised() {
    let Some(capture) = support::shared("scans-bruteforce") else {
        return;
    };
    let folder = learned();
    let here = folder.path();
    let capture = capture.join("test8-malicious.pcap");
    let found = sweeps(here, &capture.display().to_string());
    let sweep = found.first().expect("a sweep");
    assert_eq!(sweep["host"], "192.168.1.247");
    assert_eq!(sweep["peers"], 255);
}
