//! What the kernel knows of a connection (Linux): how much fits through its path, and what has not been acknowledged yet.

use std::{
    io,
    net::{TcpStream, UdpSocket},
    os::fd::{AsRawFd, RawFd},
};

fn set(socket: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` lives through the call, and `length` is its length.
    let result =
        unsafe { libc::setsockopt(socket, level, name, (&raw const value).cast(), length) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn get(socket: RawFd, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: both live through the call, and `length` is the length of `value`.
    let result = unsafe {
        libc::getsockopt(
            socket,
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has nothing fragmented on the way, so that what is too long is told (RFC 7011 §10.3.3: no longer than the path's MTU).
///
/// # Errors
/// What the kernel says.
pub(super) fn never_fragment(socket: &UdpSocket) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    match socket.local_addr()?.is_ipv4() {
        true => set(
            fd,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DO,
        ),
        false => set(
            fd,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DO,
        ),
    }
}

/// Bytes of a datagram's payload that the path takes, as far as the kernel knows.
pub(super) fn path_bytes(socket: &UdpSocket) -> Option<usize> {
    const UDP_HEADER_BYTES: usize = 8;
    let fd = socket.as_raw_fd();
    let (mtu, header) = match socket.local_addr().ok()?.is_ipv4() {
        true => (get(fd, libc::IPPROTO_IP, libc::IP_MTU), 20),
        false => (get(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU), 40),
    };
    usize::try_from(mtu.ok()?)
        .ok()?
        .checked_sub(header + UDP_HEADER_BYTES)
}

/// Whether an error says that a datagram is longer than the path takes.
pub(super) fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

/// Bytes that were written and that the other side's kernel has not acknowledged (tcp(7), `SIOCOUTQ`).
pub(super) fn unacknowledged(stream: &TcpStream) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int, which lives through the call.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    match result {
        0 => usize::try_from(bytes).ok(),
        _ => None,
    }
}
