//! Entries in the stream of a real redis-server.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use redis::streams::{StreamId, StreamRangeReply};
use sensor::{
    score::Stage,
    sink::{
        alert::{Alert, example},
        outlet::{Deliver as _, DeliveryError, Encode as _},
        redis_stream::{Entries, Stream},
    },
};

use crate::{
    made::{certificate, config, flows, hostile, message, secret},
    ports, program,
};

/// Only a hang takes so long.
const HANGING: Duration = Duration::from_secs(60);

/// redis-server without a disk; ends when it is dropped.
pub(crate) struct Server {
    program: PathBuf,
    folder: PathBuf,
    child: Child,
    pub(crate) port: u16,
    is_tls: bool,
}

impl Server {
    /// Nothing where there is no redis-server.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        Self::with(folder, false)
    }

    /// The same with TLS only, for clients that show the certificate in the folder.
    fn start_tls(folder: &Path) -> Option<Self> {
        certificate(folder);
        Self::with(folder, true)
    }

    fn with(folder: &Path, is_tls: bool) -> Option<Self> {
        let program = program::find("redis-server")?;
        // A port that is free now may be taken by the time the server wants it: another, then.
        for _ in 0..5 {
            let port = ports::free();
            let child = spawn(&program, folder, port, is_tls);
            let mut server = Self {
                program: program.clone(),
                folder: folder.to_owned(),
                child,
                port,
                is_tls,
            };
            if server.listens() {
                return Some(server);
            }
        }
        panic!("redis-server does not start");
    }

    /// Waits until it answers: a connection alone is made by the system, which does not ask the program.
    fn listens(&mut self) -> bool {
        let until = Instant::now() + HANGING;
        while Instant::now() < until {
            if let Ok(mut asked) = TcpStream::connect(("127.0.0.1", self.port)) {
                let _ = asked.set_read_timeout(Some(HANGING));
                let _ = asked.write_all(b"PING\r\n");
                // Over TLS this is nonsense, and the end of the connection is the answer, with or without an error.
                let answer = asked.read(&mut [0; 64]);
                let is_late = answer.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
                return !is_late && self.runs();
            }
            if !self.runs() {
                return false;
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        false
    }

    fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    pub(crate) fn kill(&mut self) {
        // Its own child, by its id.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn restart(&mut self) {
        for _ in 0..5 {
            self.kill();
            self.child = spawn(&self.program, &self.folder, self.port, self.is_tls);
            if self.listens() {
                return;
            }
        }
        panic!("redis-server does not come back");
    }

    /// Stops it, or lets it go on.
    fn signal(&self, signal: i32) {
        // SAFETY: a system call with numbers; the id is that of a child that was not waited for.
        let sent = unsafe { libc::kill(self.child.id() as i32, signal) };
        assert_eq!(sent, 0);
    }

    pub(crate) fn entries(&self, key: &str) -> Vec<StreamId> {
        let whom = format!("redis://:s3cret@127.0.0.1:{}/", self.port);
        let client = redis::Client::open(whom).expect("an address");
        let mut connection = client.get_connection().expect("a connection");
        let reply: StreamRangeReply = redis::cmd("XRANGE")
            .arg(key)
            .arg("-")
            .arg("+")
            .query(&mut connection)
            .expect("a stream");
        reply.ids
    }
}

fn spawn(program: &Path, folder: &Path, port: u16, is_tls: bool) -> Child {
    let port = port.to_string();
    let tls = [
        "--port",
        "0",
        "--tls-port",
        &port,
        "--tls-cert-file",
        "cert.pem",
        "--tls-key-file",
        "key.pem",
        "--tls-ca-cert-file",
        "cert.pem",
    ];
    let place = if is_tls { &tls[..] } else { &["--port", &port] };
    Command::new(program)
        .current_dir(folder)
        .args(["--bind", "127.0.0.1"])
        .args(place)
        .args([
            "--save",
            "",
            "--appendonly",
            "no",
            "--requirepass",
            "s3cret",
        ])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn made(server: &Server, folder: &Path, more: &[(&str, &str)]) -> (Entries, Stream) {
    let address = format!("127.0.0.1:{}", server.port);
    let password = secret(folder, "password", "s3cret\n");
    let mut settings = vec![
        ("redis.server", address.as_str()),
        ("redis.password_file", &password),
        ("redis.timeout", "10s"),
    ];
    settings.extend(more);
    let settings = config(&settings).redis;
    (
        Entries::new(&settings, "edge-1"),
        Stream::new(&settings)
            .expect("certificates")
            .expect("a server"),
    )
}

fn entries(encode: &mut Entries, alerts: impl IntoIterator<Item = Alert>) -> Vec<Vec<u8>> {
    let mut parcels = Vec::new();
    for alert in alerts {
        encode.encode(&message(alert), &mut parcels);
    }
    parcels
}

#[test]
fn alerts_and_flows_are_entries() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(server) = Server::start(folder.path()) else {
        return;
    };
    let (mut encode, mut stream) = made(&server, folder.path(), &[("redis.flows", "true")]);
    let strange = hostile("a\r\n*1\r\n$4\r\nPING\r\n\0\u{202e}\"'");
    let mut parcels = entries(&mut encode, [example(1), strange.clone()]);
    let progress = Alert {
        stage: Stage::Progress,
        ..example(1)
    };
    assert!(entries(&mut encode, [progress]).is_empty());
    encode.encode(&flows(3), &mut parcels);
    assert_eq!(stream.deliver(&parcels), (5, Ok(())));
    assert!(stream.said().starts_with("entry "), "{}", stream.said());
    let entries = server.entries("anomaly-detect");
    let field = |at: usize, name| entries[at].get::<String>(name).expect("a field");
    assert_eq!(entries.len(), 5);
    for (name, value) in [
        ("type", "alert"),
        ("sensor", "edge-1"),
        ("id", "0000000000000001"),
        ("stage", "new"),
        ("severity", "critical"),
        ("kind", "port scan (vertical)"),
        ("host", "192.0.2.99"),
        ("first", "2026-01-05T08:00:00.000000000Z"),
        ("count", "812"),
    ] {
        assert_eq!(field(0, name), value);
    }
    let back: Alert = serde_json::from_str(&field(1, "json")).expect("an alert");
    assert_eq!(back, strange);
    assert_eq!(field(1, "host"), strange.host);
    assert_eq!(field(4, "type"), "flow");
    let flow: serde_json::Value = serde_json::from_str(&field(4, "json")).expect("a flow");
    assert_eq!(flow["flow_id"], "0000000000000002");
}

#[test]
fn a_stream_keeps_its_length() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(server) = Server::start(folder.path()) else {
        return;
    };
    let more = [
        ("redis.flows", "true"),
        ("redis.max_length", "200"),
        ("redis.stream", "fleet:1"),
    ];
    let (mut encode, mut stream) = made(&server, folder.path(), &more);
    let mut parcels = Vec::new();
    encode.encode(&flows(5000), &mut parcels);
    for parcels in parcels.chunks(500) {
        assert_eq!(stream.deliver(parcels), (500, Ok(())));
    }
    // `~` lets Redis keep what is left of a node of at most a hundred entries.
    let kept = server.entries("fleet:1").len();
    assert!((200..=300).contains(&kept), "{kept}");
}

