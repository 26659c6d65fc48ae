//! nfcapd, which listens for IPFIX and writes it down.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::ports;

/// Only a hang takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what} within a minute");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A real collector, and a folder for what it writes.
pub(crate) struct Nfcapd {
    child: Child,
    pub(crate) port: u16,
    folder: PathBuf,
}

/// What the system says of its socket.
struct Waiting {
    bytes: u64,
    /// Datagrams for which there was no room.
    dropped: u64,
}

impl Nfcapd {
    /// Listens when this returns.
    pub(crate) fn start(program: &Path, folder: &Path) -> Self {
        // Somebody else may want the same port in the same moment: another, then.
        for _ in 0..5 {
            let mut nfcapd = Self::spawn(program, folder, ports::free());
            let mut runs = true;
            until("nfcapd listens", || {
                runs = nfcapd.child.try_wait().expect("a child").is_none();
                !runs || nfcapd.waiting().is_some()
            });
            if runs {
                return nfcapd;
            }
        }
        panic!("nfcapd does not listen");
    }

    fn spawn(program: &Path, folder: &Path, port: u16) -> Self {
        let log = File::create(folder.join(format!("nfcapd-{port}.log"))).expect("a file");
        let folder = folder.join(format!("nfcapd-{port}"));
        fs::create_dir(&folder).expect("a folder");
        let child = Command::new(program)
            .args(["-4", "-b", "127.0.0.1", "-B", "4000000", "-t", "86400"])
            .args(["-p", &port.to_string()])
            .arg("-w")
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("nfcapd starts");
        Self {
            child,
            port,
            folder,
        }
    }

    /// What it has not read yet, once it listens.
    fn waiting(&self) -> Option<Waiting> {
        let table = fs::read_to_string("/proc/net/udp").expect("Linux");
        let local = format!(":{:04X}", self.port);
        let line = table.lines().find(|line| {
            line.split_whitespace()
                .nth(1)
                .is_some_and(|own| own.ends_with(&local))
        })?;
        let (_, bytes) = line.split_whitespace().nth(4)?.split_once(':')?;
        Some(Waiting {
            bytes: u64::from_str_radix(bytes, 16).ok()?,
            dropped: line.split_whitespace().last()?.parse().ok()?,
        })
    }

    /// Ends it, and gives the folder of what it wrote, where it was in time for every datagram.
    pub(crate) fn finish(mut self) -> Option<PathBuf> {
        let mut dropped = 0;
        until("nfcapd reads all", || {
            let waiting = self.waiting().expect("it listens");
            dropped = waiting.dropped;
            waiting.bytes == 0
        });
        let term = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(term.expect("kill").success());
        self.child.wait().expect("nfcapd ends");
        (dropped == 0).then(|| self.folder.clone())
    }
}

impl Drop for Nfcapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
