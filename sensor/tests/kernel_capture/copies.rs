//! Copies of packets, made while they pass.

use std::{net::UdpSocket, ops::Range};

use sensor::capture::{
    Capture as _, CopyCounts, CopySettings, Epoch, Progress,
    xdp::{Copies, EvidenceSettings, Settings, Xdp},
    xsk::{self, AfXdp},
};
use sensor_ebpf::{
    flow::{FlowKey, TimeNs},
    maps::Hook,
};

use crate::netns::{Namespace, Pair, Serial};

/// Copies of one flow: hook, length of the frame, number in the payload, time.
type Found = Vec<(Hook, u32, u8, TimeNs)>;

fn send(from: &Namespace, port: u16, numbers: Range<u8>) {
    from.within(|| {
        let socket = UdpSocket::bind(("10.77.0.1", port)).expect("bind");
        for number in numbers {
            let mut payload = [number; 300];
            payload[0] = 0x5a;
            socket.send_to(&payload, "10.77.0.2:9").expect("sent");
        }
    });
}

/// Takes the copies of datagrams from `port`, each 96 bytes long: 42 of headers, and the beginning of the payload.
fn take(capture: &mut Xdp, port: u16) -> Found {
    let mut found = Found::new();
    capture.copies(&mut |copy| {
        let is_ours = copy.bytes.get(34..36) == Some(&port.to_be_bytes()[..])
            && copy.bytes.get(42) == Some(&0x5a);
        if is_ours {
            assert_eq!(copy.bytes.len(), 96);
            found.push((copy.hook, copy.frame_length, copy.bytes[95], copy.time));
        }
    });
    found
}

/// The next epoch with a flow from `port` in it.
fn flow(capture: &mut Xdp, port: u16) -> (FlowKey, [TimeNs; 2]) {
    let mut epoch = Epoch::default();
    loop {
        assert_eq!(
            capture.next_epoch(&mut epoch).expect("drain"),
            Progress::Epoch
        );
        assert_eq!(capture.drain_report().unaccounted, 0);
        let ours = |key: &FlowKey| key.protocol == 17 && key.ports.contains(&port);
        if let Some((key, counters)) = epoch.flows.iter().find(|(key, _)| ours(key)) {
            return (*key, [counters.first(), counters.last()]);
        }
    }
}

fn start(pair: &Pair, evidence: EvidenceSettings) -> Xdp {
    let settings = Settings {
        evidence: Some(evidence),
        ..Settings::on(["veth-b"])
    };
    pair.b.within(|| Xdp::start(&settings).expect("start"))
}

const SHORT: EvidenceSettings = EvidenceSettings {
    bytes: 96,
    first_packets: 0,
    ring_bytes: 1 << 20,
};

#[test]
#[ignore = "kernel: needs root"]
fn the_next_packets_of_a_watched_flow_are_copied_and_no_others() {
    const PORT: u16 = 4_001;
    let _serial = Serial::take();
    let pair = Pair::new();
    let mut capture = start(&pair, SHORT);
    send(&pair.a, PORT, 0..10);
    let (key, _) = flow(&mut capture, PORT);
    assert!(take(&mut capture, PORT).is_empty(), "nobody asked for them");
    capture.watch(&key, 5).expect("watch");
    send(&pair.a, PORT, 10..30);
    let (_, [first, last]) = flow(&mut capture, PORT);
    let numbers: Vec<u8> = (10..15).collect();
    let found: Found = take(&mut capture, PORT);
    assert_eq!(
        found
            .iter()
            .map(|(.., number, _)| *number)
            .collect::<Vec<_>>(),
        numbers
    );
    for (hook, length, _, time) in found {
        assert_eq!((hook, length), (Hook::Ingress, 342));
        assert!(
            (first..=last).contains(&time),
            "the time it was counted with"
        );
    }
    send(&pair.a, PORT + 1, 10..30);
    flow(&mut capture, PORT + 1);
    assert!(take(&mut capture, PORT + 1).is_empty(), "another flow");
    // What is off the list is not copied, whatever was left of it.
    capture.watch(&key, 5).expect("watch");
    capture.unwatch(&key);
    send(&pair.a, PORT, 30..40);
    flow(&mut capture, PORT);
    assert!(take(&mut capture, PORT).is_empty());
}

#[test]
#[ignore = "kernel: needs root"]
fn the_first_packets_of_every_flow_are_copied_where_that_is_asked_for() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let settings = EvidenceSettings {
        first_packets: 3,
        ..SHORT
    };
    let mut capture = start(&pair, settings);
    send(&pair.a, 4_003, 0..10);
    flow(&mut capture, 4_003);
    let mut numbers: Vec<u8> = take(&mut capture, 4_003)
        .iter()
        .map(|(.., number, _)| *number)
        .collect();
    // Sending may go over into another epoch, and CPU.
    numbers.truncate(3);
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
#[ignore = "kernel: needs root"]
fn copies_that_nobody_takes_are_lost_and_counted() {
    const PORT: u16 = 4_005;
    let _serial = Serial::take();
    let pair = Pair::new();
    let settings = EvidenceSettings {
        first_packets: 1_000_000,
        ring_bytes: 65_536,
        ..SHORT
    };
    let mut capture = start(&pair, settings);
    for _ in 0..10 {
        send(&pair.a, PORT, 0..200);
    }
    flow(&mut capture, PORT);
    let Copies { copied, lost } = capture.copies_made().expect("numbers");
    assert!(lost > 0 && copied + lost >= 2_000, "{copied} + {lost}");
    let mut taken = 0;
    capture.copies(&mut |_| taken += 1);
    assert_eq!(taken, copied);
}

