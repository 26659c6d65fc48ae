//! What is delivered for Prometheus, Alertmanager and Grafana fits together: metrics that exist, an alert with a runbook and with
//! cases in which it fires and does not, a board whose queries carry units and lead to runbooks that exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use sensor::{
    logs,
    metrics::{Kind, METRICS, RUNBOOKS},
    score::{Kind as Kinds, Severity},
};
use serde_json::Value;

use super::{Text, expect_none, root, texts};

/// A rule that alerts, with its lines.
struct Alert {
    place: String,
    name: String,
    body: String,
}

/// Rules, in the form in which ours are written: one key a line.
fn alerts() -> Vec<Alert> {
    let mut found = Vec::new();
    for text in texts("deploy/prometheus/rules", "yml") {
        let mut rules = text.text.split("\n      - ");
        rules.next();
        for rule in rules {
            if let Some(rest) = rule.strip_prefix("alert: ") {
                let name = rest.lines().next().unwrap_or_default().to_owned();
                found.push(Alert {
                    place: format!("{}: {name}", text.path),
                    name,
                    body: rule.to_owned(),
                });
            }
        }
    }
    assert!(found.len() > 20, "rules are read: {}", found.len());
    found
}

/// Names that recording rules give.
fn recorded() -> BTreeSet<String> {
    texts("deploy/prometheus/rules", "yml")
        .iter()
        .flat_map(|text| text.text.lines())
        .filter_map(|line| line.trim().strip_prefix("- record: "))
        .map(str::to_owned)
        .collect()
}

/// Every name in `text` that is one of ours or made of ours.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.contains("anomaly_detect_"))
        .map(|word| word.trim_end_matches(':'))
        .collect()
}

fn is_known(name: &str, recorded: &BTreeSet<String>) -> bool {
    METRICS.iter().any(|metric| {
        metric.name == name
            || matches!(metric.kind, Kind::Histogram(_))
                && ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|end| name.strip_suffix(end) == Some(metric.name))
    }) || recorded.contains(name)
}

/// Rules, their tests, boards and runbooks name only metrics that there are, under their whole name.
#[test]
fn deployed_metrics_are_declared() {
    let recorded = recorded();
    let mut all: Vec<Text> = texts("docs/runbooks", "md");
    for extension in ["yml", "yaml", "json"] {
        all.extend(texts("deploy", extension));
    }
    let mut findings = Vec::new();
    for text in &all {
        for name in names(&text.text) {
            if !is_known(name, &recorded) {
                findings.push(format!("{}: {name}", text.path));
            }
        }
    }
    expect_none(&findings, "A metric is named that there is not.");
}

#[test]
fn every_alert_says_what_it_is_and_what_to_do() {
    let pages: BTreeMap<&str, &str> = RUNBOOKS.iter().copied().collect();
    let alerts = alerts();
    let mut findings = Vec::new();
    for alert in &alerts {
        for key in ["summary: '", "description: '"] {
            if !alert.body.contains(key) {
                findings.push(format!("{}: no {key}", alert.place));
            }
        }
        if !["critical", "warning", "info"]
            .iter()
            .any(|severity| alert.body.contains(&format!("severity: {severity}\n")))
        {
            findings.push(format!("{}: no severity", alert.place));
        }
        let leads = alert.body.contains(&format!("/runbooks/{}", alert.name));
        match pages.get(alert.name.as_str()) {
            Some(page) if leads => {
                if !page.starts_with(&format!("# {}\n", alert.name)) || !page.contains("\n## ") {
                    findings.push(format!(
                        "{}: its page has no title or no steps",
                        alert.place
                    ));
                }
            }
            _ => findings.push(format!("{}: no page, or no link to it", alert.place)),
        }
    }
    for text in texts("docs/runbooks", "md") {
        let name = text.path.rsplit('/').next().unwrap_or_default();
        let name = name.trim_end_matches(".md");
        if !alerts.iter().any(|alert| alert.name == name) {
            findings.push(format!("{}: no alert of that name", text.path));
        }
        if !pages.contains_key(name) {
            findings.push(format!("{}: not in metrics/runbooks.rs", text.path));
        }
    }
    expect_none(&findings, "An alert and its runbook do not fit.");
}

