//! ^C, full disks and damaged inputs: what was read is used, and what was there before is not lost.

mod cli_support;
#[path = "cli_support/scene.rs"]
mod scene;

use std::{fs, path::Path};

use cli_support::{run, stdout};
use scene::Scene;
use sensor::{
    capture::{Stop, frames},
    pipeline::{self, Settings},
};

/// Names of the files in a folder that are not finished.
fn parts(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".part")).collect()
}

#[test]
fn a_run_that_fails_leaves_the_tables_of_the_one_before() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    let office = Scene::office().write(here, "office.pcap");
    // The file header and one packet: a capture that nothing can be learned from.
    let whole = fs::read(office).expect("capture");
    let length = u32::from_le_bytes(whole[32..36].try_into().expect("four bytes")) as usize;
    fs::write(here.join("one.pcap"), &whole[..40 + length]).expect("capture");

    stdout(here, &["run", "office.pcap"]);
    let out = here.join("anomaly-out");
    let tables = ["pcap_features.csv", "predictions.csv"].map(|name| out.join(name));
    let before = tables
        .clone()
        .map(|table| fs::read(table).expect("a table"));
    let failed = run(here, &["run", "one.pcap"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(
        said.contains("too little traffic to learn from: 1 flow record"),
        "{said}"
    );
    assert_eq!(
        tables.map(|table| fs::read(table).expect("a table")),
        before
    );
    assert_eq!(parts(&out), [""; 0]);
}

#[test]
fn packets_cut_out_before_stay_where_there_are_none_now() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    Scene::office().write(here, "office.pcap");
    fs::write(here.join("cut.pcapng"), "of another flow").expect("a file");
    let extract = ["extract", "office.pcap", "-o", "cut.pcapng", "--flow"];
    let nothing = run(here, &[&extract[..], &["1:none"]].concat());
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
    let cut = fs::read(here.join("cut.pcapng")).expect("the file");
    assert_eq!(cut, b"of another flow");
    assert_eq!(parts(here), [""; 0]);
}

#[test]
fn a_second_pass_reads_what_the_first_was_stopped_in() {
    let folder = tempfile::tempdir().expect("folder");
    let inputs = [Scene::busy().write(folder.path(), "busy.pcap")];
    let read = |settings: &Settings| {
        pipeline::flows(&inputs, settings, &mut |_| {}, &mut |_| Ok(())).expect("a capture")
    };
    let all = read(&Settings::default());
    assert!(!all.stopped && all.epochs > 2);
    let stop = Stop::default();
    stop.stop();
    let first = read(&Settings {
        stop: Some(stop),
        ..Settings::default()
    });
    assert!(first.stopped && first.epochs == 1);
    assert!(first.replay.packets < all.replay.packets);
    let second = read(&Settings {
        epochs: first.epochs,
        ..Settings::default()
    });
    assert_eq!(second.replay, first.replay);
    assert_eq!(second.ledger, first.ledger);
    let mut frames = 0;
    frames::first(&inputs, first.replay.packets, &mut |_| {
        frames += 1;
        Ok(())
    })
    .expect("a capture");
    assert_eq!(
        frames, first.replay.packets,
        "evidence is cut from the same"
    );
}

#[cfg(unix)]
mod signals {
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        process::{Child, Command, Stdio},
        sync::mpsc::{RecvTimeoutError, channel},
        thread,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::cli_support::program;

    /// Only a hang takes so long.
    const HANGING: Duration = Duration::from_secs(120);

    fn signal(signal: &str, id: u32) {
        let sent = Command::new("kill")
            .args([signal, &id.to_string()])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// Sends ^C, and waits until the program says that it will end.
    fn interrupt(child: &mut Child) -> BufReader<std::process::ChildStderr> {
        let id = child.id();
        signal("-INT", id);
        // One that hangs is ended, and so is reading from it.
        let (said_so, says) = channel::<()>();
        let guard = thread::spawn(move || {
            if says.recv_timeout(HANGING) == Err(RecvTimeoutError::Timeout) {
                signal("-KILL", id);
            }
        });
        let mut said = BufReader::new(child.stderr.take().expect("pipe"));
        let mut line = String::new();
        while !line.contains("ending with what was read so far") {
            line.clear();
            let read = said.read_line(&mut line).expect("UTF-8");
            assert_ne!(read, 0, "it ended without a word");
        }
        drop(said_so);
        guard.join().expect("it hung");
        said
    }

    fn begin(here: &Path, arguments: &[&str]) -> Child {
        program(here)
            .args(arguments)
            .env("TMPDIR", here)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs")
    }

    /// Waits until so many bytes of what came by a pipe are put aside; not so where it ends before.
    fn is_spooled(child: &mut Child, here: &Path, bytes: usize) -> bool {
        let begun = Instant::now();
        let length = || {
            let entries = fs::read_dir(here).expect("a folder").flatten();
            entries
                .filter(|entry| entry.path().extension().is_some_and(|end| end == "capture"))
                .filter_map(|entry| Some(entry.metadata().ok()?.len()))
                .sum::<u64>()
        };
        while length() < bytes as u64 {
            if child.try_wait().expect("a state").is_some() {
                return false;
            }
            assert!(begun.elapsed() < HANGING, "{} of {bytes} bytes", length());
            thread::park_timeout(Duration::from_millis(5));
        }
        true
    }

    /// More than a pipe holds: once it is written, the program has begun to read and minds signals.
    fn capture(here: &Path) -> Vec<u8> {
        let whole = fs::read(Scene::busy().write(here, "busy.pcap")).expect("capture");
        assert!(whole.len() > 4 * 65_536, "{} bytes", whole.len());
        whole
    }

    /// As `tcpdump -w - | anomaly-detect run -` is ended: both get the signal.
    #[test]
    fn a_recording_that_comes_by_a_pipe_is_ended_by_a_signal_and_used() {
        let folder = tempfile::tempdir().expect("folder");
        let here = folder.path();
        let whole = capture(here);
        let mut child = begin(here, &["run", "-"]);
        let mut pipe = child.stdin.take().expect("pipe");
        pipe.write_all(&whole).expect("it reads");
        // After the signal a pipe is given up that is silent for a moment: a stall would be such a moment too.
        assert!(is_spooled(&mut child, here, whole.len()));
        interrupt(&mut child);
        // The pipe stays open: the writer took no notice.
        let output = child.wait_with_output().expect("ends");
        drop(pipe);
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("tried 200 ports"), "{text}");
        let run = stdout(here, &["run", "busy.pcap", "-o", "file"]);
        let first = |text: &str| text.split(" packets in ").next().map(str::to_owned);
        assert_eq!(first(&text), first(&run), "all that was written was read");
    }

