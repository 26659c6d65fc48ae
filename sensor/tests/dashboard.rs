//! The dashboard as a browser and as an attacker meet it: the program itself serves what it stored, over a socket.

#[path = "dashboard/browser.rs"]
mod browser;
mod cli_support;
#[path = "dashboard/devtools.rs"]
mod devtools;
#[path = "support/program.rs"]
mod program;
#[path = "cli_support/scene.rs"]
mod scene;
#[path = "dashboard/server.rs"]
mod server;

use std::{fs, path::Path};

use serde_json::Value;
use server::{Server, stored};

const READING: [&str; 11] = [
    "overview",
    "time",
    "topology",
    "attacks",
    "intel",
    "hosts",
    "data",
    "flows",
    "incidents",
    "suppressions",
    "session",
];

/// A whole evening in one test: starting the program costs more than asking it.
#[test]
fn what_was_stored_is_served_and_only_to_our_own_page() {
    let folder = stored();
    let server = Server::start(folder.path(), &[]);

    // Everything that is read is there, adds up, and says of itself what a browser needs to know.
    for name in READING {
        let answer = server.get(&format!("/api/v1/{name}"));
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        answer.json();
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
    }
    let overview = server.get("/api/v1/overview").json();
    let flows = overview["totals"]["flows"].as_u64().expect("a number");
    let lines = fs::read_to_string(folder.path().join("predictions.csv")).expect("predictions");
    assert_eq!(
        flows,
        lines.lines().count() as u64 - 1,
        "every flow that ended is in the sums"
    );
    let in_mix: u64 = overview["protocols"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row[1].as_u64().expect("a number"))
        .sum();
    assert_eq!(in_mix, flows);
    let incidents = server.get("/api/v1/incidents").json();
    let first = &incidents["incidents"][0];
    assert!(
        first["sentence"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{incidents}"
    );

    // What an incident says leads to its flows, and a flow to its reasons.
    let id = first["id"].as_str().expect("an id");
    let one = server.get(&format!("/api/v1/incident?id={id}")).json();
    assert_eq!(one["alert"]["id"], *id);
    let behind = server.get(&format!("/api/v1/flows?incident={id}")).json();
    assert!(behind["count"].as_u64() > Some(0), "{behind}");
    let flow = behind["flows"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        server.get(&format!("/api/v1/flow?id={flow}")).json()["id"],
        *flow
    );
    let host = first["host"].as_str().expect("a host");
    assert_eq!(
        server.get(&format!("/api/v1/host?host={host}")).json()["host"]["host"],
        *host
    );

    // What makes no sense is an answer too, and never a crash.
    for (path, status) in [
        ("/api/v1/flows?port=99999", 400),
        ("/api/v1/flows?host=10.0.0.1/8", 400),
        ("/api/v1/incidents?state=asleep", 400),
        ("/api/v1/incident?id=0123", 404),
        ("/api/v1/feature?name=%3Cscript%3E", 404),
        ("/api/v1/nothing", 404),
        ("/assets/../Cargo.toml", 404),
        ("/api/v1/overview?window=99999999999999999999", 400),
        (
            "/api/v1/overview?from=-9223372036854775808&to=9223372036854775807",
            200,
        ),
    ] {
        assert_eq!(server.get(path).status, status, "{path}");
    }

    // Names that others can point here, and pages of others.
    for host in ["evil.example", "127.0.0.1.evil.example", "", "192.0.2.1"] {
        let answer = server.ask("GET", "/api/v1/overview", &[("host", host)], "");
        assert_eq!(answer.status, 421, "{host}");
        assert!(!answer.body.contains("flows"));
    }
    let act = format!(r#"{{"act":"acknowledge","ids":["{id}"],"note":"seen <script>"}}"#);
    let json = ("content-type", "application/json");
    let forged: [&[(&str, &str)]; 5] = [
        &[json, ("origin", "http://evil.example")],
        &[json, ("origin", "null")],
        &[json, ("sec-fetch-site", "cross-site")],
        &[("content-type", "text/plain")],
        &[],
    ];
    for headers in forged {
        let answer = server.ask("POST", "/api/v1/incidents/act", headers, &act);
        assert!(
            matches!(answer.status, 403 | 415),
            "{headers:?}: {}",
            answer.status
        );
    }
    let state =
        |server: &Server| server.get(&format!("/api/v1/incident?id={id}")).json()["state"].clone();
    assert_eq!(
        state(&server),
        "open",
        "nothing that was forged did anything"
    );
    let own = format!("http://{}", server.address);
    let answer = server.ask(
        "POST",
        "/api/v1/incidents/act",
        &[json, ("origin", &own)],
        &act,
    );
    assert_eq!(
        (answer.status, answer.json()["changed"].clone()),
        (200, Value::from(1))
    );
    assert_eq!(state(&server), "acknowledged");
    let suppress = format!(r#"{{"host":"{host}","reason":"ours"}}"#);
    assert_eq!(
        server
            .ask(
                "POST",
                "/api/v1/suppressions/add",
                &[json],
                r#"{"reason":"all"}"#
            )
            .status,
        400
    );
    assert_eq!(
        server
            .ask("POST", "/api/v1/suppressions/add", &[json], &suppress)
            .status,
        200
    );
    let all = server.get("/api/v1/suppressions").json();
    assert_eq!(all["suppressions"][0]["reason"], "ours");
    assert_eq!(
        server
            .ask(
                "POST",
                "/api/v1/suppressions/add",
                &[json],
                &"x".repeat(3 << 20)
            )
            .status,
        413
    );

    browser::opens_every_view(&server);
}

#[test]
fn a_token_is_asked_for_and_no_other_word_opens() {
    let folder = stored();
    let token = "correct-horse-battery-staple";
    let file = folder.path().join("token");
    fs::write(&file, format!("{token}\n")).expect("a file");
    let server = Server::start(
        folder.path(),
        &["--set", &format!("dashboard.token_file={}", file.display())],
    );
    for name in READING.iter().filter(|name| **name != "session") {
        let answer = server.get(&format!("/api/v1/{name}"));
        assert_eq!(answer.status, 401, "{name}");
        assert_eq!(
            answer.json(),
            serde_json::json!({ "error": "a token is needed" })
        );
    }
    assert_eq!(server.get("/api/v1/session").json()["admitted"], false);
    assert_eq!(
        server.get("/api/v1/session").json()["about"],
        "",
        "not even what is shown"
    );
    assert_eq!(server.get("/").status, 200, "the page asks for the token");
    let with = |value: &str| {
        server
            .ask("GET", "/api/v1/overview", &[("authorization", value)], "")
            .status
    };
    assert_eq!(with(&format!("Bearer {token}")), 200);
    assert_eq!(with(&format!("Bearer {token}x")), 401);
    let json = ("content-type", "application/json");
    let wrong = server.ask("POST", "/api/v1/session", &[json], r#"{"token":"wrong"}"#);
    assert_eq!(
        (wrong.status, wrong.header("set-cookie")),
        (401, String::new())
    );
    let right = server.ask(
        "POST",
        "/api/v1/session",
        &[json],
        &format!(r#"{{"token":"{token}"}}"#),
    );
    let cookie = right.header("set-cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().expect("a cookie");
    assert_eq!(
        server
            .ask("GET", "/api/v1/overview", &[("cookie", pair)], "")
            .status,
        200
    );

    // Beyond loopback there is no serving without one.
    let output = cli_support::run(folder.path(), &["dashboard", ".", "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("dashboard.token_file"));
}

/// The page makes no markup of texts, asks nobody else, and has nothing inline that the policy would refuse.
#[test]
fn the_page_is_made_as_the_policy_wants_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve/assets");
    const FORBIDDEN: [&str; 13] = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "createContextualFragment",
        "DOMParser",
        "document.write",
        "srcdoc",
        "eval(",
        "Function(",
        "javascript:",
        "setAttribute('style'",
        "import('http",
        "@import",
    ];
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("there are assets").flatten() {
        let text = fs::read_to_string(entry.path()).expect("text");
        let name = entry.file_name().to_string_lossy().into_owned();
        files += 1;
        for word in FORBIDDEN {
            assert!(!text.contains(word), "{name}: {word}");
        }
        for at in ["http://", "https://"]
            .iter()
            .flat_map(|scheme| text.match_indices(scheme))
        {
            assert!(
                text[at.0..].starts_with("http://www.w3.org/2000/svg"),
                "{name}: {}",
                &text[at.0..at.0 + 30]
            );
        }
        if name.ends_with(".html") {
            for inline in ["<style", " style=", " onclick", " onload", "<script>"] {
                assert!(!text.contains(inline), "{name}: {inline}");
            }
        }
    }
    assert!(files > 15);
}
