//! Lines to a unix socket, as log shippers listen on: stream or datagram.

use std::{
    io::{self, Write as _},
    os::unix::net::{UnixDatagram, UnixStream},
    path::PathBuf,
    time::Duration,
};

use super::{Deliver, DeliveryError};

/// How long a receiver may not read before that counts as a failure.
const PATIENCE: Duration = Duration::from_secs(5);

/// A stream socket. A parcel counts as delivered when the receiver has read it: Linux tells how much it has not.
#[derive(Debug)]
pub struct ToUnixStream {
    path: PathBuf,
    stream: Option<UnixStream>,
}

impl ToUnixStream {
    /// Connects with the first parcel.
    pub const fn new(path: PathBuf) -> Self {
        Self { path, stream: None }
    }

    fn send(&mut self, parcels: &[Vec<u8>]) -> (usize, io::Result<()>) {
        // Far below the socket's buffer would be many calls, far above it much to send again.
        const PORTION_BYTES: usize = 64 << 10;
        let mut sent = 0;
        while sent < parcels.len() {
            let mut portion = Vec::new();
            let mut count = 0;
            for parcel in &parcels[sent..] {
                if count > 0 && portion.len() + parcel.len() > PORTION_BYTES {
                    break;
                }
                portion.extend_from_slice(parcel);
                count += 1;
            }
            if let Err(error) = self.send_portion(&portion) {
                // Half a line is ended by the connection's end, and sent again in whole.
                self.stream = None;
                return (sent, Err(error));
            }
            sent += count;
        }
        (sent, Ok(()))
    }

    fn send_portion(&mut self, portion: &[u8]) -> io::Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = UnixStream::connect(&self.path)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                self.stream.insert(stream)
            }
        };
        stream.write_all(portion)?;
        wait_until_read(stream, PATIENCE)
    }
}

impl Deliver for ToUnixStream {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        let (sent, result) = self.send(parcels);
        let path = self.path.display();
        (
            sent,
            result.map_err(|error| DeliveryError::later(format_args!("{path}: {}", words(&error)))),
        )
    }
}

/// A datagram socket: a datagram for each parcel. What was sent is in the receiver's socket, and lost if it ends then.
#[derive(Debug)]
pub struct ToUnixDatagram {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl ToUnixDatagram {
    /// Connects with the first parcel.
    pub const fn new(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    fn send(&mut self, parcel: &[u8]) -> io::Result<()> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(&self.path)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                self.socket.insert(socket)
            }
        };
        socket.send(parcel).map(drop)
    }
}

impl Deliver for ToUnixDatagram {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        for (sent, parcel) in parcels.iter().enumerate() {
            let Err(error) = self.send(parcel) else {
                continue;
            };
            let why = format!("{}: {}", self.path.display(), words(&error));
            // EMSGSIZE: longer than the socket's buffer, and so it will be tomorrow.
            if error.raw_os_error() == Some(TOO_LONG) {
                return (sent, Err(DeliveryError::never(why)));
            }
            self.socket = None;
            return (sent, Err(DeliveryError::later(why)));
        }
        (parcels.len(), Ok(()))
    }
}

#[cfg(target_os = "linux")]
const TOO_LONG: i32 = libc::EMSGSIZE;
/// Of the BSDs.
#[cfg(not(target_os = "linux"))]
const TOO_LONG: i32 = 40;

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "the receiver does not read".to_owned()
        }
        io::ErrorKind::NotFound => "nobody listens there yet".to_owned(),
        _ => error.to_string(),
    }
}

/// Waits until the receiver has read what was written. For unix sockets SIOCOUTQ counts what the other side has not
/// consumed, not only what is not sent (Linux, net/unix/af_unix.c, unix_outq_len).
#[cfg(target_os = "linux")]
fn wait_until_read(stream: &UnixStream, patience: Duration) -> io::Result<()> {
    use std::{os::fd::AsRawFd as _, time::Instant};

    let until = Instant::now() + patience;
    let mut pause_ms = 0;
    loop {
        let mut unread: libc::c_int = 0;
        // SAFETY: the descriptor is open for as long as the stream is borrowed, and the kernel writes one int.
        let asked = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut unread) };
        if asked != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut end = libc::pollfd {
            fd: stream.as_raw_fd(),
            events: 0,
            revents: 0,
        };
        // Wakes when the receiver closes; otherwise a pause that grows, since nothing tells that it has read.
        // SAFETY: the pointer is to one pollfd that lives across the call, and the count says one.
        let closed = unsafe { libc::poll(&raw mut end, 1, if unread == 0 { 0 } else { pause_ms }) };
        if unread == 0 && closed <= 0 {
            return Ok(());
        }
        if closed > 0 {
            // Read all and then closed, or closed before it read all: the kernel does not tell these apart.
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        pause_ms = (pause_ms * 2).clamp(1, 20);
    }
}

#[cfg(not(target_os = "linux"))]
const fn wait_until_read(_stream: &UnixStream, _patience: Duration) -> io::Result<()> {
    Ok(())
}
