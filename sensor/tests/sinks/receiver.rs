//! A receiver of syslog over TCP that can be killed, hang, and come back at the same port.

use std::{
    collections::BTreeMap,
    io::Read as _,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{number, pause, until};

/// How often each number came.
pub(crate) type Came = Arc<Mutex<BTreeMap<u64, u32>>>;

/// What it does with what it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Reads.
    Reads,
    /// Reads a little at a time.
    Slow,
    /// Accepts, and reads nothing.
    Hangs,
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Receiver {
    pub(crate) fn start(address: SocketAddr, manner: Manner, came: &Came) -> Self {
        // A connection of somebody else's may have the port for a moment.
        let mut bound = TcpListener::bind(address);
        until("the port is free", || {
            if bound.is_err() {
                bound = TcpListener::bind(address);
            }
            bound.is_ok()
        });
        let listener = bound.expect("bound");
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("set");
        let end = Arc::new(AtomicBool::new(false));
        let thread = {
            let (end, came) = (Arc::clone(&end), Arc::clone(came));
            std::thread::spawn(move || serve(&listener, manner, &came, &end))
        };
        Self {
            address,
            end,
            thread,
        }
    }

    /// As `kill -9` would: sockets with unread bytes reset their connections.
    pub(crate) fn kill(self) {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().expect("ends");
    }
}

fn serve(listener: &TcpListener, manner: Manner, came: &Came, end: &AtomicBool) {
    let mut open: Vec<(TcpStream, Vec<u8>)> = Vec::new();
    let mut piece = vec![
        0;
        if manner == Manner::Slow {
            4096
        } else {
            1 << 16
        }
    ];
    while !end.load(Ordering::Relaxed) {
        let mut is_idle = true;
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).expect("set");
            open.push((stream, Vec::new()));
            is_idle = false;
        }
        if manner != Manner::Hangs {
            open.retain_mut(|(stream, bytes)| match stream.read(&mut piece) {
                Ok(0) => false,
                Ok(count) => {
                    is_idle = false;
                    bytes.extend_from_slice(&piece[..count]);
                    take(bytes, came);
                    true
                }
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            });
        }
        if is_idle || manner == Manner::Slow {
            pause(Duration::from_millis(1));
        }
    }
}

/// Takes whole messages off the front: `LENGTH SP MESSAGE`.
fn take(bytes: &mut Vec<u8>, came: &Came) {
    let mut at = 0;
    let mut came = came.lock().expect("lock");
    while let Some(space) = bytes[at..].iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&bytes[at..at + space]).expect("digits");
        let length: usize = length.parse().expect("a length");
        let begin = at + space + 1;
        let Some(message) = bytes.get(begin..begin + length) else {
            break;
        };
        let message = std::str::from_utf8(message).expect("UTF-8");
        *came.entry(number(message).expect("a number")).or_default() += 1;
        at = begin + length;
    }
    bytes.drain(..at);
}
