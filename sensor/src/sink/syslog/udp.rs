//! A datagram for each message (RFC 5426).

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket},
    time::Duration,
};

use crate::sink::outlet::{Deliver, DeliveryError};

/// UDP. What was sent counts as delivered: nobody says that it arrived.
#[derive(Debug)]
pub struct ToUdp {
    host: String,
    port: u16,
    socket: Option<UdpSocket>,
}

impl ToUdp {
    /// The name is looked up with the first message, and again after each failure.
    pub const fn new(host: String, port: u16) -> Self {
        Self {
            host,
            port,
            socket: None,
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => {
                let addresses = (self.host.as_str(), self.port).to_socket_addrs()?;
                let socket = first(addresses, |address| {
                    let any: SocketAddr = match address {
                        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                    };
                    let socket = UdpSocket::bind(any)?;
                    socket.connect(address)?;
                    socket.set_write_timeout(Some(Duration::from_secs(5)))?;
                    Ok(socket)
                })?;
                self.socket.insert(socket)
            }
        };
        socket.send(message).map(drop)
    }
}

/// The first of several addresses with which it works, or the last error.
pub(super) fn first<T>(
    addresses: impl Iterator<Item = SocketAddr>,
    mut with: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses.take(4) {
        match with(address) {
            Ok(done) => return Ok(done),
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

impl Deliver for ToUdp {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        for (sent, parcel) in parcels.iter().enumerate() {
            if let Err(error) = self.send(parcel) {
                // ECONNREFUSED is the answer to a datagram before this one: nobody listens.
                self.socket = None;
                let why = format!("udp {}:{}: {error}", self.host, self.port);
                return (sent, Err(DeliveryError::later(why)));
            }
        }
        (parcels.len(), Ok(()))
    }
}
