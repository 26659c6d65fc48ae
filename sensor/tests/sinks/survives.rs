//! A process that is killed with incidents in its spool.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
};

use sensor::{metrics::Metrics, sink::syslog::ToStream};

use super::{
    HANGING, alert, outlets, pause,
    receiver::{Came, Manner, Receiver},
    start, syslog,
};

/// Where the process that is killed has its spool; absent where the tests run.
const SPOOL: &str = "SINKS_TEST_SPOOL";

/// No test of its own: the process that is killed. It says how many incidents it has put down.
#[test]
fn the_process_that_is_killed() {
    let Some(folder) = env::var_os(SPOOL) else {
        return;
    };
    let metrics = Metrics::new();
    let mut outlets = outlets(Path::new(&folder), &metrics);
    // Port 9 of this machine: nobody listens.
    let nobody = ToStream::new("127.0.0.1".to_owned(), 9, None, true);
    let queue = start(&mut outlets, "syslog", syslog(), Box::new(nobody));
    let board = outlets.board();
    let mut out = std::io::stdout().lock();
    for number in 0.. {
        queue.send(alert(number)).expect("open");
        if number % 100 == 0 {
            // What a queue of 64 has given away is in the spool, but for the one that is being put there.
            let put = (number + 1_u64).saturating_sub(66);
            writeln!(out, "put {put}")
                .and_then(|()| out.flush())
                .expect("heard");
        }
        if number > 200_000 {
            pause(HANGING);
        }
    }
    drop(board);
}

/// Killed at different moments, each time everything that it had put down is delivered by the next process.
#[test]
fn a_killed_process_loses_no_incident() {
    for least in [1, 1000, 12_345] {
        let folder = tempfile::tempdir().expect("folder");
        let mut child = Command::new(env::current_exe().expect("a program"))
            .args([
                "--exact",
                "survives::the_process_that_is_killed",
                "--nocapture",
            ])
            .env(SPOOL, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut put = 0;
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("reads");
            if let Some(number) = line.split("put ").nth(1) {
                put = number.parse().expect("a number");
                if put >= least {
                    break;
                }
            }
        }
        child.kill().expect("kill -9");
        child.wait().expect("ends");
        let came = Came::default();
        let receiver = Receiver::start((Ipv4Addr::LOCALHOST, 0).into(), Manner::Reads, &came);
        let address = receiver.address;
        let metrics = Metrics::new();
        let mut outlets = outlets(folder.path(), &metrics);
        let stream = ToStream::new(address.ip().to_string(), address.port(), None, true);
        let queue = start(&mut outlets, "syslog", syslog(), Box::new(stream));
        drop(queue);
        let left = outlets.stop(HANGING);
        assert_eq!(left[0].waiting, 0);
        receiver.kill();
        let came = came.lock().expect("lock");
        assert!(came.len() as u64 >= put, "{} of {put}", came.len());
        assert!(
            came.keys().copied().eq(0..came.len() as u64),
            "without a gap"
        );
        assert!(came.values().all(|count| *count == 1));
        eprintln!(
            "killed after {put}: {} delivered by the next process",
            came.len()
        );
    }
}
