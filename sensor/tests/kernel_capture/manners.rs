//! How a sensor ends: killed at any moment it leaves no program, no link and no damaged file; asked to end it tells all it
//! knows; and while it runs it holds no privilege that it no longer needs.

use std::{
    fs,
    process::Child,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    arrivals::Arrivals,
    canary::with_canaries,
    netns::{Pair, Serial, pause},
    process::{
        attached, check_csv, command, hooks, in_traffic, programs_since, sensor, soon, statuses,
        terminate,
    },
};

/// Enough to be counted, each a flow, for the end of a sensor to have something to do.
const DATAGRAMS: u64 = 500;

/// Kills the sensor `times` times, each after another time between nothing and three seconds: every other time from when it is attached, so that it is met
/// at work wherever attaching takes longer.
fn kill_again_and_again(times: u32) {
    let _serial = Serial::take();
    let pair = Pair::new();
    let folder = tempfile::tempdir().expect("folder");
    let (mut running, mut rows, mut dice) = (0, 0, 7_u64);
    in_traffic(&pair, || {
        for time in 0..times {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let wait = Duration::from_millis(dice >> 33).as_millis() % 3000;
            let begun = SystemTime::UNIX_EPOCH + Duration::from_nanos(sensor::time::now());
            let mut child = sensor(&pair, folder.path(), &[]);
            if time % 2 == 1 {
                attached(&pair, &mut child);
            }
            pause(Duration::from_millis(wait as u64));
            running += u32::from(!hooks(&pair).is_empty());
            child.kill().expect("kill");
            let output = child.wait_with_output().expect("wait");
            assert_eq!(
                output.status.code(),
                None,
                "ended by itself: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(
                soon(|| hooks(&pair).is_empty()),
                "kill {time} after {wait} ms leaves {:?}",
                hooks(&pair)
            );
            assert!(
                soon(|| programs_since(begun) == 0),
                "kill {time} after {wait} ms leaves a program"
            );
            rows += check_csv(&folder.path().join("live_capture_log.csv"));
        }
        // What is there is as good as ever: the models, and the next start.
        let listed = command(&["model", "list"], folder.path());
        assert!(
            listed.status.success(),
            "{}",
            String::from_utf8_lossy(&listed.stderr)
        );
        let last = sensor(&pair, folder.path(), &["--duration", "2s"])
            .wait_with_output()
            .expect("wait");
        let said = String::from_utf8_lossy(&last.stderr);
        assert!(last.status.success(), "{said}");
        assert!(said.contains("0 unaccounted"), "{said}");
    });
    println!(
        "killed {times} times, {running} of them while attached; {rows} rows in the logs of flows"
    );
    assert!(
        running > times / 4,
        "{running} of {times}: killed before it began"
    );
    let models = fs::read_dir(folder.path().join("model_outputs")).map_or(0, Iterator::count);
    println!("{models} files in the model store");
}

#[test]
#[ignore = "kernel: needs root"]
fn killed_at_any_moment_it_leaves_nothing_behind() {
    kill_again_and_again(8);
}

/// `cargo test -p sensor --test kernel_capture -- --ignored --nocapture at_size_killed_two_hundred_times`
#[test]
#[ignore = "kernel at size: needs root, takes minutes"]
fn at_size_killed_two_hundred_times() {
    kill_again_and_again(200);
}

