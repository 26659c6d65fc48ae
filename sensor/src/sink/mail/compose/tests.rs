//! How mails read, and what hostile texts make of them.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;
use crate::sink::notify::tests::{alert, hostile};

fn author() -> Author {
    Author {
        from: "Sensor <sensor@example.org>".parse().unwrap(),
        to: vec![
            "soc@example.org".parse().unwrap(),
            "Night <n@example.org>".parse().unwrap(),
        ],
        sensor: "edge-1".to_owned(),
    }
}

fn letter(alert: Alert) -> Letter {
    Letter {
        first: alert.severity,
        alert,
    }
}

/// Names and values of the headers of the mail itself, unfolded.
fn headers(mail: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(mail).expect("a mail of ASCII");
    let (head, _) = text.split_once("\r\n\r\n").expect("headers end");
    let mut found: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        assert!(!line.contains(['\r', '\n']), "{line:?}");
        if let Some(rest) = line.strip_prefix([' ', '\t']) {
            found.last_mut().unwrap().1 += rest;
        } else {
            let (name, value) = line.split_once(": ").expect("a header");
            found.push((name.to_owned(), value.to_owned()));
        }
    }
    found
}

fn value(mail: &[u8], name: &str) -> Option<String> {
    let found = headers(mail).into_iter().find(|(known, _)| known == name)?;
    Some(found.1)
}

#[test]
fn mails_read_as_kept() {
    let (author, notice) = (author(), Notice::from(&alert()));
    for (name, text) in [
        ("mail.txt", text(&author, &notice, "3f9a1c2b4d5e6f70")),
        ("mail.html", page(&author, &notice, "3f9a1c2b4d5e6f70")),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(name);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == text,
            "{} differs; rewrite it with:\n  UPDATE=1 cargo test -p sensor --lib mails_read_as_kept",
            path.display()
        );
    }
}

#[test]
fn mails_on_one_incident_are_one_thread() {
    let (author, first) = (author(), letter(alert()));
    let mut again = first.clone();
    again.alert.stage = Stage::Grown;
    again.alert.count *= 4;
    let [first, grown] = [&first, &again].map(|letter| single(&author, letter).unwrap());
    let root = value(&first, "Message-ID").unwrap();
    assert_eq!(root, "<3f9a1c2b4d5e6f70.edge-1@example.org>");
    assert_eq!(value(&first, "In-Reply-To"), None);
    assert_eq!(value(&grown, "In-Reply-To").as_ref(), Some(&root));
    assert_eq!(value(&grown, "References").as_ref(), Some(&root));
    assert_ne!(value(&grown, "Message-ID"), Some(root));
    let subject = value(&first, "Subject").unwrap();
    assert_eq!(subject, "[critical] port scan (vertical): 192.0.2.99");
    assert_eq!(value(&grown, "Subject"), Some(format!("Re: {subject}")));
    assert_eq!(
        value(&first, "Auto-Submitted").as_deref(),
        Some("auto-generated")
    );
}

#[test]
fn a_digest_tells_each_incident_once() {
    let mut letters = Vec::new();
    for number in 0..120_u64 {
        let mut alert = alert();
        alert.id = format!("{:016x}", number % 80);
        alert.count = number;
        alert.severity = Severity::ALL[(1 + number % 80 % 4) as usize];
        letters.push(letter(alert));
    }
    let mail = digest(&author(), &letters).unwrap();
    assert_eq!(
        value(&mail, "Subject").as_deref(),
        Some("[critical] 80 incidents: 20 critical, 20 high, 20 medium, 20 low")
    );
    let text = String::from_utf8(mail.clone()).unwrap();
    assert!(text.contains("and 30 more"));
    assert_eq!(
        digest(&author(), &letters)
            .map(|again| value(&again, "Message-ID"))
            .unwrap(),
        value(&mail, "Message-ID")
    );
}

const HEADERS: [&str; 14] = [
    "From",
    "To",
    "Subject",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Date",
    "MIME-Version",
    "Content-Type",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "X-Anomaly-Detect-Severity",
    "Importance",
    "User-Agent",
];

fn check(text: &str, stage: Stage) {
    let alert = Alert {
        stage,
        ..hostile(text)
    };
    let letters = [letter(alert.clone()), letter(alert)];
    for mail in [
        single(&author(), &letters[0]).unwrap(),
        digest(&author(), &letters).unwrap(),
    ] {
        assert!(mail.is_ascii());
        assert!(
            mail.split(|byte| *byte == b'\n')
                .all(|line| line.len() < 998)
        );
        let mut names: Vec<_> = headers(&mail).into_iter().map(|(name, _)| name).collect();
        assert!(
            names.iter().all(|name| HEADERS.contains(&name.as_str())),
            "{names:?}"
        );
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "a header twice");
        let id = value(&mail, "Message-ID").unwrap();
        assert!(
            id.ends_with("@example.org>") && !id.contains([' ', '=']),
            "{id}"
        );
        assert_eq!(
            value(&mail, "To").unwrap(),
            "soc@example.org, Night <n@example.org>"
        );
        let whole = String::from_utf8(mail).unwrap();
        assert_eq!(
            whole.matches("Content-Type: multipart/alternative").count(),
            1
        );
        assert_eq!(whole.matches("\r\nContent-Transfer-Encoding: ").count(), 2);
    }
}

#[test]
fn hostile_texts_inject_nothing() {
    for text in [
        "x\r\nBcc: victim@example.com\r\n\r\nbody",
        "x\nBcc: victim@example.com",
        "=?utf-8?q?=0d=0aBcc:_victim=40example.com?=",
        "\r\n.\r\nMAIL FROM:<x@y.z>\r\n",
        "--boundary--\r\nContent-Type: text/html\r\n\r\n<script>",
        "\0\u{1}\u{7f}\u{85}\u{2028}",
        &"long".repeat(3000),
        &"ä".repeat(3000),
        "",
        ">",
        "a..b",
    ] {
        check(text, Stage::New);
        check(text, Stage::Grown);
    }
    let page = page(
        &author(),
        &Notice::from(&hostile("<img src=x onerror=alert(1)>\" '")),
        "id",
    );
    assert!(!page.contains("<img") && page.contains("&lt;img"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_text_injects_a_header(text in r#"([\r\n:=?<>@. \t-]|Bcc: |=\?utf-8\?|[a-z]|\PC|[\x00-\x1f]){0,80}"#) {
        check(&text, Stage::Grown);
    }
}
