//! Messages over a connection: TCP with octet counting (RFC 6587 §3.4.1), and TLS (RFC 5425).
//!
//! Syslog has no word for "received". What was written to a connection lies in buffers of two kernels and one program, and
//! is lost with the receiver (R. Gerhards, "On the (un)reliability of plain tcp syslog", 2008). So each batch has a
//! connection of its own: it is sent, the sending side is closed, and the batch counts as delivered when the receiver closes
//! its side too, which it does when it has read everything before. A receiver that dies earlier resets the connection or
//! says nothing, and the batch is sent again.

use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use rustls::{ClientConnection, StreamOwned};

use super::udp::first;
use crate::sink::{
    outlet::{Deliver, DeliveryError},
    tls::Secured,
};

/// A call to the network that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// So long the receiver may take for a batch; a slower one gets smaller batches.
const BATCH_PATIENCE: Duration = Duration::from_secs(8);

/// Messages for one connection, at most.
const LARGEST: usize = 4096;

/// A receiver of a stream.
pub struct ToStream {
    host: String,
    port: u16,
    tls: Option<Secured>,
    /// Whether a batch counts when the receiver closes, or when it is written.
    confirms: bool,
    open: Option<Connection>,
    /// Messages for one connection: as many as the receiver reads in time.
    portion: usize,
}

impl fmt::Debug for ToStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToStream")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("confirms", &self.confirms)
            .finish_non_exhaustive()
    }
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Connection {
    fn stream(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }

    /// Ends what is sent, and waits until the receiver has read it all and closes.
    fn confirm(mut self, until: Instant) -> io::Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket().shutdown(Shutdown::Write)?;
        let mut ignored = [0; 512];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.socket().set_read_timeout(Some(left))?;
            match self.read(&mut ignored) {
                Ok(0) => return Ok(()),
                // RFC 5425 §4.4 wants a close_notify; receivers that only close the connection are common.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
    }

    /// Whether the receiver closed meanwhile: what is written then is lost without a word.
    fn is_closed(&self) -> bool {
        let socket = self.socket();
        if socket.set_nonblocking(true).is_err() {
            return true;
        }
        let peeked = socket.peek(&mut [0]);
        let closed = match peeked {
            Ok(count) => count == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        socket.set_nonblocking(false).is_err() || closed
    }
}

impl ToStream {
    /// Connects with the first message. Without `confirms` a batch counts when it is written, over one connection that
    /// stays: for receivers that do not close when the sender does.
    pub const fn new(host: String, port: u16, tls: Option<Secured>, confirms: bool) -> Self {
        Self {
            host,
            port,
            tls,
            confirms,
            open: None,
            portion: LARGEST,
        }
    }

    fn connect(&self) -> io::Result<Connection> {
        let addresses = (self.host.as_str(), self.port).to_socket_addrs()?;
        let socket = first(addresses, |address| {
            TcpStream::connect_timeout(&address, PATIENCE)
        })?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Connection::Plain(socket));
        };
        Ok(Connection::Tls(Box::new(tls.over(socket)?)))
    }

    fn send(&mut self, messages: &[Vec<u8>]) -> io::Result<()> {
        let until = Instant::now() + BATCH_PATIENCE;
        let kept = self.open.take().filter(|open| !open.is_closed());
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let mut bytes = Vec::new();
        for message in messages {
            // MSG-LEN SP SYSLOG-MSG
            bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
            bytes.extend_from_slice(message);
        }
        for piece in bytes.chunks(16 << 10) {
            connection.stream().write_all(piece)?;
            if Instant::now() >= until {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        connection.stream().flush()?;
        if self.confirms {
            connection.confirm(until)
        } else {
            self.open = Some(connection);
            Ok(())
        }
    }
}

impl Deliver for ToStream {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        let portion = &parcels[..parcels.len().min(self.portion)];
        match self.send(portion) {
            Ok(()) => {
                self.portion = (self.portion * 2).min(LARGEST);
                (portion.len(), Ok(()))
            }
            Err(error) => {
                let is_late = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
                if is_late {
                    // It may be slow rather than dead: so much that it can be through in time.
                    self.portion = (portion.len() / 4).max(1);
                }
                let scheme = if self.tls.is_some() { "tls" } else { "tcp" };
                let what = if is_late {
                    "the receiver does not read, or does not close the connection when the sender does".to_owned()
                } else {
                    error.to_string()
                };
                let why = format!("{scheme} {}:{}: {what}", self.host, self.port);
                (0, Err(DeliveryError::later(why)))
            }
        }
    }
}