#[test]
fn a_server_that_goes_and_comes_back_gets_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut server) = Server::start(folder.path()) else {
        return;
    };
    let (mut encode, mut stream) = made(&server, folder.path(), &[]);
    let parcels = entries(&mut encode, (0..3).map(example));
    assert_eq!(stream.deliver(&parcels), (3, Ok(())));
    // Connected like the other, and with less patience: a server that is only slow may be too slow for it.
    let (_, mut impatient) = made(&server, folder.path(), &[("redis.timeout", "300ms")]);
    let begun = Instant::now();
    while impatient.deliver(&parcels) != (3, Ok(())) {
        assert!(begun.elapsed() < HANGING, "it answers");
    }
    server.signal(libc::SIGSTOP);
    let begun = Instant::now();
    let hung = impatient.deliver(&parcels);
    let (0, Err(DeliveryError::Later { why, .. })) = &hung else {
        panic!("{hung:?}")
    };
    assert!(why.contains("no answer within 300 ms"), "{why}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    server.signal(libc::SIGCONT);
    server.kill();
    let gone = stream.deliver(&parcels);
    assert!(
        matches!(gone, (0, Err(DeliveryError::Later { .. }))),
        "{gone:?}"
    );
    server.restart();
    assert_eq!(stream.deliver(&parcels), (3, Ok(())));
    assert_eq!(server.entries("anomaly-detect").len(), 3);
}

