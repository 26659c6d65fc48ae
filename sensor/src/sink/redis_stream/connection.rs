//! A connection to Redis, plain or over TLS. What goes over it is packed and parsed by the `redis` crate; the crate's own connection
//! has no TLS without features of it that bring a second set of certificates and roots, and the sinks have one.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use redis::{Parser, RedisError, Value};
use rustls::{ClientConnection, StreamOwned};

use crate::sink::tls::Secured;

enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Link {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// An open connection.
pub(super) struct Connection {
    link: Link,
    parser: Parser,
}

impl Connection {
    /// Connects, to the first of the host's addresses that answers; every call waits so long at most.
    pub(super) fn open(
        address: (&str, u16),
        tls: Option<&Secured>,
        timeout: Duration,
    ) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(socket) => {
                    socket.set_read_timeout(Some(timeout))?;
                    socket.set_write_timeout(Some(timeout))?;
                    socket.set_nodelay(true)?;
                    let link = match tls {
                        None => Link::Plain(socket),
                        Some(tls) => Link::Tls(Box::new(tls.over(socket)?)),
                    };
                    return Ok(Self {
                        link,
                        parser: Parser::new(),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Sends packed commands and reads as many answers; what the server refuses is an answer too. After an error the connection
    /// is of no use.
    pub(super) fn ask(&mut self, packed: &[u8], answers: usize) -> Result<Vec<Value>, RedisError> {
        self.link.write_all(packed)?;
        self.link.flush()?;
        let mut all = Vec::with_capacity(answers);
        while all.len() < answers {
            all.push(self.parser.parse_value(&mut self.link)?);
        }
        Ok(all)
    }
}
