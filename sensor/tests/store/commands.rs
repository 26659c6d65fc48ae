//! The commands of an operator, on the store of a sensor that goes on.

use sensor::score::BudgetSettings;

use super::{
    cli_support::{run, stdout},
    made::{SECOND, START},
    sensor::{Sensor, until},
};

#[test]
fn an_operator_lists_acknowledges_suppresses_and_takes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("anomaly-out");
    std::fs::create_dir(&out).expect("made");
    let path = out.join("anomaly.sqlite");
    let ask = |arguments: &[&str]| stdout(folder.path(), arguments);
    let missing = run(folder.path(), &["alerts", "list"]);
    assert_eq!(missing.status.code(), Some(66));
    assert_eq!(String::from_utf8_lossy(&missing.stderr).lines().count(), 1);
    let mut sensor = Sensor::start(&path, &BudgetSettings::default());
    sensor.see(&[7], START, 1e-6);
    sensor.see(&[8, 8], START + SECOND, 1e-9);
    until(&path, |reader| {
        (reader.counts().ok()?.incidents == 2).then_some(())
    });
    let json: serde_json::Value = serde_json::from_str(&ask(&[
        "alerts", "list", "--format", "json", "--sort", "evidence",
    ]))
    .expect("JSON");
    let hosts: Vec<&str> = (0..2).filter_map(|at| json[at]["host"].as_str()).collect();
    assert_eq!(hosts, ["10.0.0.8", "10.0.0.7"]);
    let id = json[1]["id"].as_str().expect("an id").to_owned();
    let shown = ask(&["alerts", "show", &id[..12]]);
    assert!(
        shown.contains("10.0.0.7") && shown.contains("told"),
        "{shown}"
    );
    ask(&["alerts", "ack", &id[..12], "-m", "I know", "--by", "ada"]);
    let shown = ask(&["alerts", "show", &id]);
    assert!(shown.contains("acknowledged by ada: I know"), "{shown}");
    until(&path, |_| {
        (sensor.keeping.board.get().handled.len() == 1).then_some(())
    });
    // As the incident: its host and its kind.
    let said = run(
        folder.path(),
        &[
            "alerts", "suppress", &id, "--reason", "a test", "--for", "1h",
        ],
    );
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("1 stored incident suppressed"),
        "{said:?}"
    );
    // An hour from now covers traffic that long ago, too.
    until(&path, |_| {
        (sensor.keeping.board.get().mutes.len() == 1).then_some(())
    });
    let csv = ask(&["alerts", "list", "--state", "suppressed", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert!(ask(&["alerts", "suppress", "--list"]).contains("unusual flow about 10.0.0.7"));
    ask(&["alerts", "unsuppress", "1"]);
    // It was acknowledged before, and is again.
    let csv = ask(&[
        "alerts",
        "list",
        "--state",
        "acknowledged",
        "--format",
        "csv",
    ]);
    assert!(csv.contains(&id), "{csv}");
    let lines = ask(&["alerts", "export"]);
    let exported: serde_json::Value =
        serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert!(exported["life"].is_array());
    for (arguments, code, why) in [
        (&["alerts", "ack"][..], 2, "which incidents"),
        (&["alerts", "show", "zz"], 2, "begins so"),
        (
            &["alerts", "suppress", "--everything", "--reason", "x"],
            2,
            "--until",
        ),
        (&["alerts", "list", "--kind", "beakoning"], 2, "beaconing"),
        (&["alerts", "unsuppress", "7"], 2, "no suppression 7"),
        (&["hosts", "192.0.2.77"], 1, "no such host"),
    ] {
        let output = run(folder.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), said.lines().count()),
            (Some(code), 1),
            "{arguments:?}: {said}"
        );
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    until(&path, |reader| {
        (reader.counts().ok()?.hosts == 3).then_some(())
    });
    assert!(ask(&["hosts"]).contains("10.0.0.8"));
    assert!(ask(&["hosts", "10.0.0.8"]).contains("tcp/443 (2)"));
    assert!(
        ask(&["flows", "--host", "10.0.0.8", "--format", "csv"])
            .lines()
            .count()
            == 3
    );
    assert!(ask(&["top", "hosts", "--by", "flows"]).contains("10.0.0.1"));
    sensor.keeping.end();
}
