//! Addresses at which nobody listens.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use crate::ports;

/// An address at which nobody listens for TCP, nor can while this is kept.
pub(crate) struct Nobody {
    pub(crate) address: SocketAddr,
    _socket: OwnedFd,
}

impl Nobody {
    pub(crate) fn new() -> Self {
        // SAFETY: a system call with numbers.
        let number =
            unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
        assert!(number >= 0, "a socket");
        // SAFETY: just made, and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(number) };
        for _ in 0..5 {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be(),
                },
                sin_zero: [0; 8],
            };
            let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            // SAFETY: an address of this length that outlives the call.
            if unsafe { libc::bind(socket.as_raw_fd(), (&raw const raw).cast(), length) } == 0 {
                return Self {
                    address,
                    _socket: socket,
                };
            }
        }
        panic!("no port is free");
    }
}
