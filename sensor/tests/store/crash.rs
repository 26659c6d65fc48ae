//! A writer that is killed, and one whose disk is full. Both run as another process: this test program, called by itself.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use sensor::{
    score::Severity,
    sink::{
        alert::{Alert, Source, Stage},
        message::Message,
        store::{IncidentFilter, Reader},
    },
};

use super::sensor::Keeping;

const CHILD: &str = "STORE_TEST_CHILD";
/// Set for a child that waits for the store, so that nothing is lost beyond what may wait.
const WAITS: &str = "STORE_TEST_WAITS";
/// Incidents of such a child that are told and not stored, at most.
const AHEAD: u64 = 1000;

fn alert(number: u64, count: u64) -> Alert {
    let host = format!("10.0.{}.{}", number / 250 % 250, number % 250);
    Alert {
        stage: if count == 1 {
            Stage::New
        } else {
            Stage::Progress
        },
        kind: "beaconing".to_owned(),
        severity: Severity::High,
        evidence: 7.0,
        first_ns: 1,
        last_ns: 1 + number,
        count,
        ..Alert::of(Source::Flows, format!("{number:016x}"), host)
    }
}

/// The child: writes incidents in order, each told and then moved, for as long as its standard input is open.
#[test]
fn child_that_writes() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let keeping = Keeping::start(Path::new(&path));
    let (closed, is_closed) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        drop(closed);
    });
    let mut keeping = keeping;
    let waits = std::env::var_os(WAITS).is_some();
    // Goes on where the one before ended.
    let begin = stored(Path::new(&path)).len() as u64;
    for number in begin.. {
        if waits && (number - begin).is_multiple_of(AHEAD / 2) {
            while number > stored(Path::new(&path)).len() as u64 + AHEAD / 2
                && is_closed.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty)
            {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        keeping.tell(Message::Alert(Arc::new(alert(number, 1))));
        keeping.tell(Message::Alert(Arc::new(alert(number, 2))));
        if is_closed.recv_timeout(Duration::from_micros(200))
            != Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            break;
        }
    }
    keeping.end();
}

fn child(path: &Path, shell: &str) -> Child {
    let program = std::env::current_exe().expect("this program");
    Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(program)
        .args(["--exact", "crash::child_that_writes", "--nocapture"])
        .env(CHILD, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell")
}

/// Numbers of the incidents that are stored; each has to be whole.
fn stored(path: &Path) -> Vec<u64> {
    let Ok(reader) = Reader::open(path) else {
        return Vec::new();
    };
    let wanted = IncidentFilter {
        limit: u32::MAX,
        ..IncidentFilter::default()
    };
    let mut numbers: Vec<u64> = reader
        .incidents(&wanted)
        .expect("whole entries")
        .iter()
        .map(|entry| u64::from_str_radix(&entry.alert.id, 16).expect("a number"))
        .collect();
    numbers.sort_unstable();
    numbers
}

fn until_stored(path: &Path, least: usize) -> usize {
    let began = Instant::now();
    loop {
        let have = stored(path).len();
        if have >= least {
            return have;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{have} of {least} stored"
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn integrity(path: &Path) -> String {
    let reader = Reader::open(path).expect("a store");
    reader
        .connection()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("an answer")
}

/// `kill -9`, again and again, on one file: it is whole each time, what was seen in it is still there, nothing is missing in
/// between, and the next writer goes on.
#[test]
#[cfg(unix)]
fn killed_it_loses_nothing_that_was_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    let mut before = 0;
    for round in 1..=5_usize {
        let mut writer = child(&path, &format!("export {WAITS}=1;"));
        let seen = until_stored(&path, before + 40 * round);
        // SIGKILL.
        writer.kill().expect("it ran");
        writer.wait().expect("it ended");
        assert_eq!(integrity(&path), "ok", "round {round}");
        let kept = stored(&path);
        assert!(
            kept.len() >= seen,
            "round {round}: {} of {seen} are left",
            kept.len()
        );
        let all: Vec<u64> = (0..kept.len() as u64).collect();
        assert_eq!(
            kept, all,
            "round {round}: told in order, kept without a gap"
        );
        before = kept.len();
    }
}

/// A disk that is full (here: a limit on the size of files) is said once; the writer goes on, and when there is room again, what
/// waited is written.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_waited_for() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        eprintln!("not run: no prlimit");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("anomaly.sqlite");
    // Blocks of 512 bytes, the soft limit: it can be raised again.
    let mut writer = child(&path, "trap '' XFSZ; ulimit -S -f 4000;");
    let (lines, said) = std::sync::mpsc::channel();
    let stderr = BufReader::new(writer.stderr.take().expect("piped"));
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _ = lines.send(line);
        }
    });
    let wait_for = |what: &str| {
        let began = Instant::now();
        loop {
            let line = said
                .recv_timeout(Duration::from_secs(60))
                .unwrap_or_else(|_| panic!("`{what}` was not said"));
            if line.contains(what) {
                return line;
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "`{what}` was not said"
            );
        }
    };
    let line = wait_for("warning");
    println!("it said: {line}");
    assert_eq!(integrity(&path), "ok");
    let full = stored(&path);
    let before = full.len();
    let raised = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &writer.id().to_string()])
        .status();
    assert!(raised.expect("prlimit").success());
    wait_for("can be written again");
    let after = until_stored(&path, before + 1);
    println!("{before} stored when it was full, {after} a moment after there was room");
    writer.stdin.take().expect("piped").flush().expect("open");
    assert!(writer.wait().expect("it ends").success());
    assert_eq!(integrity(&path), "ok");
    let kept = stored(&path);
    // What waited beyond its bound is lost and counted; what was stored stays.
    assert!(kept.len() >= after);
    assert!(full.iter().all(|number| kept.binary_search(number).is_ok()));
}
