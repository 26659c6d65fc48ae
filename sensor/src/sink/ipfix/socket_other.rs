//! What is not asked of other kernels than Linux: the length that is configured must fit.

use std::{
    io,
    net::{TcpStream, UdpSocket},
};

/// As the system does it.
///
/// # Errors
/// None.
pub(super) fn never_fragment(_: &UdpSocket) -> io::Result<()> {
    Ok(())
}

/// Not known.
pub(super) fn path_bytes(_: &UdpSocket) -> Option<usize> {
    None
}

/// Not told apart.
pub(super) fn is_too_long(_: &io::Error) -> bool {
    false
}

/// Not known.
pub(super) fn unacknowledged(_: &TcpStream) -> Option<usize> {
    None
}
