//! A real browser, where there is one: every view is drawn, says nothing on the console, and asks nobody else.

use std::{fs, process::Command};

use super::{program, server::Server};

/// View, and words that stand there once it is drawn.
const VIEWS: [(&str, &str); 9] = [
    ("overview", "Open incidents"),
    ("incidents", "Acknowledge"),
    ("time", "Flows by hour of the week"),
    ("topology", "Suspicious pairs"),
    ("attacks", "Services aimed at"),
    ("intel", "Top attackers"),
    ("hosts", "Rarest flow"),
    ("data", "Features that tell anomalous flows apart"),
    ("flows", "As rare as"),
];

pub(crate) fn opens_every_view(server: &Server) {
    let Some(chromium) = program::find("chromium") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    for (view, words) in VIEWS {
        let log = folder.path().join(format!("{view}.json"));
        let output = Command::new(&chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args([
                "--enable-logging=stderr",
                "--virtual-time-budget=4000",
                "--dump-dom",
            ])
            .arg(format!(
                "--user-data-dir={}",
                folder.path().join("profile").display()
            ))
            .arg(format!("--log-net-log={}", log.display()))
            .arg(format!("http://{}/#/{view}", server.address))
            .output()
            .expect("the browser starts");
        let page = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            page.contains(words),
            "{view}: `{words}` is not there\n{said}\n{page}"
        );
        let console: Vec<_> = said
            .lines()
            .filter(|line| line.contains(":CONSOLE"))
            .collect();
        assert!(console.is_empty(), "{view}: {console:#?}");
        let network = fs::read_to_string(&log).unwrap_or_default();
        let asked = network
            .match_indices("\"url\":\"")
            .filter_map(|(at, found)| network[at + found.len()..].split('"').next());
        let own = format!("http://{}/", server.address);
        let mut count = 0;
        for url in asked {
            assert!(url.starts_with(&own), "{view}: asked {url}");
            count += 1;
        }
        assert!(count > 5, "{view}: the log of requests holds {count}");
    }
}
