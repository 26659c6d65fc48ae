//! rsyslogd takes our messages over UDP, TCP and TLS, and is killed while it does.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use sensor::{
    metrics::Metrics,
    sink::{
        outlet::Deliver,
        syslog::{ToStream, ToUdp},
        tls::Secured,
    },
};

use super::{
    HANGING, alert, expect_each, number, outlets, pause, ports, program, start, syslog, until,
};

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sinks/tls")
        .join(name)
}

/// A receiver with a folder of its own, ended with the test.
struct Rsyslog {
    child: Child,
    folder: PathBuf,
    program: PathBuf,
    /// Where it listens, in which table of `/proc/net`.
    place: (&'static str, u16),
}

/// A socket of this machine.
struct Socket {
    is_listening: bool,
    /// Bytes that its program has not read; the end of a stream counts as one.
    unread: u64,
    inode: u64,
}

/// The sockets of a table at a local port that are some program's: a connection that was not accepted yet, or that its program
/// has closed, has no inode.
fn sockets((table, port): (&str, u16)) -> Vec<Socket> {
    let text = fs::read_to_string(format!("/proc/net/{table}")).expect("Linux");
    let socket = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (_, own) = fields.get(1)?.split_once(':')?;
        let (_, unread) = fields.get(4)?.split_once(':')?;
        (u16::from_str_radix(own, 16).ok()? == port).then_some(())?;
        Some(Socket {
            // TCP_LISTEN; of UDP, TCP_CLOSE is what is not connected.
            is_listening: matches!(*fields.get(3)?, "0A" | "07"),
            unread: u64::from_str_radix(unread, 16).ok()?,
            inode: fields.get(9)?.parse().ok()?,
        })
    };
    let all = text.lines().filter_map(socket);
    all.filter(|socket| socket.inode != 0).collect()
}

impl Rsyslog {
    /// `inputs` are lines of its configuration, for a port. What it takes it writes before it takes more.
    fn start(
        program: &Path,
        folder: &Path,
        table: &'static str,
        inputs: impl Fn(u16) -> String,
    ) -> Self {
        // Somebody else may want the same port in the same moment: another, then.
        for _ in 0..5 {
            let port = ports::free();
            configure(folder, &inputs(port));
            let mut this = Self {
                child: Self::spawn(program, folder),
                folder: folder.to_owned(),
                program: program.to_owned(),
                place: (table, port),
            };
            if this.listens() {
                return this;
            }
        }
        panic!("rsyslogd does not listen");
    }