/// A rule that no case makes fire, or none keeps quiet, is not tested.
#[test]
fn every_alert_has_cases_in_which_it_fires_and_does_not() {
    let cases = texts("deploy/prometheus/tests", "yml");
    let mut findings = Vec::new();
    for alert in alerts() {
        let asked = format!("        alertname: {}\n", alert.name);
        let answers: Vec<&str> = cases
            .iter()
            .flat_map(|text| text.text.split(&asked).skip(1))
            .collect();
        if !answers
            .iter()
            .any(|rest| rest.starts_with("        exp_alerts:\n"))
        {
            findings.push(format!("{}: never fires", alert.place));
        }
        if !answers
            .iter()
            .any(|rest| rest.starts_with("        exp_alerts: []\n"))
        {
            findings.push(format!("{}: is never quiet", alert.place));
        }
    }
    expect_none(&findings, "An alert is not tested.");
}

/// What can be told can be counted: a kind that the metric does not know would be an alert that Prometheus never sees.
#[test]
fn every_kind_of_incident_is_counted() {
    let metric = METRICS
        .iter()
        .find(|metric| metric.name == "anomaly_detect_alerts_told_total")
        .expect("it is declared");
    let label = |name: &str| {
        let label = metric.labels.iter().find(|label| label.name == name);
        label.expect(name).values
    };
    let kinds = Kinds::ALL.iter().map(|kind| kind.name());
    for kind in kinds.chain(logs::Kind::ALL.iter().map(|kind| kind.name())) {
        assert!(label("kind").contains(&kind), "{kind} is not declared");
    }
    for severity in &Severity::ALL[1..] {
        assert!(label("severity").contains(&severity.name()));
    }
}

/// Boards can be imported, say what each panel means, and lead to runbooks that exist.
#[test]
fn boards_are_whole() {
    let boards = texts("deploy/grafana/dashboards", "json");
    assert_eq!(boards.len(), 5, "five boards");
    let mut uids = BTreeSet::new();
    let mut findings = Vec::new();
    for board in &boards {
        let json: Value = serde_json::from_str(&board.text)
            .unwrap_or_else(|error| panic!("{}: {error}", board.path));
        let uid = json["uid"].as_str().unwrap_or_default().to_owned();
        if uid.is_empty() || uid.len() > 40 || !uids.insert(uid) {
            findings.push(format!("{}: uid", board.path));
        }
        if !json["id"].is_null() {
            findings.push(format!("{}: an id is of one Grafana only", board.path));
        }
        let variables = json["templating"]["list"].as_array().expect("variables");
        let has = |kind: &str| variables.iter().any(|variable| variable["type"] == kind);
        if !has("datasource") || !has("query") {
            findings.push(format!("{}: no variable for the data source", board.path));
        }
        let mut ids = BTreeSet::new();
        for panel in json["panels"].as_array().expect("panels") {
            let place = format!("{}: {}", board.path, panel["title"]);
            if !ids.insert(panel["id"].as_u64()) {
                findings.push(format!("{place}: its number is another's"));
            }
            if panel["type"] == "row" {
                continue;
            }
            let right = |condition: bool, what: &str, findings: &mut Vec<String>| {
                if !condition {
                    findings.push(format!("{place}: {what}"));
                }
            };
            let defaults = &panel["fieldConfig"]["defaults"];
            right(defaults["unit"].is_string(), "no unit", &mut findings);
            right(
                defaults["thresholds"].is_object(),
                "no thresholds",
                &mut findings,
            );
            let about = panel["description"].as_str().unwrap_or_default();
            right(about.ends_with('.'), "no description", &mut findings);
            let targets = panel["targets"].as_array().expect("queries");
            right(!targets.is_empty(), "no query", &mut findings);
            for source in targets
                .iter()
                .chain([panel])
                .map(|at| &at["datasource"]["uid"])
            {
                right(
                    source == "${datasource}",
                    "another data source",
                    &mut findings,
                );
            }
            for link in panel["links"].as_array().into_iter().flatten() {
                let url = link["url"].as_str().unwrap_or_default();
                let page = url.strip_prefix("${runbooks}/").unwrap_or("elsewhere");
                let exists = root()
                    .join("docs/runbooks")
                    .join(format!("{page}.md"))
                    .exists();
                right(exists, url, &mut findings);
            }
        }
    }
    expect_none(&findings, "A board is not whole.");
}

/// The interval that Grafana is told is the one Prometheus is told: `$__rate_interval` rests on it.
#[test]
fn grafana_knows_how_often_prometheus_looks() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect(path);
    let value = |text: &str, key: &str| {
        text.lines()
            .find_map(|line| Some(line.trim().strip_prefix(key)?.trim().to_owned()))
            .unwrap_or_else(|| panic!("{key}"))
    };
    let scrapes = value(
        &read("deploy/prometheus/prometheus.yml"),
        "scrape_interval:",
    );
    let told = value(
        &read("deploy/grafana/provisioning/datasources/prometheus.yml"),
        "timeInterval:",
    );
    assert_eq!(scrapes, told);
}
