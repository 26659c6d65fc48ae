//! Addresses that are served: taken before anything begins. A leaf.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// Why an address cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "{what}: {address}: {source}; another program serves there already? choose another with --set {what}.listen=127.0.0.1:9479, or none with --set {what}.listen="
)]
pub struct ListenError {
    /// What was to be served: the section of the configuration.
    pub what: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Takes the address, so that a port in use is known before anything begins. `what` is the section of the configuration.
///
/// # Errors
/// The address is taken, or not one of this machine.
pub fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .map_err(|source| ListenError {
            what,
            address,
            source,
        })
}
