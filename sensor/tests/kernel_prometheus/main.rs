//! A live sensor, a real Prometheus that scrapes it, a real Alertmanager, and a receiver of webhooks, with the configuration,
//! rules and boards that are delivered. They live in a network namespace of their own, so ports are theirs alone.
//!
//! ```text
//! namespace a                    namespace b
//! clients, attacker ── veth ──── services, sensor on veth-b ── 127.0.0.1:9477
//!                                Prometheus 127.0.0.1:9090 ── Alertmanager 127.0.0.1:9093 ── receiver
//! ```
#![cfg(target_os = "linux")]

use std::{
    collections::BTreeSet,
    fs,
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::Value;

#[path = "../kernel_capture/netns.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod netns;
#[path = "../support/program.rs"]
mod program;
mod queries;
mod scene;
mod traffic;

use netns::pause;
use scene::Scene;

/// Bound against hanging; what is measured is printed.
const LONGEST: Duration = Duration::from_secs(300);

/// Waits until it has something to say.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < LONGEST, "not in {LONGEST:?}: {what}");
        pause(Duration::from_millis(200));
    }
}

/// The alert about an incident of this kind, as the receiver got it, and how long that took.
fn alerted(scene: &Scene, kind: &str, since: Instant) -> Value {
    loop {
        let left = LONGEST.saturating_sub(since.elapsed());
        let (came, body) = scene
            .receiver
            .recv_timeout(left)
            .unwrap_or_else(|_| panic!("no alert about {kind} came"));
        let body: Value = serde_json::from_str(&body).expect("a webhook's body is JSON");
        let alerts = body["alerts"].as_array().expect("alerts");
        let wanted = alerts.iter().find(|alert| {
            alert["labels"]["alertname"] == "AnomalyDetectIncident"
                && alert["labels"]["kind"] == kind
                && alert["status"] == "firing"
        });
        if let Some(alert) = wanted {
            println!(
                "{kind}: {} ms from its first packet to the webhook of Alertmanager ({})",
                came.duration_since(since).as_millis(),
                alert["labels"]["severity"]
            );
            return alert.clone();
        }
    }
}

/// An attack in live traffic arrives where people are told; and whatever boards and rules ask for is there.
#[test]
#[ignore = "kernel: needs root"]
fn attacks_arrive_through_prometheus_and_alertmanager_and_every_query_has_data() {
    let Some(scene) = Scene::begin() else {
        return;
    };
    traffic::ordinary(&scene.pair, || {
        // Learned, and looked once at what has drifted: then there is nothing that the sensor does not show.
        until("the sensor learns, and Prometheus sees it", || {
            let learned = scene.query(
                "min(anomaly_detect_learning_ratio) == 1 and on () anomaly_detect_drift_distance",
            );
            (!learned.is_empty()).then_some(())
        });
        until("Prometheus knows its Alertmanager", || {
            let known = scene.get(scene::PROMETHEUS, "/api/v1/alertmanagers");
            let active = known["data"]["activeAlertmanagers"].as_array()?.len();
            (active == 1).then_some(())
        });
        let early: Vec<String> = scene.receiver.try_iter().map(|(_, body)| body).collect();
        for kind in ["port scan (vertical)", "password guessing"] {
            assert!(!early.iter().any(|body| body.contains(kind)), "{early:?}");
        }

        let begun = Instant::now();
        traffic::scan(&scene.pair);
        let alert = alerted(&scene, "port scan (vertical)", begun);
        let url = alert["annotations"]["runbook_url"]
            .as_str()
            .expect("a link");
        let page = url
            .strip_prefix("http://127.0.0.1:9477")
            .expect("to the sensor itself");
        let runbook = scene.page(scene::SENSOR, page);
        assert!(
            runbook.starts_with("# AnomalyDetectIncident\n"),
            "{runbook}"
        );

        let begun = Instant::now();
        traffic::guess_passwords(&scene.pair);
        alerted(&scene, "password guessing", begun);

        scene.rules_are_healthy();
        every_query_has_data(&scene);
        let series = scene.query("scrape_samples_scraped{job=\"anomaly-detect\"}");
        println!("series that the sensor shows: {}", series[0]);
    });
}

/// Asks everything that boards and rules ask, until all of it has an answer. A recorded series has one after its rule
/// was evaluated twice, 15 s apart as delivered, with two scrapes before.
fn every_query_has_data(scene: &Scene) {
    let mut silent: BTreeSet<(String, String)> = queries::of_boards();
    // A rule that is quiet answers nothing; what it looks at must be there.
    for (rule, query) in scene.rules() {
        for selector in queries::selectors(&query) {
            silent.insert((rule.clone(), selector));
        }
    }
    let asked = silent.len();
    assert!(asked > 100, "queries are found: {asked}");
    let begun = Instant::now();
    loop {
        silent.retain(|(_, query)| !scene.query(query).iter().any(|value| value.is_finite()));
        if silent.is_empty() {
            break;
        }
        let list: Vec<String> = silent
            .iter()
            .map(|(place, query)| format!("{place}: {query}"))
            .collect();
        assert!(
            begun.elapsed() < LONGEST,
            "without data for {LONGEST:?}:\n  {}",
            list.join("\n  ")
        );
        pause(Duration::from_millis(500));
    }
    println!(
        "{asked} queries of boards and rules asked, all with data after {} ms",
        begun.elapsed().as_millis()
    );
}

/// Whether something answers there; for tests' own namespaces.
fn answers(address: &str) -> bool {
    address
        .parse()
        .is_ok_and(|address| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
}

/// What is delivered, where it lies.
fn delivered(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
