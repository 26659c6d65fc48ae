//! EVE: every line fits a schema in which nothing is allowed that Suricata's own does not know, and readers join on.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use sensor::sink::{
    eve::{Eve, Events},
    message::Message,
    outlet::Encode,
};

use crate::{messages, python, told};

const CHECK: &str = r#"
import collections, json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
kinds, wrong = collections.Counter(), []
for number, line in enumerate(open(sys.argv[2]), 1):
    event = json.loads(line)
    kinds[event["event_type"]] += 1
    for error in validator.iter_errors(event):
        wrong.append(f"line {number}: {'/'.join(map(str, error.absolute_path))}: {error.message}")
assert not wrong, "\n".join(wrong[:10])
# The schema can fail: a key that Suricata does not have, a time of another form.
for key, value in [("nonsense", 1), ("timestamp", "2026-11-21T15:00:00Z"), ("flow_id", "a"), ("event_type", "fun")]:
    assert list(validator.iter_errors(event | {key: value})), key
print("checked", json.dumps(kinds))
"#;

#[test]
fn every_line_fits_the_schema() {
    let Some(python) = python::with(&["jsonschema"]) else {
        return;
    };
    let (flows, alerts) = told();
    let mut eve = Eve(Events {
        alert: true,
        anomaly: true,
        flow: true,
    });
    let mut lines = Vec::new();
    for message in messages(&flows) {
        eve.encode(&message, &mut lines);
    }
    for alert in alerts {
        eve.encode(&Message::Alert(Arc::new(alert)), &mut lines);
    }
    let events = |kind: &str| {
        let word = format!("\"event_type\":\"{kind}\"");
        let all = lines.iter().map(|line| String::from_utf8_lossy(line));
        all.filter(|line| line.contains(&word)).count()
    };
    assert_eq!(events("flow"), flows.len());
    let anomalous = flows
        .iter()
        .filter(|flow| flow.verdict.as_ref().is_some_and(|it| it.anomalous));
    assert_eq!(events("anomaly"), anomalous.count());
    assert!(
        events("alert") >= 9,
        "three planted attacks, each told three times"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("eve.json");
    fs::write(&path, lines.concat()).expect("a file");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export_files/eve.schema.json");
    println!("{}", python::run(&python, CHECK, &[&schema, &path]));
    if let Some(keep) = std::env::var_os("KEEP_EVE") {
        fs::copy(&path, keep).expect("a copy");
    }
    let ids: BTreeSet<u64> = flows.iter().map(|flow| flow.record.id >> 11).collect();
    assert_eq!(ids.len(), flows.len(), "53 bits tell these flows apart");
}
