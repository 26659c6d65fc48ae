//! rsyslogd takes our messages over UDP, TCP and TLS, and is killed while it does.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use sensor::{
    metrics::Metrics,
    sink::{
        outlet::Deliver,
        syslog::{ToStream, ToUdp},
        tls::Secured,
    },
};

use super::{HANGING, alert, expect_each, number, outlets, pause, program, start, syslog, until};

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
}

impl Rsyslog {
    /// `inputs` are lines of its configuration. What it takes it writes before it takes more, so that what it has
    /// confirmed is in the file whenever it dies.
    fn start(program: &Path, folder: &Path, inputs: &str) -> Self {
        let text = format!(
            "global(workDirectory=\"{folder}\" maxMessageSize=\"8k\")\n\
             main_queue(queue.type=\"Direct\")\n\
             template(name=\"all\" type=\"string\" string=\"%pri%|%timereported:::date-rfc3339%|%hostname%|%app-name%|%msgid%|%structured-data%|%msg%\\n\")\n\
             {inputs}\n\
             action(type=\"omfile\" file=\"{folder}/received\" template=\"all\" asyncWriting=\"off\" flushOnTXEnd=\"on\")\n",
            folder = folder.display()
        );
        fs::write(folder.join("conf"), text).expect("written");
        let mut this = Self {
            child: Self::spawn(program, folder),
            folder: folder.to_owned(),
            program: program.to_owned(),
        };
        this.check();
        this
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

    fn check(&mut self) {
        pause(Duration::from_millis(100));
        let said = fs::read_to_string(self.folder.join("said")).unwrap_or_default();
        let ended = self.child.try_wait().expect("asked");
        assert!(ended.is_none(), "rsyslogd: {ended:?}: {said}");
    }

    /// `kill -9`, and a new one with the same configuration.
    fn die_and_return(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        pause(Duration::from_millis(50));
        self.child = Self::spawn(&self.program, &self.folder);
        self.check();
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

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("bound").port()
}

fn wait_for(port: u16) {
    until("rsyslogd listens", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    });
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
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    let port = port.expect("a port").port();
    let inputs = format!(
        "module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\" rcvbufSize=\"4m\")"
    );
    let rsyslog = Rsyslog::start(&rsyslogd, folder.path(), &inputs);
    let mut udp = ToUdp::new("127.0.0.1".to_owned(), port);
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
    let port = free_port();
    let inputs = format!(
        "module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")"
    );
    let rsyslog = Rsyslog::start(&rsyslogd, folder.path(), &inputs);
    killed_under_load(rsyslog, port, None);
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
    let port = free_port();
    let inputs = format!(
        "global(defaultNetstreamDriver=\"gtls\" defaultNetstreamDriverCAFile=\"{}\" \
         defaultNetstreamDriverCertFile=\"{}\" defaultNetstreamDriverKeyFile=\"{}\")\n\
         module(load=\"imtcp\" streamDriver.name=\"gtls\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")",
        certificate("ca.pem").display(),
        certificate("server.pem").display(),
        certificate("server.key").display(),
    );
    let rsyslog = Rsyslog::start(&rsyslogd, folder.path(), &inputs);
    // Who does not know the authority does not talk to it.
    wait_for(port);
    let secured = Secured::new("127.0.0.1", None, None).expect("starts");
    let mut stranger = ToStream::new("127.0.0.1".to_owned(), port, Some(secured), true);
    let (count, refused) = stranger.deliver(&[b"<13>1 - - - - - - x".to_vec()]);
    let refused = refused.expect_err("not trusted").to_string();
    assert!(count == 0 && refused.contains("certificate"), "{refused}");
    let authorities = certificate("ca.pem");
    let secured = Secured::new("127.0.0.1", Some(&authorities), None).expect("starts");
    killed_under_load(rsyslog, port, Some(secured));
}

fn killed_under_load(mut rsyslog: Rsyslog, port: u16, tls: Option<Secured>) {
    const COUNT: u64 = 10_000;
    let folder = tempfile::tempdir().expect("folder");
    let metrics = Metrics::new();
    let mut outlets = outlets(folder.path(), &metrics);
    wait_for(port);
    let stream = ToStream::new("127.0.0.1".to_owned(), port, tls, true);
    let queue = start(&mut outlets, "syslog", syslog(), Box::new(stream));
    for number in 0..COUNT {
        queue.send(alert(number)).expect("open");
        if number == COUNT / 3 || number == COUNT / 2 {
            rsyslog.die_and_return();
        }
    }
    drop(queue);
    // A stop gives a receiver that is away one more chance; this one is only slow to return.
    wait_for(port);
    until("all are received", || {
        rsyslog.numbers().len() as u64 == COUNT
    });
    let left = outlets.stop(HANGING);
    assert_eq!(left[0].waiting, 0);
    expect_each(&rsyslog.numbers(), COUNT);
    expect_fields(&rsyslog.received());
    let lines = rsyslog.received().lines().count();
    eprintln!("{COUNT} incidents to rsyslogd, killed twice: {lines} lines");
}
