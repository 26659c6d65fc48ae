//! A real browser, where there is one: every view is drawn at desktop and phone width, nothing is said on the console, and nobody
//! else is asked.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{devtools::DevTools, program, server::Server};

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

/// Ended when dropped.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Expects every view to be drawn, in silence.
pub(crate) fn opens_every_view(server: &Server) {
    let Some(chromium) = program::find("chromium") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(&chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            // A container may have next to nothing there.
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args(["--remote-debugging-port=0", "about:blank"])
        .arg(format!("--user-data-dir={}", folder.path().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the browser starts");
    let said = BufReader::new(child.stderr.take().expect("a pipe"));
    let _browser = Browser(child);
    let mut lines = said.lines().map_while(Result::ok);
    let port = lines
        .find_map(|line| {
            let rest = line.split("DevTools listening on ws://127.0.0.1:").nth(1)?;
            rest.split('/').next()?.parse::<u16>().ok()
        })
        .expect("the browser says where it listens");
    // What it says from now on is nobody's, but must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    let mut page = DevTools::open(port);
    for domain in ["Page", "Runtime", "Log", "Network"] {
        page.call(&format!("{domain}.enable"), &json!({}));
    }
    let own = format!("http://{}/", server.address);
    for (width, mobile) in [(1440, false), (390, true)] {
        page.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": mobile }),
        );
        for (view, words) in VIEWS {
            page.call("Page.navigate", &json!({ "url": format!("{own}#/{view}") }));
            let begun = Instant::now();
            loop {
                let text = page.evaluate(
                    "new Promise((done) => setTimeout(() => done(document.querySelector('main')?.innerText ?? ''), 50))",
                );
                if text.as_str().is_some_and(|text| text.contains(words)) {
                    break;
                }
                assert!(
                    begun.elapsed() < Duration::from_secs(60),
                    "{view}: `{words}` is not there: {text}"
                );
            }
            // What is there may still be laid out: what stays too wide is too wide.
            let begun = Instant::now();
            loop {
                let beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth");
                if beyond.as_i64().is_some_and(|beyond| beyond <= 0) {
                    break;
                }
                assert!(
                    begun.elapsed() < Duration::from_secs(20),
                    "{view} is wider than {width}: {beyond}"
                );
            }
        }
    }
    let mut asked = 0;
    for event in &page.events {
        let about = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                let url = about["request"]["url"].as_str().unwrap_or_default();
                assert!(url.starts_with(&own), "asked {url}");
                asked += 1;
            }
            "Runtime.exceptionThrown" => panic!("{about}"),
            "Runtime.consoleAPICalled" => {
                let quiet = !matches!(about["type"].as_str(), Some("error" | "warning" | "assert"));
                assert!(quiet, "{about}");
            }
            "Log.entryAdded" => {
                assert_ne!(about["entry"]["level"], Value::from("error"), "{about}");
            }
            _ => {}
        }
    }
    assert!(asked > VIEWS.len(), "{asked} requests");
}
