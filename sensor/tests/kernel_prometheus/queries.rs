//! What boards and rules ask of Prometheus.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::delivered;

const BOARDS: [&str; 5] = ["overview", "traffic", "anomalies", "model", "capture"];

/// Panel and query of each, variables replaced as Grafana does for all sensors.
pub(crate) fn of_boards() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for board in BOARDS {
        let text = delivered(&format!("grafana/dashboards/{board}.json"));
        let json: Value = serde_json::from_str(&text).expect("a board is JSON");
        let before = found.len();
        collect(&json, board, &mut found);
        assert!(found.len() > before, "{board} asks for nothing");
    }
    found
}

/// Every `expr` below `at`, with the title above it; also of panels in rows and of annotations.
fn collect(at: &Value, title: &str, found: &mut BTreeSet<(String, String)>) {
    match at {
        Value::Object(fields) => {
            let title = match fields.get("title").and_then(Value::as_str) {
                Some(own) => format!("{}: {own}", title.split(':').next().unwrap_or(title)),
                None => title.to_owned(),
            };
            if let Some(query) = fields.get("expr").and_then(Value::as_str) {
                found.insert((title.clone(), replaced(query)));
            }
            for value in fields.values() {
                collect(value, &title, found);
            }
        }
        Value::Array(values) => {
            for value in values {
                collect(value, title, found);
            }
        }
        _ => {}
    }
}

fn replaced(query: &str) -> String {
    let query = query
        .replace("$__rate_interval", "1m")
        .replace("$__range", "1h")
        .replace("$instance", ".*");
    assert!(
        !query.contains('$'),
        "a variable is not known here: {query}"
    );
    query
}

/// Each metric with its labels that a query looks at.
pub(crate) fn selectors(query: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(begin) = rest.find(is_name) {
        rest = &rest[begin..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        let ours = name.contains("anomaly_detect_") || name.starts_with("process_") || name == "up";
        if !ours {
            // The labels of an aggregation, words of the language, and texts in quotes.
            if let Some(text) = after.strip_prefix('"') {
                rest = text;
            }
            continue;
        }
        let labels = after.starts_with('{').then(|| after.find('}')).flatten();
        let labels = labels.map_or("", |end| &after[..=end]);
        found.push(format!("{name}{labels}"));
        rest = &after[labels.len()..];
    }
    found
}

#[test]
fn selectors_are_found_with_their_labels() {
    let query = "sum by (job, instance) (rate(anomaly_detect_packets_total{verdict=~\"overflow_.*\"}[5m])) \
                 / instance:anomaly_detect_packets_seen:rate5m > 0.1 unless absent(up{job=\"x\"}) == 0";
    assert_eq!(
        selectors(query),
        [
            "anomaly_detect_packets_total{verdict=~\"overflow_.*\"}",
            "instance:anomaly_detect_packets_seen:rate5m",
            "up{job=\"x\"}"
        ]
    );
}
