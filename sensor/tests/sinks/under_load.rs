//! A receiver that is killed, hangs and comes back while fifty thousand incidents are sent.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sensor::{
    metrics::Metrics,
    sink::{
        eve::{Eve, Events},
        outlet::{
            Outlets,
            file::{Rotation, ToFile},
        },
        syslog::ToStream,
    },
};

use super::{
    HANGING, alert, expect_each, outlets, pause,
    receiver::{Came, Manner, Receiver},
    start, syslog, until,
};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn delivered(outlets: &Outlets, name: &str) -> u64 {
    let standings = outlets.board().standings();
    let found = standings.iter().find(|one| one.name == name);
    found.expect("there").delivered
}

/// The bytes that a hanging or dying receiver has in its kernel's buffers are not counted as delivered, so nothing is lost
/// with them; and the file beside it has every line long before.
#[test]
fn nothing_is_lost_with_a_receiver_that_dies() {
    const COUNT: u64 = 50_000;
    let folder = tempfile::tempdir().expect("folder");
    let metrics = Metrics::new();
    let mut outlets = outlets(&folder.path().join("spool"), &metrics);
    let came = Came::default();
    let mut receiver = Receiver::start(ANY, Manner::Reads, &came);
    let address = receiver.address;
    let stream = ToStream::new(address.ip().to_string(), address.port(), None, true);
    let queue = start(&mut outlets, "syslog", syslog(), Box::new(stream));
    let path = folder.path().join("eve.json");
    let rotation = Rotation {
        bytes: 8 << 20,
        files: 100,
    };
    let events = Events {
        alert: true,
        anomaly: false,
        flow: false,
    };
    let file = start(
        &mut outlets,
        "eve",
        Box::new(Eve(events)),
        Box::new(ToFile::new(path.clone(), rotation)),
    );
    let begin = Instant::now();
    let manners = [Manner::Hangs, Manner::Reads, Manner::Slow, Manner::Reads];
    for (at, message) in (0..COUNT).map(alert).enumerate() {
        queue.send(message.clone()).expect("open");
        file.send(message).expect("open");
        // Four times: killed, away for a moment, and back in another manner.
        if at as u64 % (COUNT / 5) == COUNT / 10 && at as u64 / (COUNT / 5) < 4 {
            receiver.kill();
            pause(Duration::from_millis(100));
            receiver = Receiver::start(address, manners[at / (COUNT as usize / 5)], &came);
        }
    }
    let sent = begin.elapsed();
    until("the file has all", || delivered(&outlets, "eve") == COUNT);
    let file_took = begin.elapsed();
    until("the receiver has all", || {
        came.lock().expect("lock").len() as u64 == COUNT
    });
    until("and that is known", || {
        delivered(&outlets, "syslog") == COUNT
    });
    let took = begin.elapsed();
    expect_each(&came.lock().expect("lock"), COUNT);
    drop((queue, file));
    assert!(outlets.stop(HANGING).iter().all(|left| left.waiting == 0));
    receiver.kill();
    let twice = came
        .lock()
        .expect("lock")
        .values()
        .filter(|count| **count > 1)
        .count();
    eprintln!(
        "{COUNT} incidents sent in {sent:.1?}; file {file_took:.1?}, syslog {took:.1?} with four deaths; {twice} came twice"
    );
    let mut lines = BTreeMap::new();
    for entry in std::fs::read_dir(folder.path()).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_file() {
            for line in std::fs::read_to_string(path).expect("file").lines() {
                let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let id = event["alert"]["metadata"]["incident_id"][0]
                    .as_str()
                    .expect("id");
                *lines
                    .entry(u64::from_str_radix(id, 16).expect("hex"))
                    .or_default() += 1;
            }
        }
    }
    expect_each(&lines, COUNT);
    assert!(lines.values().all(|count| *count == 1));
}