    fn spawn(program: &Path, folder: &Path) -> Child {
        let _ = fs::remove_file(folder.join("pid"));
        let said = fs::File::create(folder.join("said")).expect("file");
        Command::new(program)
            .arg("-n")
            .arg("-f")
            .arg(folder.join("conf"))
            .arg("-i")
            .arg(folder.join("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("rsyslogd starts")
    }

    /// Waits until it listens; not so where it cannot.
    fn listens(&mut self) -> bool {
        let begin = Instant::now();
        loop {
            if sockets(self.place)
                .iter()
                .any(|one| one.is_listening && self.has(one))
            {
                return true;
            }
            let said = fs::read_to_string(self.folder.join("said")).unwrap_or_default();
            if said.contains("already in use") {
                return false;
            }
            let ended = self.child.try_wait().expect("asked");
            assert!(ended.is_none(), "rsyslogd: {ended:?}: {said}");
            assert!(begin.elapsed() < HANGING, "rsyslogd listens: {said}");
            pause(Duration::from_millis(5));
        }
    }

    /// Whether a socket is its own.
    fn has(&self, socket: &Socket) -> bool {
        let name = format!("socket:[{}]", socket.inode);
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        open.into_iter().flatten().any(|entry| {
            let link = entry.and_then(|entry| fs::read_link(entry.path()));
            link.is_ok_and(|link| link.as_os_str() == name.as_str())
        })
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a system call with numbers; the id is that of a child that was not waited for.
        let sent = unsafe { libc::kill(self.child.id() as i32, signal) };
        assert_eq!(sent, 0);
    }

    /// Stops it, and gives the sockets of its connections as they are then.
    fn stopped(&self) -> Vec<Socket> {
        self.signal(libc::SIGSTOP);
        let mut status = 0;
        // SAFETY: waits for a child of ours; the status is a place of this function.
        let waited =
            unsafe { libc::waitpid(self.child.id() as i32, &raw mut status, libc::WUNTRACED) };
        assert!(waited > 0 && libc::WIFSTOPPED(status), "it ended");
        let mut all = sockets(self.place);
        all.retain(|socket| !socket.is_listening);
        all
    }

    /// `kill -9`, and a new one with the same configuration; with how many connections that it had not read to the end.
    ///
    /// What it has read and not written down goes with it. If that was all, the system ends the connection as if it had been
    /// taken, which is what the sink goes by: it claims what was read, and not what became of it. So it is not killed then.
    fn die_and_return(&mut self) -> usize {
        let begin = Instant::now();
        let mut looks = 0;
        let unread = loop {
            let open = self.stopped();
            // In the midst of one is what is wanted; between two of them will do where there was none for long.
            looks += 1;
            if open.iter().all(|socket| socket.unread > 1) && (!open.is_empty() || looks > 1000) {
                break open.len();
            }
            self.signal(libc::SIGCONT);
            assert!(begin.elapsed() < HANGING, "it reads and never ends");
            pause(Duration::from_millis(1));
        };
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        pause(Duration::from_millis(50));
        let begin = Instant::now();
        loop {
            self.child = Self::spawn(&self.program, &self.folder);
            if self.listens() {
                return unread;
            }
            assert!(begin.elapsed() < HANGING, "its port is not free");
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn received(&self) -> String {
        fs::read_to_string(self.folder.join("received")).unwrap_or_default()
    }

    fn numbers(&self) -> BTreeMap<u64, u32> {
        let mut came = BTreeMap::new();
        // A line that was being written when it was killed is none.
        for line in self
            .received()
            .lines()
            .filter(|line| line.ends_with(" in 4 s"))
        {
            if let Some(number) = number(line) {
                *came.entry(number).or_default() += 1;
            }
        }
        came
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configure(folder: &Path, inputs: &str) {
    let text = format!(
        "global(workDirectory=\"{folder}\" maxMessageSize=\"8k\")\n\
         main_queue(queue.type=\"Direct\")\n\
         template(name=\"all\" type=\"string\" string=\"%pri%|%timereported:::date-rfc3339%|%hostname%|%app-name%|%msgid%|%structured-data%|%msg%\\n\")\n\
         {inputs}\n\
         action(type=\"omfile\" file=\"{folder}/received\" template=\"all\" asyncWriting=\"off\" flushOnTXEnd=\"on\")\n",
        folder = folder.display()
    );
    fs::write(folder.join("conf"), text).expect("written");
}

/// What is in a message is what its fields say.
fn expect_fields(received: &str) {
    let line = received.lines().next().expect("a line");
    let fields: Vec<_> = line.splitn(7, '|').collect();
    assert_eq!(fields[0], "131", "local0, error: {line}");
    assert_eq!(fields[1], "2023-11-14T22:13:24.250000Z");
    assert_eq!(fields[2..5], ["sensor-1", "anomaly-detect", "incident-new"]);
    assert!(fields[5].starts_with("[incident@32473 id=\"0000000000000000\" stage=\"new\""));
    assert!(
        fields[5].contains(" kind=\"port scan (vertical)\"")
            && fields[5].ends_with(" techniques=\"T1046\"]")
    );
    assert_eq!(
        fields[6],
        "192.0.2.99 tried 200 ports of \"192.0.2.1\" in 4 s"
    );
}

#[test]
fn rsyslogd_takes_udp() {
    let Some(rsyslogd) = program::find("rsyslogd") else {
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    let inputs = |port| {
        format!(
            "module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\" rcvbufSize=\"4m\")"
        )
    };
    let rsyslog = Rsyslog::start(&rsyslogd, folder.path(), "udp", inputs);
    let mut udp = ToUdp::new("127.0.0.1".to_owned(), rsyslog.place.1);
    let mut parcels = Vec::new();
    let mut encode = syslog();
    for message in (0..300).map(alert) {
        encode.encode(&message, &mut parcels);
    }
    // Until it listens, a datagram is refused, and the sink says so.
    until("the first is received", || {
        let _ = udp.deliver(&parcels[..1]);
        pause(Duration::from_millis(20));
        !rsyslog.received().is_empty()
    });
    assert_eq!(udp.deliver(&parcels[1..]), (299, Ok(())));
    until("all are received", || rsyslog.numbers().len() == 300);
    expect_fields(&rsyslog.received());
}

#[test]
fn rsyslogd_takes_tcp_and_loses_nothing_when_it_is_killed() {
    let Some(rsyslogd) = program::find("rsyslogd") else {
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    let inputs = |port| {
        format!(
            "module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")"
        )
    };
    let rsyslog = Rsyslog::start(&rsyslogd, folder.path(), "tcp", inputs);
    killed_under_load(rsyslog, None);
}

#[test]
fn rsyslogd_takes_tls_and_loses_nothing_when_it_is_killed() {
    let Some(rsyslogd) = program::find("rsyslogd") else {
        return;
    };
    let driver = Path::new("/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so");
    if std::env::consts::ARCH == "x86_64" && !driver.exists() {
        eprintln!("not run: no rsyslog-gnutls");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let inputs = |port| {
        format!(
            "global(defaultNetstreamDriver=\"gtls\" defaultNetstreamDriverCAFile=\"{}\" \
         defaultNetstreamDriverCertFile=\"{}\" defaultNetstreamDriverKeyFile=\"{}\")\n\
         module(load=\"imtcp\" streamDriver.name=\"gtls\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")",
            certificate("ca.pem").display(),
            certificate("server.pem").display(),
            certificate("server.key").display(),
        )
    };
    let rsyslog = Rsyslog::start(&rsyslogd, folder.path(), "tcp", inputs);
    let port = rsyslog.place.1;
    // Who does not know the authority does not talk to it.
    let secured = Secured::new("127.0.0.1", None, None).expect("starts");
    let mut stranger = ToStream::new("127.0.0.1".to_owned(), port, Some(secured), true);
    let (count, refused) = stranger.deliver(&[b"<13>1 - - - - - - x".to_vec()]);
    let refused = refused.expect_err("not trusted").to_string();
    assert!(count == 0 && refused.contains("certificate"), "{refused}");
    let authorities = certificate("ca.pem");
    let secured = Secured::new("127.0.0.1", Some(&authorities), None).expect("starts");
    killed_under_load(rsyslog, Some(secured));
}

fn killed_under_load(mut rsyslog: Rsyslog, tls: Option<Secured>) {
    const COUNT: u64 = 10_000;
    let folder = tempfile::tempdir().expect("folder");
    let metrics = Metrics::new();
    let mut outlets = outlets(folder.path(), &metrics);
    let stream = ToStream::new("127.0.0.1".to_owned(), rsyslog.place.1, tls, true);
    let queue = start(&mut outlets, "syslog", syslog(), Box::new(stream));
    let sent = AtomicU64::new(0);
    let unread: usize = std::thread::scope(|scope| {
        let sent = &sent;
        scope.spawn(move || {
            for number in 0..COUNT {
                queue.send(alert(number)).expect("open");
                sent.store(number, Ordering::Relaxed);
            }
        });
        let killed = [COUNT / 3, COUNT / 2].map(|number| {
            until("so many are sent", || {
                sent.load(Ordering::Relaxed) >= number
            });
            rsyslog.die_and_return()
        });
        killed.iter().sum()
    });
    until("all are received", || {
        rsyslog.numbers().len() as u64 == COUNT
    });
    let left = outlets.stop(HANGING);
    assert_eq!(left[0].waiting, 0);
    expect_each(&rsyslog.numbers(), COUNT);
    expect_fields(&rsyslog.received());
    let lines = rsyslog.received().lines().count();
    eprintln!(
        "{COUNT} incidents to rsyslogd, killed twice, with {unread} connections open: {lines} lines"
    );
}