#[test]
#[ignore = "kernel: needs root"]
fn privileges_are_given_up_once_attached_and_it_still_counts() {
    const FIELDS: [&str; 4] = ["CapEff", "CapPrm", "CapBnd", "CapInh"];
    const NONE: &str = "0000000000000000";
    let _serial = Serial::take();
    let pair = Pair::new();
    // A tap answers nobody who asks for its address.
    pair.introduce();
    for (user, tap) in [(None, false), (None, true), (Some("nobody"), false)] {
        let folder = tempfile::tempdir().expect("folder");
        let mut more: Vec<&str> = user.map_or(Vec::new(), |user| vec!["--user", user]);
        if tap {
            // Threads of its own, begun before.
            more.extend(["--tap", "veth-b", "--set", "capture.mode=auto"]);
        }
        let output = in_traffic(&pair, || {
            let mut child = sensor(&pair, folder.path(), &more);
            attached(&pair, &mut child);
            // Thread by thread.
            soon(|| {
                FIELDS
                    .iter()
                    .all(|field| statuses(&child, field).iter().all(|value| value == NONE))
            });
            let workers = statuses(&child, "Name");
            let is_worker = |name: &String| name.starts_with("tap-");
            assert_eq!(workers.iter().any(is_worker), tap, "{workers:?}");
            for field in FIELDS {
                for value in statuses(&child, field) {
                    assert_eq!(value, NONE, "{field} as {user:?}, tap {tap}");
                }
            }
            assert!(
                statuses(&child, "NoNewPrivs")
                    .iter()
                    .all(|value| value == "1")
            );
            let wanted = if user.is_some() { "65534" } else { "0" };
            assert!(
                statuses(&child, "Uid").iter().all(|value| value == wanted),
                "as {user:?}"
            );
            Arrivals::from_now(&pair).wait_for(DATAGRAMS);
            terminate(&child);
            child.wait_with_output().expect("wait")
        });
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("privileges given up"), "{said}");
        assert!(said.contains("0 unaccounted"), "{said}");
        assert!(
            check_csv(&folder.path().join("live_capture_log.csv")) > 50,
            "{said}"
        );
        assert!(soon(|| hooks(&pair).is_empty()));
    }
}

/// For how long the threads of a process that runs have waited for a CPU since they began, the one that did so most (linux/Documentation/scheduler/sched-stats.rst).
fn queued(child: &Child) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id()));
    let threads = tasks.into_iter().flatten().filter_map(Result::ok);
    let times = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse().ok()
    });
    Duration::from_nanos(times.max().unwrap_or(0))
}

/// What it promises, on a machine that lets it run.
#[test]
#[ignore = "kernel: needs root"]
fn asked_to_end_it_drains_ends_its_flows_and_flushes_within_five_seconds() {
    const ATTEMPTS: u32 = 5;
    let _serial = Serial::take();
    let pair = Pair::new();
    for _ in 0..ATTEMPTS {
        let (took, held) = end_in_traffic(&pair);
        println!("ended in {took:.0?}; {held:?}");
        if took < Duration::from_secs(5) {
            return;
        }
        assert!(held > Duration::from_secs(1), "{took:?}");
    }
    println!("left open: in {ATTEMPTS} attempts this machine held it up");
}

/// How long the end takes, of which everything else is asserted, and for how long the machine held threads up meanwhile: those of the sensor in a queue for
/// a CPU, or all.
fn end_in_traffic(pair: &Pair) -> (Duration, Duration) {
    let folder = tempfile::tempdir().expect("folder");
    let (output, times) = in_traffic(pair, || {
        let mut child = sensor(pair, folder.path(), &["--set", "flow.idle_timeout=1h"]);
        attached(pair, &mut child);
        Arrivals::from_now(pair).wait_for(DATAGRAMS);
        let before = queued(&child);
        let ((took, queued), held) = with_canaries(|| {
            let (asked, mut last) = (Instant::now(), before);
            terminate(&child);
            while child.try_wait().expect("child").is_none() {
                last = last.max(queued(&child));
                pause(Duration::from_millis(5));
            }
            (asked.elapsed(), last.saturating_sub(before))
        });
        let output = child.wait_with_output().expect("wait");
        (output, (took, queued.max(held.sum)))
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("0 unaccounted"), "{said}");
    // No flow was idle for long enough to end: all were ended by the end.
    let log = fs::read_to_string(folder.path().join("live_capture_log.csv")).expect("the log");
    assert!(log.ends_with('\n'));
    let ended = log
        .lines()
        .skip(1)
        .filter(|line| line.contains("forced-end"))
        .count();
    assert!(ended > 100, "{ended} flows ended by the end: {said}");
    println!("{ended} flows as forced");
    assert!(soon(|| hooks(pair).is_empty()));
    times
}
