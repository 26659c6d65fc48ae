//! The programs, with what is delivered for them, and what can be asked of them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    LONGEST, answers, delivered,
    netns::{Namespace, Pair, Serial, pause},
    program, until,
};

/// Where they listen, as the delivered configuration has it.
pub(crate) const SENSOR: &str = "127.0.0.1:9477";
pub(crate) const PROMETHEUS: &str = "127.0.0.1:9090";
const ALERTMANAGER: &str = "127.0.0.1:9093";

/// A program of ours that ends with the test. Its output is shown when the test fails.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let end: Vec<&str> = text.lines().rev().take(15).collect();
            eprintln!("-- {}", self.log.display());
            for line in end.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// Everything that runs. What is declared first is dropped first.
pub(crate) struct Scene {
    running: Vec<Running>,
    /// Bodies of webhooks, and when each came.
    pub(crate) receiver: Receiver<(Instant, String)>,
    _end: End,
    pub(crate) pair: Pair,
    folder: TempDir,
    _serial: Serial,
}

/// Tells the receiver's thread to end.
struct End(Arc<AtomicBool>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Scene {
    /// All of it up and answering; nothing where a program is not installed.
    pub(crate) fn begin() -> Option<Self> {
        let prometheus = program::find("prometheus")?;
        let alertmanager = program::find("prometheus-alertmanager")?;
        let serial = Serial::take();
        let pair = Pair::new();
        let over = Arc::new(AtomicBool::new(false));
        let (url, receiver) = receive(&pair.b, Arc::clone(&over));
        let mut scene = Self {
            running: Vec::new(),
            receiver,
            _end: End(over),
            pair,
            folder: tempfile::tempdir().expect("a folder"),
            _serial: serial,
        };
        scene.configure(&url);
        let at = |name: &str| scene.folder.path().join(name).display().to_string();
        let (config, data) = (at("alertmanager.yml"), at("alertmanager"));
        scene.start(
            &alertmanager,
            &[
                &format!("--config.file={config}"),
                &format!("--storage.path={data}"),
                &format!("--web.listen-address={ALERTMANAGER}"),
                "--cluster.listen-address=",
            ],
            ALERTMANAGER,
        );
        let output = scene.folder.path().join("out").display().to_string();
        scene.start(
            Path::new(env!("CARGO_BIN_EXE_anomaly-detect")),
            &[
                "live",
                "--iface",
                "veth-b",
                "--capture",
                "xdp",
                "--output",
                &output,
                "--alert-budget",
                "60/hour",
                "--set",
                "live.learn_flows=400",
                "--set",
                "flow.idle_timeout=1s",
                // A sink, so that there is one to look at.
                "--set",
                "eve.file=eve.json",
            ],
            SENSOR,
        );
        let at = |name: &str| scene.folder.path().join(name).display().to_string();
        let (config, data) = (at("prometheus.yml"), at("prometheus"));
        scene.start(
            &prometheus,
            &[
                &format!("--config.file={config}"),
                &format!("--storage.tsdb.path={data}"),
                &format!("--web.listen-address={PROMETHEUS}"),
            ],
            PROMETHEUS,
        );
        Some(scene)
    }

    /// The delivered files, but that Alertmanager tells the test.
    fn configure(&self, url: &str) {
        let write = |name: &str, text: &str| {
            let path = self.folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, text).expect("written");
        };
        write("prometheus.yml", &delivered("prometheus/prometheus.yml"));
        let alertmanager = delivered("alertmanager/alertmanager.yml");
        let placeholder = "http://127.0.0.1:8080";
        assert!(alertmanager.contains(placeholder), "{alertmanager}");
        write("alertmanager.yml", &alertmanager.replace(placeholder, url));
        for rules in ["recording", "incidents", "capture", "model", "records"] {
            let name = format!("rules/{rules}.yml");
            write(&name, &delivered(&format!("prometheus/{name}")));
        }
    }

    /// Starts a program in namespace `b` and waits until it answers there.
    fn start(&mut self, program: &Path, arguments: &[&str], address: &str) {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let log = self.folder.path().join(format!("{name}.log"));
        let out = fs::File::create(&log).expect("a log");
        let child = Command::new("ip")
            .args(["netns", "exec", &self.pair.b.name])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a log"))
            .stderr(out)
            .spawn()
            .expect("ip (iproute2)");
        self.running.push(Running { child, log });
        until(&format!("{name} answers"), || {
            let running = self.running.last_mut().expect("just begun");
            let ended = running.child.try_wait().expect("a child");
            assert!(ended.is_none(), "{name} has ended: {ended:?}");
            self.pair.b.within(|| answers(address)).then_some(())
        });
    }

    /// A page, as text.
    pub(crate) fn page(&self, address: &str, path: &str) -> String {
        self.pair.b.within(|| {
            let mut stream = TcpStream::connect(address).expect(address);
            stream.set_read_timeout(Some(LONGEST)).expect("a timeout");
            // HTTP/1.0: the answer is in one piece and ends with the connection.
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").expect("asked");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
            assert!(head.contains(" 200 "), "{path}: {head}\n{body}");
            body.to_owned()
        })
    }

    /// An answer of an API.
    pub(crate) fn get(&self, address: &str, path: &str) -> Value {
        serde_json::from_str(&self.page(address, path)).expect("JSON")
    }

    /// The values that a query has now; none where it has no data.
    pub(crate) fn query(&self, query: &str) -> Vec<f64> {
        let encoded: String = query
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect();
        let answer = self.get(PROMETHEUS, &format!("/api/v1/query?query={encoded}"));
        let series = answer["data"]["result"].as_array().expect("a result");
        series
            .iter()
            .filter_map(|one| one["value"][1].as_str()?.parse().ok())
            .collect()
    }

    /// Name and query of each rule, as Prometheus has read them.
    pub(crate) fn rules(&self) -> Vec<(String, String)> {
        let answer = self.get(PROMETHEUS, "/api/v1/rules");
        let groups = answer["data"]["groups"].as_array().expect("groups");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        groups
            .iter()
            .flat_map(|group| group["rules"].as_array().expect("rules"))
            .map(|rule| (text(&rule["name"]), text(&rule["query"])))
            .collect()
    }

    /// Prometheus could evaluate each rule.
    pub(crate) fn rules_are_healthy(&self) {
        let answer = self.get(PROMETHEUS, "/api/v1/rules");
        for group in answer["data"]["groups"].as_array().expect("groups") {
            for rule in group["rules"].as_array().expect("rules") {
                assert_eq!(rule["health"], "ok", "{rule}");
            }
        }
    }
}

/// A receiver of webhooks inside; its address, and what it gets.
fn receive(namespace: &Namespace, over: Arc<AtomicBool>) -> (String, Receiver<(Instant, String)>) {
    let listener = namespace.within(|| TcpListener::bind("127.0.0.1:0").expect("a receiver"));
    let address = listener.local_addr().expect("an address");
    listener
        .set_nonblocking(true)
        .expect("a receiver that can end");
    let (came, receiver) = channel();
    thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => take(stream, &came),
                Err(_) => pause(Duration::from_millis(5)),
            }
        }
    });
    (format!("http://{address}"), receiver)
}

/// One request; an odd one is let go.
fn take(stream: TcpStream, came: &Sender<(Instant, String)>) {
    let at = Instant::now();
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(LONGEST));
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length.min(1 << 20)];
    if reader.read_exact(&mut body).is_ok() {
        let _ = came.send((at, String::from_utf8_lossy(&body).into_owned()));
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = reader.into_inner().write_all(answer);
    }
}
