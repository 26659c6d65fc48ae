//! The page as a browser gets it, with strings that somebody hostile chose.

use super::*;
use crate::{
    intel::Match,
    score::{Severity, Stage},
    sink::alert::{Alert, Seen, Source, Technique, Why, WorstFlow},
};

const EVIL: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>\u{202e}\u{1b}[2J&amp;";

fn alert() -> Alert {
    let evil = || EVIL.to_owned();
    Alert {
        id: "00".to_owned(),
        stage: Stage::Over,
        source: Source::Flows,
        kind: evil(),
        severity: Severity::Critical,
        host: evil(),
        role: evil(),
        sentence: evil(),
        techniques: vec![Technique {
            id: evil(),
            name: evil(),
        }],
        p_value: Some(1e-9),
        evidence: 11.0,
        first_ns: 1_700_000_000_000_000_000,
        last_ns: 1_700_000_060_000_000_000,
        count: 12,
        anomalous: 3,
        failed: 1,
        packets: 100,
        sent_bytes: 1000,
        received_bytes: 2000,
        peers: Seen {
            distinct: 3,
            exact: true,
            top: vec![(evil(), 2)],
        },
        ports: Seen {
            distinct: 30,
            exact: false,
            top: vec![("22".to_owned(), 12)],
        },
        protocol: 6,
        flow: Some(WorstFlow {
            id: evil(),
            community_id: evil(),
            src_ip: "192.0.2.1".parse().expect("address"),
            src_port: 1,
            dst_ip: "2001:db8::1".parse().expect("address"),
            dst_port: 22,
            protocol: 6,
            start_ns: 0,
            end_ns: 0,
            packets: [1, 2],
            bytes: [3, 4],
            score: 0.7,
            p_value: 1e-4,
            reasons: vec![
                Why {
                    feature: evil(),
                    value: Some(9e9),
                    weight: Some(0.5),
                    low: Some(0.0),
                    median: Some(1.0),
                    high: Some(2.0),
                    words: evil(),
                },
                Why {
                    feature: evil(),
                    value: None,
                    weight: None,
                    low: None,
                    median: None,
                    high: None,
                    words: evil(),
                },
            ],
        }),
        bundle: Some(evil()),
        model: evil(),
        coverage: 0.999,
        intel: vec![Match {
            subject: evil(),
            list: evil(),
            entry: "x".to_owned(),
            label: evil(),
            source: evil(),
            confidence: Some(5),
        }],
    }
}

fn hostile() -> Report {
    let evil = || EVIL.to_owned();
    let sum = Sum {
        name: evil(),
        flows: 2,
        anomalous: 1,
        sent: 3,
        received: 4,
    };
    Report {
        created_by: evil(),
        inputs: vec![evil()],
        headline: evil(),
        summary: vec![evil()],
        warnings: vec![evil()],
        window_ns: Some([1, 2]),
        seconds: 60.0,
        flows: 2,
        incidents: vec![alert()],
        incidents_more: 7,
        timeline: Timeline {
            start_ns: 1_700_000_000_000_000_000,
            slot_ns: 1_000_000_000,
            slots: vec![
                Slot {
                    flows: 2,
                    anomalous: 1,
                    bytes: 10
                };
                60
            ],
        },
        scores: vec![0, 5, 1],
        threshold: Some(0.5),
        services: vec![sum.clone()],
        talkers: vec![sum.clone()],
        pairs: vec![sum],
        top: vec![TopFlow {
            id: evil(),
            community_id: evil(),
            cells: vec![evil(); 11],
            reasons: vec![evil()],
        }],
        ledger: vec![Entry {
            name: evil(),
            packets: 1,
            is_loss: true,
        }],
        packets: 1,
        completeness: 1.0,
        missing: vec![(evil(), 0.25)],
        logs: vec![evil()],
        model: ModelFacts {
            digest: evil(),
            learned: evil(),
            facts: vec![(evil(), evil())],
        },
        ..Report::default()
    }
}

fn page(report: &Report) -> String {
    let mut out = Vec::new();
    write(&mut out, report).expect("memory");
    String::from_utf8(out).expect("UTF-8")
}

/// Tags of a page, as a browser would find them: what stands between `<` and `>`.
fn tags(page: &str) -> Vec<&str> {
    page.split('<')
        .skip(1)
        .map(|rest| rest.split('>').next().unwrap_or_default())
        .collect()
}

#[test]
fn hostile_text_stays_text() {
    let page = page(&hostile());
    for tag in tags(&page) {
        let name = tag
            .trim_start_matches('/')
            .split([' ', '\n'])
            .next()
            .unwrap_or_default();
        assert!(
            !matches!(
                name,
                "script" | "img" | "iframe" | "object" | "link" | "form"
            ),
            "<{tag}>"
        );
        // Names of attributes: what stands outside of quotes. Within them text is text.
        let names: String = tag.split('"').step_by(2).collect();
        assert!(
            !names.contains(" on") && !names.contains(" style="),
            "<{tag}>"
        );
        if let Some(target) = tag.split("href=\"").nth(1) {
            assert!(target.starts_with('#'), "<{tag}>");
        }
    }
    assert!(page.matches("&lt;script&gt;").count() > 20);
    assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'));
    // Nothing is loaded: no address of anything but names of name spaces, of which there are none.
    assert!(
        !page.contains("http://") && !page.contains("https://") && !page.contains("url("),
        "an address"
    );
    assert!(!page.contains("NaN") && !page.contains("inf\""));
}

#[test]
fn the_style_that_is_allowed_is_the_style_there_is() {
    use sha2::{Digest as _, Sha256};
    let page = page(&Report::default());
    let style = page
        .split("<style>")
        .nth(1)
        .and_then(|rest| rest.split("</style>").next())
        .expect("a style");
    let allowed = page
        .split("'sha256-")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .expect("a digest");
    // As the browser does: the digest of what stands between the tags, decoded by other code than it was coded by.
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = String::new();
    for letter in allowed.trim_end_matches('=').chars() {
        bits.push_str(&format!("{:06b}", digits.find(letter).expect("a digit")));
    }
    let decoded: Vec<u8> = bits
        .as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).expect("bits"), 2).expect("bits"))
        .collect();
    assert_eq!(decoded, Sha256::digest(style.as_bytes()).to_vec());
}

#[test]
fn tags_that_open_close() {
    for report in [hostile(), Report::default()] {
        let page = page(&report);
        let mut open: Vec<&str> = Vec::new();
        for tag in tags(&page) {
            let name = tag
                .trim_start_matches('/')
                .split([' ', '\n', '/'])
                .next()
                .unwrap_or_default();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "</{name}>");
            } else if !tag.ends_with('/') && !matches!(name, "!doctype" | "meta") {
                open.push(name);
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }
}

#[test]
fn the_json_is_the_report() {
    let report = hostile();
    let mut text = Vec::new();
    write_json(&mut text, &report).expect("memory");
    let read: Report = serde_json::from_slice(&text).expect("our own");
    assert_eq!(read, report);
}
