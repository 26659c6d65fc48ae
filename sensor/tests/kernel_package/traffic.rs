//! What passes the sensor, and what it answers.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{
    guest::PATIENCE,
    netns::{Namespace, Pair, meanwhile, pause},
};

/// Runs `body` while a service is asked, each time in a flow of its own.
pub(crate) fn in_traffic<T>(pair: &Pair, body: impl FnOnce() -> T) -> T {
    meanwhile(
        &[
            &|over: &AtomicBool| pair.b.within(|| answer(over)),
            &|over: &AtomicBool| pair.a.within(|| ask(over)),
        ],
        body,
    )
}

/// A service that answers everybody.
fn answer(over: &AtomicBool) {
    let socket = UdpSocket::bind("10.77.0.2:5000").expect("bind");
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a time limit");
    let mut text = [0; 64];
    while !over.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut text) {
            let _ = socket.send_to(&text[..length], from);
        }
    }
}

/// Asks it, each time from another port.
fn ask(over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let socket = UdpSocket::bind("10.77.0.1:0").expect("bind");
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a time limit");
        let _ = socket.send_to(b"hello", "10.77.0.2:5000");
        let _ = socket.recv(&mut [0; 64]);
        pause(Duration::from_millis(20));
    }
}

/// Tries many ports, none of which is open.
pub(crate) fn scan(pair: &Pair) {
    pair.a.within(|| {
        for port in 1..=800 {
            let address = SocketAddr::from(([10, 77, 0, 2], port));
            let _ = TcpStream::connect_timeout(&address, Duration::from_millis(200));
        }
    });
}

/// Status and body that a server within a namespace answers; nothing if there is none.
pub(crate) fn get(namespace: &Namespace, port: u16, path: &str) -> Option<(u16, String)> {
    namespace.within(|| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let status = text.split_whitespace().nth(1)?.parse().ok()?;
        let (_, body) = text.split_once("\r\n\r\n")?;
        Some((status, body.to_owned()))
    })
}

/// Sum of all series of a metric.
pub(crate) fn metric(namespace: &Namespace, name: &str) -> Option<f64> {
    let (_, text) = get(namespace, 9477, "/metrics")?;
    let series = text.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    });
    series
        .map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