/// The same over a unix socket, whose receiver dies with unread lines.
#[cfg(target_os = "linux")]
#[test]
fn nothing_is_lost_with_a_reader_of_a_unix_socket_that_dies() {
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::net::{UnixListener, UnixStream},
        sync::atomic::{AtomicBool, Ordering},
    };

    use sensor::sink::outlet::unix::ToUnixStream;

    const COUNT: u64 = 10_000;
    let folder = tempfile::tempdir().expect("folder");
    let metrics = Metrics::new();
    let mut outlets = outlets(&folder.path().join("spool"), &metrics);
    let path = folder.path().join("eve.sock");
    let queue = start(
        &mut outlets,
        "eve",
        syslog_lines(),
        Box::new(ToUnixStream::new(path.clone())),
    );
    let came: Came = Arc::new(Mutex::default());
    let is_over = Arc::new(AtomicBool::new(false));
    let note = |came: &Came, line: &str| {
        let number = super::number(line).expect("a number");
        *came.lock().expect("lock").entry(number).or_default() += 1;
    };
    let reader = {
        let (came, is_over) = (Arc::clone(&came), Arc::clone(&is_over));
        let path = path.clone();
        std::thread::spawn(move || {
            let mut lines = 0;
            // A life of so many lines, and then it dies with what it has not read.
            for life in [100, 3000, 1, 5000] {
                let _ = std::fs::remove_file(&path);
                let listener = UnixListener::bind(&path).expect("bound");
                let (stream, _) = listener.accept().expect("comes");
                let mut reader = BufReader::with_capacity(512, stream);
                let mut line = String::new();
                for _ in 0..life {
                    line.clear();
                    if reader.read_line(&mut line).expect("reads") == 0 {
                        break;
                    }
                    lines += 1;
                    note(&came, &line);
                }
                // What it has read it has, though it dies: only what the kernel still holds comes again.
                let read = String::from_utf8_lossy(reader.buffer()).into_owned();
                for line in read
                    .split_inclusive('\n')
                    .filter(|line| line.ends_with('\n'))
                {
                    lines += 1;
                    note(&came, line);
                }
            }
            // The last one lives. A sink that waited too long for it comes again, with all that it does not know to be read.
            let _ = std::fs::remove_file(&path);
            let listener = UnixListener::bind(&path).expect("bound");
            loop {
                let (stream, _) = listener.accept().expect("comes");
                if is_over.load(Ordering::Relaxed) {
                    return lines;
                }
                let mut reader = BufReader::with_capacity(512, stream);
                let mut line = String::new();
                while reader.read_line(&mut line).expect("reads") > 0 {
                    // The end of a connection may cut one, which comes again.
                    if line.ends_with('\n') {
                        lines += 1;
                        note(&came, &line);
                    }
                    line.clear();
                }
            }
        })
    };
    for message in (0..COUNT).map(alert) {
        queue.send(message).expect("open");
    }
    // A sensor that ends tries once more, and leaves the rest to the next start; this one ends when all is there.
    until("all is delivered", || delivered(&outlets, "eve") == COUNT);
    drop(queue);
    let left = outlets.stop(HANGING);
    assert_eq!(left[0].waiting, 0);
    is_over.store(true, Ordering::Relaxed);
    let _told = UnixStream::connect(&path).expect("it listens");
    let lines = reader.join().expect("ends");
    expect_each(&came.lock().expect("lock"), COUNT);
    eprintln!("{COUNT} incidents, {lines} lines over a unix socket with four deaths");
}

/// Messages as lines.
fn syslog_lines() -> Box<dyn sensor::sink::outlet::Encode> {
    struct Lines(Box<dyn sensor::sink::outlet::Encode>);
    impl sensor::sink::outlet::Encode for Lines {
        fn encode(&mut self, message: &sensor::sink::message::Message, parcels: &mut Vec<Vec<u8>>) {
            self.0.encode(message, parcels);
            for parcel in parcels {
                parcel.push(b'\n');
            }
        }
    }
    Box::new(Lines(syslog()))
}
