//! Ports for receivers that have to be told one.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// Linux gives ports from 32768 on to whoever asks for any, and to every connection that is made: one of those may be taken
/// between the moment it was found free and the moment a receiver is started, or started again.
const FIRST: u16 = 15_000;
const COUNT: u16 = 16_000;

/// A port of 127.0.0.1 that nobody has for TCP or UDP. Test programs beside each other begin at different ones.
pub(crate) fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = process::id().wrapping_mul(101) % u32::from(COUNT);
    for _ in 0..COUNT {
        let at = begin as u16 + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + at % COUNT;
        let place = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(place).is_ok() && UdpSocket::bind(place).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