    /// Its writer gets the same signal, and writes out what it still has.
    #[test]
    fn what_comes_by_the_pipe_just_after_the_signal_is_used() {
        let folder = tempfile::tempdir().expect("folder");
        let here = folder.path();
        let whole = capture(here);
        // Each less than a pipe holds.
        let (before, behind) = whole.split_at(whole.len() - 32_768);
        let (first, second) = behind.split_at(16_384);
        let packets = |text: &str| text.split(" packets in ").next().map(str::to_owned);
        let all = packets(&stdout(here, &["run", "busy.pcap", "-o", "file"]));
        let attempt = || {
            let mut child = begin(here, &["run", "-"]);
            let mut pipe = child.stdin.take().expect("pipe");
            pipe.write_all(before).expect("it reads");
            assert!(is_spooled(&mut child, here, before.len()));
            interrupt(&mut child);
            let is_taken = pipe.write_all(first).is_ok()
                && is_spooled(&mut child, here, before.len() + first.len())
                && pipe.write_all(second).is_ok();
            let output = child.wait_with_output().expect("ends");
            let is_used = is_taken && output.status.success();
            is_used && packets(&String::from_utf8_lossy(&output.stdout)) == all
        };
        // It waits for some tenths of a second, which a machine may sleep away once, and twice.
        assert!((0..5).any(|_| attempt()));
    }

    #[test]
    fn an_interrupted_table_is_one_of_what_was_read() {
        let folder = tempfile::tempdir().expect("folder");
        let here = folder.path();
        let whole = capture(here);
        let mut child = begin(here, &["pcap", "-", "-o", "flows.csv"]);
        let mut pipe = child.stdin.take().expect("pipe");
        let (half, rest) = whole.split_at(whole.len() / 2);
        pipe.write_all(half).expect("it reads");
        assert!(!here.join("flows.csv").exists(), "not before it is whole");
        let mut said = interrupt(&mut child);
        // What was read until now ends within an epoch; a little more is needed to see its end.
        let _ = pipe.write_all(rest);
        drop(pipe);
        let mut words = String::new();
        said.read_to_string(&mut words).expect("UTF-8");
        assert!(words.contains("interrupted after"), "{words}");
        assert_eq!(child.wait().expect("ends").code(), Some(130));
        let part = fs::read_to_string(here.join("flows.csv")).expect("the table");
        stdout(here, &["pcap", "busy.pcap", "-o", "whole.csv"]);
        let all = fs::read_to_string(here.join("whole.csv")).expect("the table");
        assert!(part.ends_with('\n'));
        assert!((100..all.lines().count()).contains(&part.lines().count()));
        let commas = |line: &str| line.matches(',').count();
        assert_eq!(
            part.lines().next_back().map(commas),
            all.lines().next().map(commas),
            "the last line is whole"
        );
        assert_eq!(parts(here), [""; 0]);
    }

    /// The second one means it.
    #[test]
    fn a_second_signal_ends_at_once_and_leaves_what_was_there() {
        let folder = tempfile::tempdir().expect("folder");
        let here = folder.path();
        fs::write(here.join("flows.csv"), "of yesterday").expect("file");
        // Nothing comes: it cannot end by itself after the first one.
        let mut child = begin(here, &["pcap", "-", "-o", "flows.csv"]);
        let pipe = child.stdin.take().expect("pipe");
        // The draft is begun after signals are minded.
        while parts(here).is_empty() {
            assert!(child.try_wait().expect("a state").is_none(), "it ended");
            thread::yield_now();
        }
        let _said = interrupt(&mut child);
        signal("-INT", child.id());
        assert_eq!(child.wait().expect("ends").code(), Some(130));
        drop(pipe);
        assert_eq!(
            fs::read_to_string(here.join("flows.csv")).expect("the file"),
            "of yesterday"
        );
        assert_eq!(parts(here), [""; 0]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_named_with_the_file() {
    let folder = tempfile::tempdir().expect("folder");
    let here = folder.path();
    Scene::office().write(here, "office.pcap");
    for command in ["pcap", "features"] {
        let failed = run(here, &[command, "office.pcap", "-o", "/dev/full"]);
        let said = String::from_utf8_lossy(&failed.stderr);
        assert_eq!(failed.status.code(), Some(1), "{said}");
        assert!(said.contains("/dev/full: no space left there"), "{said}");
    }
}
