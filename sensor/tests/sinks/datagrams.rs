//! A receiver of datagrams on a unix socket: slow, away, back again, and with one message that is too long for any socket.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::net::UnixDatagram,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sensor::{
    metrics::{Id, Metrics},
    sink::{
        message::Message,
        outlet::{Encode, unix::ToUnixDatagram},
        syslog::Syslog,
    },
};

use super::{HANGING, alert, expect_each, format, number, outlets, pause, start, until};

/// The incident whose message no socket takes.
const TOO_LONG: u64 = 1234;

/// Syslog, but for one message that is longer than what a socket holds.
struct OneTooLong(Syslog);

impl Encode for OneTooLong {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        match message {
            Message::Alert(alert) if alert.id == format!("{TOO_LONG:016x}") => {
                parcels.push(vec![b'x'; 1 << 20]);
            }
            message => self.0.encode(message, parcels),
        }
    }
}

type Came = Arc<Mutex<BTreeMap<u64, u32>>>;

struct Receiver {
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Receiver {
    fn start(path: &Path, pace: Duration, came: &Came) -> Self {
        let socket = UnixDatagram::bind(path).expect("nobody has the name");
        let look = Duration::from_millis(20);
        socket.set_read_timeout(Some(look)).expect("a time limit");
        let end = Arc::new(AtomicBool::new(false));
        let (over, came) = (Arc::clone(&end), Arc::clone(came));
        let thread = std::thread::spawn(move || {
            let mut datagram = vec![0; 1 << 16];
            loop {
                match socket.recv(&mut datagram) {
                    Ok(length) => {
                        let text = std::str::from_utf8(&datagram[..length]).expect("UTF-8");
                        let number = number(text).expect("one whole message each");
                        *came.lock().expect("lock").entry(number).or_default() += 1;
                        if !pace.is_zero() {
                            pause(pace);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        // Not before everything that was taken is read: what lies in a socket that ends is lost.
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        Self { end, thread }
    }

    fn stop(self, path: &Path) {
        // Nobody finds it any more; then it reads what is there.
        fs::remove_file(path).expect("its name");
        pause(Duration::from_millis(100));
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().expect("ends");
    }
}

#[test]
fn a_slow_receiver_of_datagrams_that_leaves_and_comes_back_misses_nothing() {
    const EACH: u64 = 2000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("events.sock");
    let metrics = Metrics::new();
    let mut outlets = outlets(&folder.path().join("spool"), &metrics);
    let board = outlets.board();
    let queue = start(
        &mut outlets,
        "eve",
        Box::new(OneTooLong(Syslog(format()))),
        Box::new(ToUnixDatagram::new(path.clone())),
    );
    let (came, has) = (Came::default(), |came: &Came| {
        came.lock().expect("lock").len() as u64
    });
    // Slower than they come: the socket's queue is full all the while (net.unix.max_dgram_qlen).
    let slow = Receiver::start(&path, Duration::from_micros(200), &came);
    for number in 0..EACH {
        queue.send(alert(number)).expect("open");
    }
    until("all but the one that is too long", || {
        has(&came) == EACH - 1
    });
    slow.stop(&path);
    for number in EACH..2 * EACH {
        queue.send(alert(number)).expect("open");
    }
    until("it is noticed that nobody listens", || {
        !board.standings()[0].is_up
    });
    let back = Receiver::start(&path, Duration::ZERO, &came);
    until("the rest", || has(&came) == 2 * EACH - 1);
    drop(queue);
    let left = outlets.stop(HANGING);
    back.stop(&path);
    assert_eq!(left[0].waiting, 0);
    let mut came = came.lock().expect("lock").clone();
    assert!(came.values().all(|count| *count == 1), "none twice");
    assert_eq!(came.insert(TOO_LONG, 1), None, "longer than any datagram");
    expect_each(&came, 2 * EACH);
    assert_eq!(metrics.value(Id::SinkParcelsTotal, &["eve", "dead"]), 1.0);
    assert_eq!(metrics.value(Id::SinkParcelsTotal, &["eve", "lost"]), 0.0);
}
