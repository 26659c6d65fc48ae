//! `zeek`: train, score, watch; and our own flows as conn.log.

#[path = "cli_support/mod.rs"]
mod cli_support;
#[path = "cli_support/scene.rs"]
mod scene;

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use rusqlite::Connection;
use sensor::zeek::ConnLog;

use crate::cli_support::{program, run, stdout};
use scene::Scene;

const HEADER: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n";

/// An hour of an office: names and web; in the third hour somebody knocks on doors.
fn hour(number: u64) -> String {
    let mut log = HEADER.to_owned();
    for at in 0..600_u64 {
        let time = 1_700_000_000 + number * 3600 + at * 6;
        let (host, jitter) = (at % 7 + 10, (at * 7919 + number * 31) % 97);
        let _ = match at % 3 {
            0 => writeln!(
                log,
                "{time}.{jitter:06}\tC{number}x{at}\t10.0.0.{host}\t{}\t10.0.0.1\t53\tudp\tdns\t0.00{jitter:02}\t{}\t{}\tSF\tT\tT\t0\tDd\t1\t{}\t1\t{}\t-",
                40_000 + at,
                30 + jitter % 9,
                80 + jitter,
                58 + jitter % 9,
                108 + jitter
            ),
            _ => writeln!(
                log,
                "{time}.{jitter:06}\tC{number}x{at}\t10.0.0.{host}\t{}\t198.51.100.{}\t443\ttcp\tssl\t1.{jitter:02}\t{}\t{}\tSF\tT\tF\t0\tShADadFf\t{}\t{}\t{}\t{}\t-",
                41_000 + at,
                at % 20,
                700 + jitter * 3,
                4000 + jitter * 50,
                9 + jitter % 5,
                1200 + jitter * 3,
                11 + jitter % 6,
                4600 + jitter * 50
            ),
        };
        if number == 2 && at >= 590 {
            let _ = writeln!(
                log,
                "{time}.9\tCscan{at}\t203.0.113.9\t55555\t10.0.0.{host}\t{}\ttcp\t-\t0.000010\t0\t0\tREJ\tF\tT\t0\tSr\t1\t40\t1\t40\t-",
                at * 17 % 5000
            );
        }
    }
    log
}

fn packed(path: &Path, text: &str) {
    let file = File::create(path).expect("a file");
    let mut gzip = GzEncoder::new(file, Compression::fast());
    gzip.write_all(text.as_bytes()).expect("written");
    gzip.finish().expect("finished");
}

/// A folder with a model of two ordinary hours and an empty folder `current`.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("quiet")).expect("a folder");
    fs::create_dir(folder.path().join("current")).expect("a folder");
    for number in 0..2 {
        let name = format!("quiet/conn.{number:02}.log.gz");
        packed(&folder.path().join(name), &hour(number));
    }
    stdout(folder.path(), &["zeek", "train", "quiet"]);
    folder
}

fn rows(store: &Path, query: &str) -> i64 {
    let store = Connection::open(store).expect("the store");
    store
        .query_row(query, [], |row| row.get(0))
        .expect("an answer")
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process is given time; nothing here could wake"
)]
fn pause(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

/// Every host talks for hours and by another protocol instead of a second.
#[test]
fn a_network_that_moved_is_called_anomalous_less_than_by_calibration() {
    let folder = place();
    let moved = hour(1).replace("\t443\ttcp\tssl\t1.", "\t6667\ttcp\tirc\t7200.");
    fs::write(folder.path().join("conn.log"), moved).expect("written");
    let anomalies = |hold_rate: &str| {
        let set = format!("score.hold_rate={hold_rate}");
        let score = [
            "zeek", "score", "conn.log", "--format", "json", "--set", &set,
        ];
        let lines: Vec<serde_json::Value> = stdout(folder.path(), &score)
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let limits = lines.iter().filter_map(|line| line["limit"].as_f64());
        let anomalous = lines.iter().filter(|line| line["prediction"] == "anomaly");
        (anomalous.count(), limits.fold(1.0, f64::min))
    };
    let [(held, lowest), (loose, fixed)] = ["true", "false"].map(anomalies);
    assert_eq!(fixed, 0.01);
    assert!(loose > 100 && lowest < fixed, "{loose}, {lowest}");
    assert!(held < loose, "{held} of {loose}");
}

#[test]
fn the_scan_is_on_top_with_its_reason() {
    let folder = place();
    fs::write(folder.path().join("conn.log"), hour(2)).expect("written");
    let text = stdout(
        folder.path(),
        &["zeek", "score", "conn.log", "--format", "json"],
    );
    let mut lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 610);
    lines.sort_by(|a, b| {
        b["score"]
            .as_f64()
            .partial_cmp(&a["score"].as_f64())
            .expect("numbers")
    });
    for line in &lines[..10] {
        assert_eq!(line["src_ip"], "203.0.113.9", "{line}");
        assert_eq!(line["prediction"], "anomaly");
        assert!(!line["reasons"].as_array().expect("a list").is_empty());
    }
    let table = stdout(folder.path(), &["zeek", "score", "conn.log"]);
    assert!(table.contains("REJ"), "{table}");
    let csv = stdout(
        folder.path(),
        &["zeek", "score", "conn.log", "--format", "csv"],
    );
    assert_eq!(csv.lines().count(), 611);
}

