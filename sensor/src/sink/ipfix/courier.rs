//! Takes parcels to a collector, over UDP or TCP.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    time::{Duration, Instant},
};

use crossbeam::channel;

use super::{
    Session,
    session::{Body, Refresh},
    socket,
};
use crate::{
    config::{Collector, Ipfix, Transport},
    time,
};

/// Longest wait for the collector, in each call.
const PATIENCE: Duration = Duration::from_secs(5);
/// Datagrams that may go at once before the rate holds them back: what a collector's socket takes while it is not looking.
const BURST: f64 = 32.0;
/// A message over TCP is at most this long (RFC 7011 §3.1: 16 bits of length).
const TCP_MESSAGE_BYTES: usize = u16::MAX as usize;
/// RFC 7011 §10.3.3: where the MTU of the path is not known, packets of at most 512 bytes; less than a template is of no use.
const LEAST_MESSAGE_BYTES: usize = 400;

/// What went out so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Messages with data.
    pub messages: u64,
    /// Messages with templates.
    pub templates: u64,
    /// Data records.
    pub records: u64,
    /// Bytes of all messages.
    pub bytes: u64,
    /// Connections that were made.
    pub connections: u64,
}

/// Why parcels did not get there.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The host has no address.
    #[error("no address of {host}: {error}")]
    Name {
        /// As configured.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// Nobody there, or it does not take what it is sent.
    #[error("{collector}: {error}")]
    Io {
        /// As configured.
        collector: String,
        /// What the system said.
        error: io::Error,
    },
    /// The collector's machine does not acknowledge.
    #[error("{collector}: {bytes} bytes not acknowledged")]
    Stuck {
        /// As configured.
        collector: String,
        /// How many.
        bytes: usize,
    },
    /// The next parcel can never be sent.
    #[error("a parcel that cannot be sent: {0}")]
    Damaged(#[from] super::session::Damaged),
}

#[derive(Debug)]
enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// A connection to a collector, made when there is something to send.
#[derive(Debug)]
pub struct Courier {
    collector: Collector,
    session: Session,
    link: Option<Link>,
    /// Bytes of a message at most: as configured, and as the path takes.
    configured_bytes: usize,
    message_bytes: usize,
    rate: f64,
    /// Messages that may go now, and when that was counted.
    allowance: f64,
    counted: Instant,
    sent: Sent,
}

impl Courier {
    /// Not connected yet.
    pub fn new(collector: Collector, settings: &Ipfix) -> Self {
        let refresh = (collector.transport == Transport::Udp).then_some(Refresh {
            interval: settings.template_interval,
            messages: settings.template_messages,
        });
        Self {
            session: Session::new(settings.domain, refresh),
            link: None,
            configured_bytes: settings.message_bytes,
            message_bytes: settings.message_bytes,
            rate: f64::from(settings.rate),
            allowance: BURST,
            counted: Instant::now(),
            sent: Sent::default(),
            collector,
        }
    }

    /// What went out so far.
    pub const fn sent(&self) -> Sent {
        self.sent
    }

    /// Where to.
    pub const fn collector(&self) -> &Collector {
        &self.collector
    }

    /// Sends parcels. The number is of those, from the first, that the collector's machine has as far as this side can know:
    /// over UDP they were sent, over TCP they were acknowledged.
    ///
    /// # Errors
    /// What is in the way of the next one.
    pub fn send(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), SendError>) {
        if let Err(error) = self.connect() {
            return (0, Err(error));
        }
        for (at, parcel) in parcels.iter().enumerate() {
            if let Err(error) = self.parcel(parcel) {
                if matches!(error, SendError::Damaged(_)) {
                    // The connection is as good as before; what went ahead of it is there, or will be said not to be.
                    return match self.settle() {
                        Ok(()) => (at, Err(error)),
                        Err(error) => (0, Err(error)),
                    };
                }
                let got = match &self.link {
                    Some(Link::Udp(_)) => at,
                    // Of a broken connection nobody knows what arrived.
                    _ => 0,
                };
                self.lost();
                return (got, Err(error));
            }
        }
        match self.settle() {
            Ok(()) => (parcels.len(), Ok(())),
            Err(error) => (0, Err(error)),
        }
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.link = None;
    }

    /// After an error: the next message begins with templates, over TCP in another connection.
    fn lost(&mut self) {
        match &self.link {
            Some(Link::Udp(_)) => self.session.announce_again(),
            _ => self.link = None,
        }
    }

    fn parcel(&mut self, parcel: &[u8]) -> Result<(), SendError> {
        // A path that turns out to be narrower: the same records, in more messages.
        for _ in 0..3 {
            let bodies = self.session.bodies(parcel, self.limit())?;
            match self.bodies(&bodies) {
                Err(error) if socket::is_too_long(&error) && self.narrowed() => {}
                Err(error) => return Err(self.failed(error)),
                Ok(()) => return Ok(()),
            }
        }
        Err(self.failed(io::ErrorKind::Other.into()))
    }

    fn bodies(&mut self, bodies: &[Body]) -> io::Result<()> {
        let limit = self.limit();
        for body in bodies {
            let now = time::now();
            for message in self.session.templates(body, limit, now) {
                self.message(&message)?;
                self.sent.templates += 1;
            }
            let message = self.session.message(&body.bytes, now);
            self.message(&message)?;
            self.session.sent(body);
            self.sent.messages += 1;
            self.sent.records += u64::from(body.records);
        }
        Ok(())
    }

    fn message(&mut self, message: &[u8]) -> io::Result<()> {
        if self.collector.transport == Transport::Udp {
            self.pace();
        }
        match self.link.as_mut() {
            Some(Link::Udp(socket)) => {
                socket.send(message)?;
            }
            Some(Link::Tcp(stream)) => stream.write_all(message)?,
            None => return Err(io::ErrorKind::NotConnected.into()),
        }
        self.sent.bytes += message.len() as u64;
        Ok(())
    }

    /// Waits until another datagram may go. What ends at once, at the end of an epoch, must not overflow the collector's socket:
    /// UDP says nothing of that (RFC 7011 §10.3).
    fn pace(&mut self) {
        if self.rate == 0.0 {
            return;
        }
        loop {
            let passed = self.counted.elapsed().as_secs_f64();
            self.counted = Instant::now();
            self.allowance = (self.allowance + passed * self.rate).min(BURST);
            if self.allowance >= 1.0 {
                self.allowance -= 1.0;
                return;
            }
            let wait = Duration::from_secs_f64((1.0 - self.allowance) / self.rate);
            // A channel on which nothing comes is a wait that is bounded.
            let _ = channel::after(wait).recv();
        }
    }

    const fn limit(&self) -> usize {
        match self.collector.transport {
            Transport::Udp => self.message_bytes,
            Transport::Tcp => TCP_MESSAGE_BYTES,
        }
    }

    /// Asks the kernel how long a datagram may be, and says whether that is less than it was.
    fn narrowed(&mut self) -> bool {
        let Some(Link::Udp(socket)) = &self.link else {
            return false;
        };
        let before = self.message_bytes;
        let path = socket::path_bytes(socket).unwrap_or(usize::MAX);
        self.message_bytes = self.configured_bytes.min(path).max(LEAST_MESSAGE_BYTES);
        self.message_bytes < before
    }

    /// Over TCP: waits until everything written is acknowledged.
    fn settle(&mut self) -> Result<(), SendError> {
        let Some(Link::Tcp(stream)) = &self.link else {
            return Ok(());
        };
        let begun = Instant::now();
        let mut wait = Duration::from_micros(50);
        loop {
            match socket::unacknowledged(stream) {
                None | Some(0) => return Ok(()),
                Some(bytes) if begun.elapsed() >= PATIENCE => {
                    self.link = None;
                    return Err(SendError::Stuck {
                        collector: self.collector.to_string(),
                        bytes,
                    });
                }
                Some(_) => {}
            }
            let _ = channel::after(wait).recv();
            wait = (wait * 2).min(Duration::from_millis(20));
        }
    }

    fn failed(&self, error: io::Error) -> SendError {
        SendError::Io {
            collector: self.collector.to_string(),
            error,
        }
    }

    fn connect(&mut self) -> Result<(), SendError> {
        if let Some(Link::Tcp(stream)) = &mut self.link
            && has_ended(stream)
        {
            self.link = None;
        }
        if self.link.is_some() {
            return Ok(());
        }
        let Collector { host, port, .. } = &self.collector;
        let named = |error| SendError::Name {
            host: host.clone(),
            error,
        };
        let addresses: Vec<SocketAddr> = (host.as_str(), *port)
            .to_socket_addrs()
            .map_err(named)?
            .collect();
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match self.link_to(address) {
                Ok(link) => {
                    self.link = Some(link);
                    self.session.begin();
                    self.message_bytes = self.configured_bytes;
                    self.narrowed();
                    self.sent.connections += 1;
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(self.failed(last))
    }

    fn link_to(&self, address: SocketAddr) -> io::Result<Link> {
        match self.collector.transport {
            Transport::Udp => {
                let own: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(own)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                socket.connect(address)?;
                socket::never_fragment(&socket)?;
                Ok(Link::Udp(socket))
            }
            Transport::Tcp => {
                let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                Ok(Link::Tcp(stream))
            }
        }
    }
}

/// Whether the collector has closed the connection. It never says anything, so whatever there is to read is the end.
fn has_ended(stream: &mut TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let alive =
        matches!(stream.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    !alive || stream.set_nonblocking(false).is_err()
}
