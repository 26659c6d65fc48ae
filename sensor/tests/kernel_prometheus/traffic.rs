//! What happens between the two ends of the veth pair: ordinary clients of two services, and attacks on the host with the sensor.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::netns::{Pair, meanwhile, pause};

/// Beside 10.77.0.2: a baseline is learned from pairs of hosts, each of which may teach only so much.
const MORE_HOSTS: std::ops::RangeInclusive<u8> = 101..=124;
const WEB: &str = "0.0.0.0:80";
const NAMES: &str = "10.77.0.2:53";
const LOGIN: &str = "10.77.0.2:22";
const WAIT: Duration = Duration::from_millis(500);

/// Runs `body` while clients use the services.
pub(crate) fn ordinary(pair: &Pair, body: impl FnOnce()) {
    for host in MORE_HOSTS {
        pair.b.ip(&[
            "address",
            "add",
            &format!("10.77.0.{host}/24"),
            "dev",
            "veth-b",
        ]);
    }
    let (web, login, names) = pair.b.within(|| {
        let listen = |address| {
            let listener = TcpListener::bind(address).expect(address);
            listener
                .set_nonblocking(true)
                .expect("a listener that can end");
            listener
        };
        let names = UdpSocket::bind(NAMES).expect(NAMES);
        names
            .set_read_timeout(Some(WAIT))
            .expect("a socket that can end");
        (listen(WEB), listen(LOGIN), names)
    });
    meanwhile(
        &[
            &|over: &AtomicBool| serve(&web, over, |request| 200 + 37 * usize::from(request[0])),
            &|over: &AtomicBool| serve(&login, over, |_| 60),
            &|over: &AtomicBool| answer(&names, over),
            &|over: &AtomicBool| pair.a.within(|| clients(over)),
        ],
        body,
    );
}

/// Answers each connection's first bytes with as many as `length` says.
fn serve(listener: &TcpListener, over: &AtomicBool, length: impl Fn(&[u8; 64]) -> usize) {
    while !over.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            pause(Duration::from_millis(1));
            continue;
        };
        let mut request = [0; 64];
        // A client that went away is no matter here.
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(Some(WAIT));
        if stream.read_exact(&mut request).is_ok() {
            let _ = stream.write_all(&vec![b'x'; length(&request)]);
        }
    }
}

fn answer(socket: &UdpSocket, over: &AtomicBool) {
    let mut query = [0; 512];
    while !over.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut query) {
            let _ = socket.send_to(&query[..(2 * length).min(512)], from);
        }
    }
}

/// Looks a name up and fetches a page of one of sixteen sizes from one of the hosts, about thirty times a second.
fn clients(over: &AtomicBool) {
    let mut turn = 0_u8;
    while !over.load(Ordering::Relaxed) {
        turn = turn.wrapping_add(1);
        let socket = UdpSocket::bind("10.77.0.1:0").expect("a client");
        let _ = socket.set_read_timeout(Some(WAIT));
        let _ = socket.send_to(&vec![1; 30 + usize::from(turn % 16)], NAMES);
        let _ = socket.recv(&mut [0; 512]);
        let host = MORE_HOSTS.start() + turn % (MORE_HOSTS.end() - MORE_HOSTS.start() + 1);
        exchange(SocketAddr::from(([10, 77, 0, host], 80)), turn % 16);
        pause(Duration::from_millis(30));
    }
}

/// One connection: a request, and the answer to its end.
fn exchange(address: SocketAddr, first: u8) {
    if let Ok(mut stream) = TcpStream::connect_timeout(&address, WAIT) {
        let _ = stream.set_read_timeout(Some(WAIT));
        let _ = stream.write_all(&[first; 64]);
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

/// Six hundred ports of one host, nearly all of them closed.
pub(crate) fn scan(pair: &Pair) {
    pair.a.within(|| {
        for port in 1000..1600 {
            let _ = TcpStream::connect_timeout(&SocketAddr::from(([10, 77, 0, 2], port)), WAIT);
        }
    });
}

/// The same little exchange with a login service, a hundred times.
pub(crate) fn guess_passwords(pair: &Pair) {
    pair.a.within(|| {
        for _ in 0..100 {
            exchange(LOGIN.parse().expect("an address"), b'p');
        }
    });
}