#[test]
fn a_watched_folder_is_taken_in_once() {
    let folder = place();
    let current = folder.path().join("current");
    let store = folder.path().join("anomaly-out/anomaly.sqlite");
    // In use, half compressed, another log: none of them is taken.
    fs::write(current.join("conn.log"), hour(2)).expect("written");
    fs::write(current.join("dns.00.log"), "#path\tdns\n").expect("written");
    packed(&current.join("conn.02.log.gz"), &hour(2));
    let whole = fs::read(current.join("conn.02.log.gz")).expect("read");
    fs::write(current.join("conn.02.log.gz"), &whole[..whole.len() / 2]).expect("written");
    let once = ["zeek", "watch", "current", "--once"];
    stdout(folder.path(), &once);
    assert_eq!(rows(&store, "SELECT count(*) FROM files"), 0);
    // Complete now, and then under another name, and plain.
    fs::write(current.join("conn.02.log.gz"), &whole).expect("written");
    stdout(folder.path(), &once);
    assert_eq!(rows(&store, "SELECT count(*) FROM files"), 1);
    assert_eq!(rows(&store, "SELECT count(*) FROM flows"), 31, "5 % of 610");
    assert_eq!(
        rows(
            &store,
            "SELECT count(*) FROM flows WHERE src = X'00000000000000000000ffffcb007109'"
        ),
        10
    );
    fs::rename(
        current.join("conn.02.log.gz"),
        current.join("conn.two.log.gz"),
    )
    .expect("renamed");
    fs::write(current.join("conn.again.log"), hour(2)).expect("written");
    stdout(folder.path(), &once);
    assert_eq!(rows(&store, "SELECT count(*) FROM files"), 1);
    assert_eq!(rows(&store, "SELECT count(*) FROM flows"), 31);
}

#[test]
fn killed_at_any_moment_it_goes_on_where_it_was() {
    const FILES: u64 = 12;
    let folder = place();
    let current = folder.path().join("current");
    for number in 0..FILES {
        packed(
            &current.join(format!("conn.{number:02}.log.gz")),
            &hour(number + 10),
        );
    }
    let store = folder.path().join("anomaly-out/anomaly.sqlite");
    for wait in [40, 80, 120, 160] {
        let mut child = program(folder.path())
            .args(["zeek", "watch", "current", "--interval", "10ms"])
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        pause(wait);
        child.kill().expect("SIGKILL");
        child.wait().expect("gone");
    }
    stdout(folder.path(), &["zeek", "watch", "current", "--once"]);
    assert_eq!(rows(&store, "SELECT count(*) FROM files"), FILES as i64);
    assert_eq!(
        rows(&store, "SELECT count(*) FROM flows"),
        30 * FILES as i64
    );
    assert_eq!(
        rows(&store, "SELECT count(DISTINCT uid) FROM flows"),
        30 * FILES as i64
    );
}

#[test]
fn a_file_that_appears_is_scored_while_watching() {
    let folder = place();
    let current = folder.path().join("current");
    let mut child = program(folder.path())
        .args(["zeek", "watch", "current", "--interval", "20ms", "--quiet"])
        .spawn()
        .expect("the program starts");
    fs::write(current.join("conn.log"), hour(2)).expect("written");
    fs::rename(current.join("conn.log"), current.join("conn.02.log")).expect("rotated");
    let store = folder.path().join("anomaly-out/anomaly.sqlite");
    let begun = Instant::now();
    let taken = || {
        store.exists()
            && Connection::open(&store).is_ok_and(|store| {
                store
                    .query_row("SELECT count(*) FROM flows", [], |row| row.get::<_, i64>(0))
                    .is_ok_and(|flows| flows > 0)
            })
    };
    while !taken() {
        let ended = child.try_wait().expect("asked");
        assert!(ended.is_none(), "it ended: {ended:?}");
        // Only a hang takes so long.
        if begun.elapsed() > Duration::from_secs(120) {
            break;
        }
        pause(20);
    }
    child.kill().expect("stopped");
    child.wait().expect("gone");
    assert_eq!(rows(&store, "SELECT count(*) FROM flows"), 31);
}

#[test]
fn faults_say_what_to_do() {
    let folder = place();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["zeek", "score", "nothing.log"], 66, "nothing.log"),
        (&["zeek", "train", "current"], 66, "no connection log"),
        (
            &["zeek", "score", "quiet", "-m", "none.model"],
            66,
            "none.model",
        ),
        (&["zeek", "watch", "current", "--keep", "5"], 2, "0.05"),
    ];
    for (arguments, code, said) in cases {
        let output = run(folder.path(), arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
}

#[test]
fn our_flows_as_conn_log_are_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let capture = Scene::busy().write(folder.path(), "office.pcap");
    let capture = capture.to_str().expect("UTF-8");
    let csv = stdout(
        folder.path(),
        &["pcap", capture, "-o", "-", "--conn-log", "conn.log"],
    );
    let mut flows = csv.lines().skip(1);
    let mut log = ConnLog::open(&folder.path().join("conn.log")).expect("a log");
    let mut read = 0;
    while let Some(conn) = log.next_conn().expect("readable") {
        let flow: Vec<&str> = flows.next().expect("as many flows").split(',').collect();
        assert_eq!(conn.uid, format!("C{}", flow[0]));
        assert_eq!(conn.source.to_string(), flow[4]);
        assert_eq!(conn.destination.to_string(), flow[6]);
        assert_eq!(
            conn.orig.packets.map(|n| n.to_string()).as_deref(),
            Some(flow[10])
        );
        assert_eq!(
            conn.resp.ip_bytes.map(|n| n.to_string()).as_deref(),
            Some(flow[13])
        );
        read += 1;
    }
    assert!(read > 100 && flows.next().is_none(), "{read}");
    assert_eq!(log.losses().lines() + log.losses().unreadable_values, 0);
}
