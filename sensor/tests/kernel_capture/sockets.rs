//! Ordinary traffic between two namespaces, from ordinary sockets.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use crate::netns::Pair;

/// Both families: who speaks, who answers.
pub(crate) const ENDS: [(&str, &str); 2] = [("10.77.0.1", "10.77.0.2"), ("fd77::1", "fd77::2")];

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().expect("an address"), port)
}

/// TCP conversations of several sizes, refused connections, datagrams with answers and without, fragments: from `a` to
/// `b`, over both families.
pub(crate) fn converse(pair: &Pair) {
    for (client, server) in ENDS {
        tcp(
            pair,
            server,
            &[(1, 1), (200, 40_000), (60_000, 300), (0, 250_000)],
        );
        refused(pair, server);
        udp(pair, client, server);
    }
}

/// One connection after the other: the client sends so many bytes, then the server.
pub(crate) fn tcp(pair: &Pair, server: &str, sizes: &[(usize, usize)]) {
    let listener = pair
        .b
        .within(|| TcpListener::bind(at(server, 0)).expect("listen"));
    let address = listener.local_addr().expect("address");
    thread::scope(|scope| {
        scope.spawn(|| {
            for (asked, answer) in sizes {
                let (mut stream, _) = listener.accept().expect("accept");
                let mut request = vec![0; *asked];
                stream.read_exact(&mut request).expect("the request");
                stream.write_all(&vec![7; *answer]).expect("the answer");
            }
        });
        pair.a.within(|| {
            for (asked, answer) in sizes {
                let mut stream = TcpStream::connect(address).expect("connect");
                stream.write_all(&vec![3; *asked]).expect("ask");
                let mut got = Vec::new();
                stream.read_to_end(&mut got).expect("read");
                assert_eq!(got.len(), *answer);
            }
        });
    });
}

fn refused(pair: &Pair, server: &str) {
    pair.a.within(|| {
        for port in [7, 21, 445, 3_389] {
            let error = TcpStream::connect(at(server, port)).expect_err("nobody listens");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
    });
}

fn udp(pair: &Pair, client: &str, server: &str) {
    let socket = pair
        .b
        .within(|| UdpSocket::bind(at(server, 0)).expect("bind"));
    let address = socket.local_addr().expect("address");
    let patience = Some(Duration::from_secs(60));
    socket.set_read_timeout(patience).expect("timeout");
    // The last two go in fragments.
    const SIZES: [usize; 6] = [0, 1, 40, 1_200, 4_000, 9_000];
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 10_000];
            for _ in SIZES {
                let (length, from) = socket.recv_from(&mut buffer).expect("a datagram");
                socket.send_to(&buffer[..length], from).expect("answer");
            }
        });
        pair.a.within(|| {
            let mine = UdpSocket::bind(at(client, 0)).expect("bind");
            mine.set_read_timeout(patience).expect("timeout");
            let mut buffer = [0; 10_000];
            for size in SIZES {
                mine.send_to(&vec![9; size], address).expect("send");
                assert_eq!(mine.recv(&mut buffer).expect("an answer"), size);
            }
            // To a port where nobody listens: the answer is an ICMP error.
            let lost = UdpSocket::bind(at(client, 0)).expect("bind");
            lost.connect(at(server, 9)).expect("connect");
            lost.set_read_timeout(patience).expect("timeout");
            lost.send(b"anybody?").expect("send");
            let error = lost.recv(&mut buffer).expect_err("nobody listens");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        });
    });
}
