//! What an operator has running: each a small receiver in the sensor's namespace that remembers what came and when.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    PATIENCE,
    netns::{Namespace, pause},
};

/// What came, and when.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<(Instant, String)>>>);

impl Heard {
    fn hear(&self, text: String) {
        self.0
            .lock()
            .expect("no receiver panicked")
            .push((Instant::now(), text));
    }

    /// When the first text came that holds all of `parts`.
    pub(crate) fn first(&self, parts: &[&str]) -> Option<Instant> {
        let heard = self.0.lock().expect("no receiver panicked");
        let is_it = |text: &str| parts.iter().all(|part| text.contains(part));
        heard
            .iter()
            .find(|(_, text)| is_it(text))
            .map(|(at, _)| *at)
    }

    /// Everything that holds all of `parts`.
    pub(crate) fn all(&self, parts: &[&str]) -> Vec<String> {
        let heard = self.0.lock().expect("no receiver panicked");
        let is_it = |text: &str| parts.iter().all(|part| text.contains(part));
        let found = heard.iter().filter(|(_, text)| is_it(text));
        found.map(|(_, text)| text.clone()).collect()
    }
}

/// A listener on a free port of loopback inside; threads end with the process.
fn listen(
    inside: &Namespace,
    each: impl Fn(TcpStream, &Heard) + Send + Sync + 'static,
) -> (u16, Heard) {
    let listener = inside.within(|| TcpListener::bind("127.0.0.1:0").expect("bind"));
    let port = listener.local_addr().expect("bound").port();
    let heard = Heard::default();
    let (ears, each) = (heard.clone(), Arc::new(each));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (ears, each) = (ears.clone(), Arc::clone(&each));
            thread::spawn(move || each(stream, &ears));
        }
    });
    (port, heard)
}

/// Takes HTTP posts.
pub(crate) fn http(inside: &Namespace) -> (u16, Heard) {
    listen(inside, |stream, heard| {
        let mut out = stream.try_clone().expect("a handle");
        let mut reader = BufReader::new(stream);
        loop {
            let (mut length, mut line) = (0, String::new());
            loop {
                line.clear();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            heard.hear(String::from_utf8_lossy(&body).into_owned());
            if out
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .is_err()
            {
                return;
            }
        }
    })
}

/// Takes mail (RFC 5321, as much as a client needs to hand it over).
pub(crate) fn smtp(inside: &Namespace) -> (u16, Heard) {
    listen(inside, |mut stream, heard| {
        let reader = BufReader::new(stream.try_clone().expect("a handle"));
        let mut say = |line: &str| stream.write_all(format!("{line}\r\n").as_bytes());
        if say("220 mail.example ESMTP").is_err() {
            return;
        }
        let mut letter: Option<String> = None;
        for line in reader.lines() {
            let Ok(line) = line else { return };
            if let Some(text) = &mut letter {
                if line == "." {
                    heard.hear(letter.take().unwrap_or_default());
                    let _ = say("250 taken");
                } else {
                    text.push_str(&line);
                    text.push('\n');
                }
                continue;
            }
            let command = line.to_ascii_uppercase();
            let _ = match command.split(' ').next().unwrap_or_default() {
                "EHLO" => say("250-mail.example").and_then(|()| say("250 8BITMIME")),
                "DATA" => {
                    letter = Some(String::new());
                    say("354 go on")
                }
                "QUIT" => {
                    let _ = say("221 bye");
                    return;
                }
                _ => say("250 ok"),
            };
        }
    })
}

/// Takes datagrams: syslog over UDP.
pub(crate) fn udp(inside: &Namespace) -> (u16, Heard) {
    let socket = inside.within(|| UdpSocket::bind("127.0.0.1:0").expect("bind"));
    let port = socket.local_addr().expect("bound").port();
    let heard = Heard::default();
    let ears = heard.clone();
    thread::spawn(move || {
        let mut datagram = vec![0; 65_536];
        while let Ok(length) = socket.recv(&mut datagram) {
            ears.hear(String::from_utf8_lossy(&datagram[..length]).into_owned());
        }
    });
    (port, heard)
}

/// A port for whoever listens in a namespace of the test's own: each is given once, and none by the system, which takes those
/// of connections from 32,768 on (`ip_local_port_range`).
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A program of somebody else's, inside; it ends with the test.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn start(inside: &Namespace, arguments: &[&str]) -> Self {
        let child = Command::new("ip")
            .args(["netns", "exec", &inside.name])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start a program");
        Self(child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether something listens.
pub(crate) fn listens(inside: &Namespace, port: u16) -> bool {
    inside.within(|| TcpStream::connect(("127.0.0.1", port)).is_ok())
}

/// Waits until something listens.
pub(crate) fn await_port(inside: &Namespace, port: u16) {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if listens(inside, port) {
            return;
        }
        pause(Duration::from_millis(100));
    }
    panic!("nothing listens on port {port}");
}

/// The body of a page, by HTTP/1.0.
pub(crate) fn get(inside: &Namespace, port: u16, path: &str) -> Option<String> {
    inside.within(|| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (_, body) = text.split_once("\r\n\r\n")?;
        Some(body.to_owned())
    })
}

/// All that a stream of Redis holds, in Redis's own protocol; less where the answer takes its time, so ask again.
pub(crate) fn redis(inside: &Namespace, port: u16, stream: &str) -> Option<String> {
    inside.within(|| {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
        connection
            .set_read_timeout(Some(Duration::from_millis(300)))
            .ok()?;
        let command = format!("XRANGE {stream} - +\r\n");
        connection.write_all(command.as_bytes()).ok()?;
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        Some(String::from_utf8_lossy(&answer).into_owned())
    })
}
