//! What an operator lives with, end to end: a sensor on a veth pair, an attack from the other end, and everywhere where the
//! operator looks the same one incident. Needs root; run by `cargo xtask test`.
//!
//! ```text
//!  namespace a                      namespace b
//!  attacker ── veth-a ════ veth-b ── sensor ──┬─ dashboard, store, EVE file
//!                                             ├─ syslog, webhook, mail, Redis
//!                                             └─ /metrics ◀─ Prometheus ─▶ Alertmanager ─▶ webhook
//! ```
#![cfg(target_os = "linux")]

mod full_disk;
#[path = "../sinks/made.rs"]
mod made;
mod monitoring;
#[path = "../kernel_capture/netns.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests of capture, which need more of it"
)]
mod netns;
#[path = "../support/program.rs"]
mod program;
mod receivers;
mod reload;
mod resources;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use monitoring::prometheus;
use netns::{Pair, Serial, pause};
use receivers::{Program, await_port, free_port, get, http, redis, smtp, udp};

const BINARY: &str = env!("CARGO_BIN_EXE_anomaly-detect");
/// Longest wait for anything: against hanging, not a measure.
const PATIENCE: Duration = Duration::from_secs(300);
/// Ports that are tried: each is one more flow of the one incident.
const REPEATS: u16 = 10_000;
/// Between two tries: 1,000 a second.
const GAP: Duration = Duration::from_micros(900);

/// Writes a file into a folder and answers where it is.
fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("write a file");
    path
}

/// A sensor that is asked to end, and then made to.
struct Sensor(Child);

impl Sensor {
    /// Watches veth-b of namespace b, with `more` arguments behind; its output is in `out` beside its configuration.
    fn start(pair: &Pair, model: &Path, config: &Path, more: &[&str]) -> Self {
        let child = Command::new("ip")
            .args(["netns", "exec", &pair.b.name, BINARY, "live"])
            .args(["--iface", "veth-b", "--capture", "xdp", "--model"])
            .arg(model)
            .arg("--config")
            .arg(config)
            .arg("--output")
            .arg(config.with_file_name("out"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.expect("start the sensor"))
    }

    /// Waits until it listens there; if it ends instead, with what it said.
    fn await_port(&mut self, pair: &Pair, port: u16) {
        let begin = Instant::now();
        while !receivers::listens(&pair.b, port) {
            let is_over =
                self.0.try_wait().expect("a child").is_some() || begin.elapsed() > PATIENCE;
            assert!(!is_over, "nothing on port {port}: {}", self.said());
            pause(Duration::from_millis(100));
        }
    }

    fn said(&mut self) -> String {
        let _ = self.0.kill();
        let mut said = String::new();
        if let Some(mut pipe) = self.0.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut pipe, &mut said);
        }
        said
    }

    fn end(mut self) -> String {
        // SAFETY: kill takes no pointers; the process is our child and was not waited for.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        let begin = Instant::now();
        while self.0.try_wait().expect("a child").is_none() && begin.elapsed() < PATIENCE {
            pause(Duration::from_millis(50));
        }
        self.said()
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A model of the demo's office, so that the sensor judges from the first packet.
fn model(folder: &Path) -> PathBuf {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/office.pcap.zst");
    let path = folder.join("office.model");
    let trained = Command::new(BINARY)
        .args(["train", "--quiet", "--output"])
        .arg(&path)
        .arg(demo)
        .status()
        .expect("run the program");
    assert!(trained.success());
    path
}

/// Asks for one port after the other; nobody answers but the stack, with a reset.
fn scan(pair: &Pair) {
    pair.a.within(|| {
        for port in 1..=REPEATS {
            let target = ([10, 77, 0, 2], 20_000 + port).into();
            let _ = TcpStream::connect_timeout(&target, Duration::from_millis(200));
            pause(GAP);
        }
    });
}

/// The numbers of all incidents of the scanner in a list of them, by id.
fn scans(list: &str) -> BTreeMap<String, u64> {
    let value: serde_json::Value = serde_json::from_str(list).unwrap_or_default();
    let all = value.as_array().or_else(|| value["incidents"].as_array());
    let of_scanner = all.into_iter().flatten().filter_map(|one| {
        let alert = if one["alert"].is_object() {
            &one["alert"]
        } else {
            one
        };
        let is_scan = alert["kind"] == "port scan (vertical)" && alert["host"] == "10.77.0.1";
        is_scan.then(|| {
            let id = alert["id"].as_str().unwrap_or_default().to_owned();
            (id, alert["count"].as_u64().unwrap_or(0))
        })
    });
    of_scanner.collect()
}

/// The value of a series that the sensor shows.
fn value(pair: &Pair, port: u16, series: &str) -> Option<f64> {
    let text = get(&pair.b, port, "/metrics")?;
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        pause(Duration::from_millis(10));
    }
}

/// Where an operator looks, and how the incident is found there.
type Place<'a> = (&'static str, Box<dyn Fn() -> Option<Instant> + 'a>);