/// A tap on veth-b with sockets, which copies.
fn start_tap(pair: &Pair, copies: CopySettings) -> AfXdp {
    let settings = Settings {
        taps: vec!["veth-b".to_owned()],
        ..Settings::on(["veth-b"])
    };
    let sockets = xsk::Settings {
        copies: Some(copies),
        ..xsk::Settings::default()
    };
    let address = pair.b.exec(&["cat", "/sys/class/net/veth-b/address"]);
    // The stack behind a tap does not answer.
    let neighbour = ["neighbour", "replace", "10.77.0.2", "lladdr"];
    let known = [&neighbour[..], &[address.trim(), "dev", "veth-a"]].concat();
    pair.a.ip(&known);
    let capture = pair
        .b
        .within(|| AfXdp::start(Xdp::start(&settings).expect("start"), Some(&sockets)))
        .expect("sockets");
    capture.demand().expect("sockets on every tap");
    capture
}

/// The next epoch of a tap with a flow from `port` in it.
fn flow_of_tap(capture: &mut AfXdp, port: u16) -> (FlowKey, [TimeNs; 2]) {
    let mut epoch = Epoch::default();
    loop {
        let progress = capture.next_epoch(&mut epoch).expect("drain");
        assert_eq!(progress, Progress::Epoch);
        assert_eq!(capture.report().unaccounted, 0);
        let ours = |key: &FlowKey| key.protocol == 17 && key.ports.contains(&port);
        if let Some((key, counters)) = epoch.flows.iter().find(|(key, _)| ours(key)) {
            return (*key, [counters.first(), counters.last()]);
        }
    }
}

/// Copies of datagrams from `port`, with how many there were in all: length of the frame, number in the payload, time.
fn take_of_tap(capture: &mut AfXdp, port: u16) -> (Vec<(u32, u8, TimeNs)>, CopyCounts) {
    let mut found = Vec::new();
    let counts = capture.copies(&mut |record| {
        let is_ours = record.frame.get(34..36) == Some(&port.to_be_bytes()[..])
            && record.frame.get(42) == Some(&0x5a);
        if is_ours {
            assert_eq!(record.frame.len(), 96);
            found.push((record.wire_length, record.frame[95], record.time));
        }
    });
    (found, counts)
}

#[test]
#[ignore = "kernel: needs root"]
fn of_a_tap_too_the_next_packets_of_a_watched_flow_are_copied_and_no_others() {
    const PORT: u16 = 4_011;
    let _serial = Serial::take();
    let pair = Pair::new();
    let mut capture = start_tap(
        &pair,
        CopySettings {
            bytes: 96,
            first_packets: 0,
            waiting_bytes: 1 << 20,
        },
    );
    send(&pair.a, PORT, 0..10);
    let (key, _) = flow_of_tap(&mut capture, PORT);
    let (found, counts) = take_of_tap(&mut capture, PORT);
    assert!(found.is_empty(), "nobody asked for them");
    assert_eq!(counts, CopyCounts::default());
    assert!(capture.watch(&key, 5));
    send(&pair.a, PORT, 10..30);
    let (_, [first, last]) = flow_of_tap(&mut capture, PORT);
    let (found, counts) = take_of_tap(&mut capture, PORT);
    let numbers: Vec<u8> = found.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(numbers, [10, 11, 12, 13, 14]);
    assert_eq!(counts, CopyCounts { copied: 5, lost: 0 });
    for (length, _, time) in found {
        assert_eq!(length, 342);
        assert!(
            (first..=last).contains(&time),
            "the time it was counted with"
        );
    }
    assert!(capture.watch(&key, 5));
    capture.unwatch(&key);
    send(&pair.a, PORT, 30..40);
    flow_of_tap(&mut capture, PORT);
    assert!(take_of_tap(&mut capture, PORT).0.is_empty());
}

#[test]
#[ignore = "kernel: needs root"]
fn copies_of_a_tap_that_find_no_room_are_counted_and_nothing_else_is_lost() {
    const PORT: u16 = 4_013;
    let _serial = Serial::take();
    let pair = Pair::new();
    // Room for ten copies at each of two queues.
    let mut capture = start_tap(
        &pair,
        CopySettings {
            bytes: 96,
            first_packets: 1_000_000,
            waiting_bytes: 96 * 20,
        },
    );
    send(&pair.a, PORT, 0..100);
    flow_of_tap(&mut capture, PORT);
    let (found, counts) = take_of_tap(&mut capture, PORT);
    assert!(!found.is_empty() && found.len() <= 20, "{}", found.len());
    assert!(counts.lost >= 70, "{counts:?}");
    assert_eq!(capture.losses(), xsk::Losses::default());
}