#[test]
fn over_tls_only_who_is_trusted_gets_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut server) = Server::start_tls(folder.path()) else {
        return;
    };
    let [certificate, key] =
        ["cert.pem", "key.pem"].map(|name| folder.path().join(name).display().to_string());
    let trusting = [
        ("redis.tls", "true"),
        ("redis.flows", "true"),
        ("redis.ca_file", certificate.as_str()),
        ("redis.cert_file", &certificate),
        ("redis.key_file", &key),
    ];
    let (mut encode, mut stream) = made(&server, folder.path(), &trusting);
    let mut parcels = entries(&mut encode, (0..3).map(example));
    // More than a record of TLS and a segment of TCP hold.
    encode.encode(&flows(400), &mut parcels);
    assert_eq!(stream.deliver(&parcels), (403, Ok(())));
    assert!(stream.said().starts_with("entry "), "{}", stream.said());
    assert_eq!(
        stream.deliver(&parcels[..1]),
        (1, Ok(())),
        "the connection stays"
    );

    // Killed and back: another handshake, and the rest.
    server.restart();
    let (taken, gone) = stream.deliver(&parcels[..2]);
    assert!(taken == 0 && gone.is_err(), "{taken} {gone:?}");
    assert_eq!(stream.deliver(&parcels[..2]), (2, Ok(())));

    let refused = |more: &[(&str, &str)]| {
        let (_, mut stream) = made(&server, folder.path(), more);
        match stream.deliver(&parcels) {
            (0, Err(DeliveryError::Later { why, .. })) => why,
            other => panic!("{more:?}: {other:?}"),
        }
    };
    // Nobody signed for it that the system knows; the key that would cure it is named.
    let why = refused(&[("redis.tls", "true")]);
    assert!(
        why.contains("UnknownIssuer") && why.contains("redis.ca_file"),
        "{why}"
    );
    // Without a certificate of our own it wants nothing from us (tls-auth-clients), nor without TLS.
    refused(&trusting[..3]);
    refused(&[("redis.timeout", "500ms")]);
}

#[test]
fn what_redis_refuses_waits_for_a_person() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(server) = Server::start(folder.path()) else {
        return;
    };
    let client = redis::Client::open(format!("redis://:s3cret@127.0.0.1:{}/", server.port));
    let mut connection = client
        .and_then(|client| client.get_connection())
        .expect("Redis");
    redis::cmd("SET")
        .arg("taken")
        .arg("a text")
        .exec(&mut connection)
        .expect("a key");
    let (mut encode, mut stream) = made(&server, folder.path(), &[("redis.stream", "taken")]);
    let parcels = entries(&mut encode, [example(1)]);
    let refused = stream.deliver(&parcels);
    let (0, Err(DeliveryError::Later { why, .. })) = &refused else {
        panic!("{refused:?}")
    };
    assert!(why.starts_with("WRONGTYPE"), "{why}");
    let wrong = secret(folder.path(), "wrong", "guess");
    let (_, mut stream) = made(&server, folder.path(), &[("redis.password_file", &wrong)]);
    let refused = stream.deliver(&parcels);
    let (0, Err(DeliveryError::Later { why, .. })) = &refused else {
        panic!("{refused:?}")
    };
    assert!(why.contains("password") && !why.contains("guess"), "{why}");
}