/// Runs until the incident is everywhere, or patience is at an end; answers when it was first seen where.
fn watch(places: &[Place<'_>]) -> BTreeMap<&'static str, Instant> {
    let (begin, mut found) = (Instant::now(), BTreeMap::new());
    while found.len() < places.len() && begin.elapsed() < PATIENCE {
        for (name, look) in places {
            if !found.contains_key(name)
                && let Some(at) = look()
            {
                found.insert(*name, at);
            }
        }
        pause(Duration::from_millis(100));
    }
    found
}

#[test]
#[ignore = "kernel: needs root"]
fn an_attack_is_one_incident_wherever_the_operator_looks() {
    let _serial = Serial::take();
    let (pair, folder) = (Pair::new(), tempfile::tempdir().expect("a folder"));
    let here = folder.path();
    let model = model(here);
    let [metrics, dashboard] = [free_port(), free_port()];
    let ((hook, posts), (post_office, letters), (log, lines)) =
        (http(&pair.b), smtp(&pair.b), udp(&pair.b));
    let (pager, pages) = http(&pair.b);
    let redis_port = free_port();
    let redis_server = program::find("redis-server").map(|program| {
        let port = redis_port.to_string();
        let started = Program::start(
            &pair.b,
            &[
                &program.display().to_string(),
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ],
        );
        await_port(&pair.b, redis_port);
        started
    });
    let config = write(
        here,
        "sensor.toml",
        &format!(
            "[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n\
             [dashboard]\nlisten = \"127.0.0.1:{dashboard}\"\n\
             [eve]\nfile = \"{}\"\n\
             [syslog]\nserver = \"udp://127.0.0.1:{log}\"\n\
             [webhook]\ntargets = [\"json=http://127.0.0.1:{hook}/\"]\n\
             [mail]\nserver = \"127.0.0.1:{post_office}\"\nsecurity = \"plain\"\nfrom = \"sensor@example.org\"\nto = [\"operator@example.org\"]\nmin_severity = \"low\"\n\
             {}",
            here.join("eve.json").display(),
            if redis_server.is_some() {
                format!("[redis]\nserver = \"127.0.0.1:{redis_port}\"\n")
            } else {
                String::new()
            },
        ),
    );
    let out = here.join("out");
    let mut sensor = Sensor::start(&pair, &model, &config, &[]);
    sensor.await_port(&pair, metrics);
    sensor.await_port(&pair, dashboard);
    until("programs are attached and looked at", || {
        value(&pair, metrics, "anomaly_detect_drains_total") >= Some(1.0)
    });
    let monitoring = prometheus(&pair, here, metrics, pager);

    const IS_IT: [&str; 2] = ["port scan (vertical)", "10.77.0.1"];
    let eve = here.join("eve.json");
    let in_text = |text: String| {
        IS_IT
            .iter()
            .all(|part| text.contains(part))
            .then(Instant::now)
    };
    let mut places: Vec<Place<'_>> = vec![
        (
            "dashboard",
            Box::new(|| in_text(get(&pair.b, dashboard, "/api/v1/incidents")?)),
        ),
        (
            "EVE file",
            Box::new(|| in_text(fs::read_to_string(&eve).ok()?)),
        ),
        ("syslog", Box::new(|| lines.first(&IS_IT))),
        ("webhook", Box::new(|| posts.first(&IS_IT))),
        ("mail", Box::new(|| letters.first(&["10.77.0.1"]))),
    ];
    if redis_server.is_some() {
        let look = || in_text(redis(&pair.b, redis_port, "anomaly-detect")?);
        places.push(("Redis", Box::new(look)));
    }
    if monitoring.is_some() {
        places.push((
            "Alertmanager",
            Box::new(|| pages.first(&["port scan (vertical)"])),
        ));
    }
    let begin = Instant::now();
    let found = thread::scope(|scope| {
        scope.spawn(|| scan(&pair));
        watch(&places)
    });
    for (name, _) in &places {
        match found.get(name) {
            Some(at) => println!(
                "{name}: {:.1} s after the first packet",
                at.duration_since(begin).as_secs_f64()
            ),
            None => println!("{name}: NOT within {PATIENCE:?}"),
        }
    }
    assert_eq!(found.len(), places.len(), "missing somewhere");
    drop(places);

    // One incident with a count, here and there. The last flows are still to end, to be stored and to be shown.
    let (begin, all) = (Instant::now(), u64::from(REPEATS));
    let (listed, at_dashboard) = loop {
        let listed = get(&pair.b, dashboard, "/api/v1/incidents?limit=1000").unwrap_or_default();
        let found = scans(&listed);
        if found.values().sum::<u64>() >= all * 99 / 100 || begin.elapsed() > PATIENCE {
            break (listed, found);
        }
        pause(Duration::from_millis(200));
    };
    println!("at the dashboard: {at_dashboard:?}");
    assert_eq!(at_dashboard.len(), 1, "{listed}");
    let (id, count) = at_dashboard.first_key_value().expect("one");
    assert!(
        *count <= all && *count >= all * 99 / 100,
        "{count} of {REPEATS}"
    );
    let (posted, mailed) = (posts.all(&IS_IT), letters.all(&["10.77.0.1"]));
    println!(
        "{} posts, {} letters of {REPEATS} repeats",
        posted.len(),
        mailed.len()
    );
    assert!(
        posted.iter().all(|post| post.contains(id.as_str())),
        "another incident was posted"
    );
    assert!(
        posted.len() <= 12 && mailed.len() <= 12,
        "told again and again"
    );
    let said = sensor.end();
    assert!(said.contains(" 0 unaccounted"), "{said}");

    // What was kept of it gives the same score again, and the store outlives the sensor.
    let bundle = out.join("evidence").join(id).display().to_string();
    let model = model.display().to_string();
    let folder = format!("output.folder={}", out.display());
    for arguments in [
        vec!["explain", "--replay", &bundle, "--model", &model],
        vec!["alerts", "show", id, "--set", &folder],
    ] {
        let output = Command::new(BINARY).args(&arguments).output();
        let output = output.expect("run the program");
        let text = String::from_utf8_lossy(&output.stdout);
        let trouble = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}{trouble}");
        println!("{text}");
    }
    drop((monitoring, redis_server));
}
