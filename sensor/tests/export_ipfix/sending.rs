//! The courier: over UDP and TCP, to collectors that go away and come back.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use sensor::{
    config::{Collector as Address, Config, Ipfix, Layers},
    flow::FlowRecord,
    sink::ipfix::{Courier, Encoder, Form},
};

use crate::{
    decoder::{Collector, number, split},
    ports, traffic,
};

/// Only a hang takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(keys: &[(&str, &str)]) -> Ipfix {
    let mut layers = Layers::default();
    for (key, value) in keys {
        layers.flag(key, value, "--set").expect("a key");
    }
    Config::from_layers(&layers).expect("settings").ipfix
}

fn courier(scheme: &str, address: SocketAddr, settings: &Ipfix) -> Courier {
    let address = Address::parse(&format!("{scheme}://{address}")).expect("an address");
    Courier::new(address, settings)
}

fn parcels(flows: &[FlowRecord], settings: &Ipfix) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(Form::from(settings));
    let mut parcels = Vec::new();
    for flow in flows {
        encoder.flow(flow, &mut parcels);
    }
    encoder.flush(&mut parcels);
    parcels
}

/// Ids of the flows that a collector was told of.
fn ids(collector: &Collector) -> BTreeSet<u64> {
    collector
        .records
        .iter()
        .map(|record| number(&record[&(0, 148)]))
        .collect()
}

fn wanted(flows: &[FlowRecord]) -> BTreeSet<u64> {
    flows.iter().map(|flow| flow.id).collect()
}

/// What comes to a socket, until there is enough.
fn receive(socket: &UdpSocket, collector: &mut Collector, all: impl Fn(&Collector) -> bool) {
    let mut buffer = vec![0; 65_536];
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    while !all(collector) {
        let length = socket.recv(&mut buffer).expect("another datagram");
        collector.message(&buffer[..length]);
    }
}

#[test]
fn a_collector_behind_udp_is_restarted() {
    for host in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        // A port that nobody gets by chance while the collector is away.
        let Some(socket) = (0..5).find_map(|_| UdpSocket::bind((host, ports::free())).ok()) else {
            eprintln!("not run: no {host} here");
            continue;
        };
        let address = socket.local_addr().expect("an address");
        // Little enough at once for any socket's buffer.
        let flows = &traffic::demo()[..300];
        let settings = settings(&[("ipfix.message_bytes", "1200")]);
        let parcels = parcels(flows, &settings);
        let (first, rest) = parcels.split_at(parcels.len() / 2);
        let mut courier = courier("udp", address, &settings);
        let (got, sent) = courier.send(first);
        sent.expect("a collector is there");
        assert_eq!(got, first.len());
        let mut before = Collector::default();
        let records = courier.sent().records as usize;
        receive(&socket, &mut before, |told| told.records.len() == records);
        drop(socket);
        // Nobody there: the kernel tells of a datagram when a later one is to go.
        let mut until = |is_refused: bool, what: &str| {
            let begun = Instant::now();
            while courier.send(&rest[..1]).1.is_err() != is_refused {
                assert!(begun.elapsed() < PATIENCE, "{what}");
            }
        };
        until(true, "a collector that is gone is noticed on this machine");
        let socket = UdpSocket::bind(address).expect("the same port");
        until(false, "and that it is back");
        let (_, sent) = courier.send(rest);
        sent.expect("the collector is back");
        // It knows no template: the decoder fails on a record that comes before its template.
        let mut after = Collector::default();
        let mut missing = wanted(flows);
        missing.retain(|id| !ids(&before).contains(id));
        receive(&socket, &mut after, |told| missing.is_subset(&ids(told)));
        assert_eq!(before.gaps, 0);
        assert_eq!(after.gaps, 0, "what was refused is not counted as sent");
        assert!(before.longest.max(after.longest) <= 1200);
    }
}

/// The next connection.
fn accept(listener: &TcpListener) -> TcpStream {
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).expect("set");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                return stream;
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
        }
        assert!(begun.elapsed() < PATIENCE, "a connection");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn a_collector_behind_tcp_breaks_off() {
    let flows = traffic::demo();
    let settings = settings(&[]);
    let parcels = parcels(&flows, &settings);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("set");
    let address = listener.local_addr().expect("an address");
    let is_last = AtomicBool::new(false);
    let mut courier = courier("tcp", address, &settings);
    let mut told = BTreeSet::new();
    let mut connections = 0;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            // The first connections are cut in the midst of things, the last is read to its end.
            let mut sessions = Vec::new();
            for most in [10_000, 70_000, usize::MAX] {
                let stream = accept(&listener);
                is_last.store(most == usize::MAX, Ordering::Release);
                let mut bytes = Vec::new();
                stream
                    .take(most as u64)
                    .read_to_end(&mut bytes)
                    .expect("bytes");
                sessions.push(bytes);
            }
            sessions
        });
        // What lies in the sockets of a connection that is cut is lost, and that may be all of it where the reader is slow. So
        // it is sent again until the last connection is there, and once more over that.
        let mut failures = 0;
        let begun = Instant::now();
        loop {
            let is_once_more = is_last.load(Ordering::Acquire);
            let mut next = 0;
            while next < parcels.len() {
                let most = (next + 16).min(parcels.len());
                let (got, sent) = courier.send(&parcels[next..most]);
                next += got;
                failures += usize::from(sent.is_err());
                assert!(failures < 100, "{sent:?}");
            }
            if is_once_more {
                break;
            }
            assert!(begun.elapsed() < 3 * PATIENCE, "three connections");
        }
        courier.close();
        for bytes in reader.join().expect("a reader") {
            connections += 1;
            let (messages, rest) = split(&bytes);
            let mut collector = Collector::default();
            for message in &messages {
                collector.message(message);
            }
            if let Some(first) = messages.first() {
                assert_eq!(number(&first[8..12]), 0, "records count from 0");
                assert_eq!(number(&first[16..18]), 2, "templates come first");
            }
            assert_eq!(collector.gaps, 0);
            if connections == 3 {
                assert!(rest.is_empty(), "the last message is whole");
            }
            told.extend(ids(&collector));
        }
    });
    assert_eq!(connections, 3);
    assert_eq!(told, wanted(&flows));
}

/// Neither a port at which nobody listens nor a name of nobody.
#[cfg(target_os = "linux")]
#[test]
fn nobody_there_is_an_error() {
    let settings = settings(&[]);
    let flows = &traffic::demo()[..10];
    let parcels = parcels(flows, &settings);
    let nobody = crate::nobody::Nobody::new();
    let closed = nobody.address;
    let (got, sent) = courier("tcp", closed, &settings).send(&parcels);
    assert_eq!(got, 0);
    let text = sent.expect_err("nobody there").to_string();
    assert!(text.starts_with(&format!("tcp://{closed}: ")), "{text}");
    let mut courier = Courier::new(
        Address::parse("udp://no-such-host.invalid:4739").expect("an address"),
        &settings,
    );
    let (_, sent) = courier.send(&parcels);
    let text = sent.expect_err("no such host").to_string();
    assert!(text.contains("no-such-host.invalid"), "{text}");
}
