//! An HTTP receiver that answers as it is told to, and remembers what it was sent.

use std::{
    collections::VecDeque,
    fs,
    io::{self, BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver as Ended, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// How to answer one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status, further header lines, body.
    Status(u16, &'static str, &'static str),
    /// Take the request, and say nothing until the receiver is dropped.
    Hang,
    /// Take the request and close the connection.
    Close,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    requests: Vec<Request>,
    hanging: Vec<TcpStream>,
}

/// A receiver on an ephemeral port of this machine. Ends with the test program.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _alive: Sender<()>,
}

impl Receiver {
    /// Answers in this order, and 200 after that.
    pub(crate) fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::with(answers, None)
    }

    /// The same over TLS, with `cert.pem` and `key.pem` of a folder.
    pub(crate) fn tls(folder: &Path) -> Self {
        let read = |name| fs::read(folder.join(name)).expect("made before");
        let certificate = CertificateDer::from_pem_slice(&read("cert.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a pair");
        Self::with([], Some(Arc::new(config)))
    }

    fn with(answers: impl IntoIterator<Item = Answer>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State {
            answers: answers.into_iter().collect(),
            ..State::default()
        }));
        let (alive, ended) = channel();
        let shared = Arc::clone(&state);
        thread::spawn(move || serve(&listener, &shared, tls.as_ref(), &ended));
        Self {
            address,
            state,
            _alive: alive,
        }
    }

    /// Waits until so many requests were taken; a bound against hanging.
    pub(crate) fn wait_for(&self, requests: usize) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.requests().len() < requests && Instant::now() < until {
            thread::park_timeout(Duration::from_millis(10));
        }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().expect("no panic").requests.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.lock() {
            state.hanging.clear();
        }
    }
}

fn serve(
    listener: &TcpListener,
    state: &Mutex<State>,
    tls: Option<&Arc<ServerConfig>>,
    ended: &Ended<()>,
) {
    for stream in listener.incoming() {
        if ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
        // A client that breaks off is what some tests are about.
        let _ = match tls {
            None => answer(stream.try_clone(), Some(stream), state),
            Some(config) => {
                let connection =
                    ServerConnection::new(Arc::clone(config)).expect("a configuration");
                answer(Ok(StreamOwned::new(connection, stream)), None, state)
            }
        };
    }
}

fn answer<S: io::Read + io::Write>(
    stream: io::Result<S>,
    plain: Option<TcpStream>,
    state: &Mutex<State>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream?);
    let mut request = Request {
        line: String::new(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    reader.read_line(&mut request.line)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
    }
    let length = request
        .header("content-length")
        .and_then(|text| text.parse().ok());
    request.body.resize(length.unwrap_or(0), 0);
    reader.read_exact(&mut request.body)?;
    let told = {
        let mut state = state.lock().expect("no panic");
        state.requests.push(request);
        let told = state.answers.pop_front();
        let told = told.unwrap_or(Answer::Status(200, "", "ok"));
        if matches!(told, Answer::Hang) {
            state.hanging.extend(plain);
        }
        told
    };
    if let Answer::Status(code, headers, body) = told {
        write!(
            reader.get_mut(),
            "HTTP/1.1 {code} Said\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        reader.get_mut().flush()?;
    }
    Ok(())
}
