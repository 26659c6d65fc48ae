//! Copies of packets, made while they pass: by the program on an interface, and by the sockets of a tap.

use std::{
    net::UdpSocket,
    ops::Range,
    time::{Duration, Instant},
};

use sensor::capture::{
    Capture, CopyCounts, CopySettings, Epoch, Progress,
    xdp::{Copies, EvidenceSettings, Settings, Xdp},
    xsk::{self, AfXdp},
};
use sensor_ebpf::{
    flow::{FlowKey, TimeNs},
    maps::Hook,
};

use crate::{
    af_xdp::tap,
    netns::{Pair, Serial},
};

/// Bytes of a copy: 42 of headers, and the beginning of the payload.
const COPIED_BYTES: u32 = 96;

fn send(pair: &Pair, port: u16, numbers: Range<u8>) {
    pair.a.within(|| {
        let socket = UdpSocket::bind(("10.77.0.1", port)).expect("bind");
        for number in numbers {
            let mut payload = [number; 300];
            payload[0] = 0x5a;
            socket.send_to(&payload, "10.77.0.2:9").expect("sent");
        }
    });
}

/// The number in the payload of what was sent from `port`.
fn number(copied: &[u8], port: u16) -> Option<u8> {
    let is_ours =
        copied.get(34..36) == Some(&port.to_be_bytes()[..]) && copied.get(42) == Some(&0x5a);
    is_ours.then(|| {
        assert_eq!(copied.len() as u32, COPIED_BYTES);
        copied[COPIED_BYTES as usize - 1]
    })
}

/// What was copied of a packet.
struct Copied {
    frame_length: u32,
    number: u8,
    time: TimeNs,
}

/// A capture that copies, one way or the other.
trait Copying: Capture {
    /// Packets in no counter.
    fn unaccounted(&self) -> i64;
    /// Has the next packets of a flow copied.
    fn ask_for(&mut self, key: &FlowKey, packets: u32);
    /// And no more of them.
    fn let_be(&mut self, key: &FlowKey);
    /// Takes the copies of what was sent from `port`.
    fn taken(&mut self, port: u16) -> Vec<Copied>;
}

impl Copying for Xdp {
    fn unaccounted(&self) -> i64 {
        self.drain_report().unaccounted
    }

    fn ask_for(&mut self, key: &FlowKey, packets: u32) {
        self.watch(key, packets).expect("watch");
    }

    fn let_be(&mut self, key: &FlowKey) {
        self.unwatch(key);
    }

    fn taken(&mut self, port: u16) -> Vec<Copied> {
        let mut taken = Vec::new();
        self.copies(&mut |copy| {
            if let Some(number) = number(copy.bytes, port) {
                assert_eq!(copy.hook, Hook::Ingress);
                taken.push(Copied {
                    frame_length: copy.frame_length,
                    number,
                    time: copy.time,
                });
            }
        });
        taken
    }
}

impl Copying for AfXdp {
    fn unaccounted(&self) -> i64 {
        self.report().unaccounted
    }

    fn ask_for(&mut self, key: &FlowKey, packets: u32) {
        assert!(self.watch(key, packets));
    }

    fn let_be(&mut self, key: &FlowKey) {
        self.unwatch(key);
    }

    fn taken(&mut self, port: u16) -> Vec<Copied> {
        taken_of_tap(self, port).0
    }
}

/// The same of a tap, with how many copies there were in all since the start.
fn taken_of_tap(capture: &mut AfXdp, port: u16) -> (Vec<Copied>, CopyCounts) {
    let mut taken = Vec::new();
    let counts = capture.copies(&mut |record| {
        if let Some(number) = number(record.frame, port) {
            taken.push(Copied {
                frame_length: record.wire_length,
                number,
                time: record.time,
            });
        }
    });
    (taken, counts)
}

/// The flow from `port`, when all `packets` that were sent of it are counted, in however many epochs they came; and the times of the first of them
/// and the last.
fn flow(capture: &mut impl Copying, port: u16, packets: u64) -> (FlowKey, [TimeNs; 2]) {
    let (mut epoch, begun) = (Epoch::default(), Instant::now());
    let (mut counted, mut found) = (0, None);
    while counted < packets {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{counted} of {packets} packets were counted"
        );
        let progress = capture.next_epoch(&mut epoch).expect("drain");
        assert_eq!(progress, Progress::Epoch);
        assert_eq!(capture.unaccounted(), 0);
        let ours = |key: &FlowKey| key.protocol == 17 && key.ports.contains(&port);
        for (key, counters) in epoch.flows.iter().filter(|(key, _)| ours(key)) {
            counted += counters.packets();
            let (first, last) = (counters.first(), counters.last());
            let (flow, [earliest, latest]) = found.get_or_insert((*key, [first, last]));
            assert_eq!(flow, key);
            (*earliest, *latest) = (first.min(*earliest), last.max(*latest));
        }
    }
    assert_eq!(counted, packets);
    found.expect("a flow of packets")
}

/// What is asked for is copied, with the time it was counted with: no packet before or after it, nor of another flow.
fn copies_what_is_asked_for(capture: &mut impl Copying, pair: &Pair) {
    const PORT: u16 = 4_001;
    send(pair, PORT, 0..10);
    let (key, _) = flow(capture, PORT, 10);
    assert!(capture.taken(PORT).is_empty(), "nobody asked for them");
    capture.ask_for(&key, 5);
    send(pair, PORT, 10..30);
    let (_, [first, last]) = flow(capture, PORT, 20);
    let taken = capture.taken(PORT);
    let numbers: Vec<u8> = taken.iter().map(|copied| copied.number).collect();
    assert_eq!(numbers, [10, 11, 12, 13, 14]);
    for copied in taken {
        assert_eq!(copied.frame_length, 342);
        assert!(
            (first..=last).contains(&copied.time),
            "the time it was counted with"
        );
    }
    send(pair, PORT + 1, 10..30);
    flow(capture, PORT + 1, 20);
    assert!(capture.taken(PORT + 1).is_empty(), "another flow");
    // What is off the list is not copied, whatever was left of it.
    capture.ask_for(&key, 5);
    capture.let_be(&key);
    send(pair, PORT, 30..40);
    flow(capture, PORT, 10);
    assert!(capture.taken(PORT).is_empty());
}

/// Programs on veth-b that copy. The ends know each other: of packets that wait for an address some may never be sent.
fn start(pair: &Pair, evidence: EvidenceSettings) -> Xdp {
    pair.introduce();
    let settings = Settings {
        evidence: Some(evidence),
        ..Settings::on(["veth-b"])
    };
    pair.b.within(|| Xdp::start(&settings).expect("start"))
}

const SHORT: EvidenceSettings = EvidenceSettings {
    bytes: COPIED_BYTES,
    first_packets: 0,
    ring_bytes: 1 << 20,
};

#[test]
#[ignore = "kernel: needs root"]
fn the_next_packets_of_a_watched_flow_are_copied_and_no_others() {
    let _serial = Serial::take();
    let pair = Pair::new();
    copies_what_is_asked_for(&mut start(&pair, SHORT), &pair);
}

#[test]
#[ignore = "kernel: needs root"]
fn the_first_packets_of_every_flow_are_copied_where_that_is_asked_for() {
    const PORT: u16 = 4_003;
    let _serial = Serial::take();
    let pair = Pair::new();
    let settings = EvidenceSettings {
        first_packets: 3,
        ..SHORT
    };
    let mut capture = start(&pair, settings);
    send(&pair, PORT, 0..10);
    flow(&mut capture, PORT, 10);
    let taken = capture.taken(PORT);
    // Sending may go over into another epoch, and CPU.
    let numbers: Vec<u8> = taken.iter().take(3).map(|copied| copied.number).collect();
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
    pair.hush();
    for _ in 0..10 {
        send(&pair, PORT, 0..200);
    }
    let arrived = 2_000 - pair.lost_before_hook();
    flow(&mut capture, PORT, arrived);
    let Copies { copied, lost } = capture.copies_made().expect("numbers");
    assert!(lost > 0 && copied + lost >= arrived, "{copied} + {lost}");
    let mut taken = 0;
    capture.copies(&mut |_| taken += 1);
    assert_eq!(taken, copied);
}

/// A tap on veth-b whose sockets copy.
fn start_tap(pair: &Pair, copies: CopySettings) -> AfXdp {
    pair.introduce();
    let sockets = xsk::Settings {
        copies: Some(copies),
        ..xsk::Settings::default()
    };
    let capture = tap(pair, Some(&sockets));
    capture.demand().expect("sockets on every tap");
    capture
}

#[test]
#[ignore = "kernel: needs root"]
fn of_a_tap_too_the_next_packets_of_a_watched_flow_are_copied_and_no_others() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let copies = CopySettings {
        bytes: COPIED_BYTES,
        first_packets: 0,
        waiting_bytes: 1 << 20,
    };
    let mut capture = start_tap(&pair, copies);
    copies_what_is_asked_for(&mut capture, &pair);
    let (_, counts) = taken_of_tap(&mut capture, 0);
    assert_eq!(counts, CopyCounts { copied: 5, lost: 0 });
}

#[test]
#[ignore = "kernel: needs root"]
fn copies_of_a_tap_that_find_no_room_are_counted_and_nothing_else_is_lost() {
    const PORT: u16 = 4_013;
    let _serial = Serial::take();
    let pair = Pair::new();
    // Room for ten copies at each of two queues.
    let copies = CopySettings {
        bytes: COPIED_BYTES,
        first_packets: 1_000_000,
        waiting_bytes: 20 * COPIED_BYTES,
    };
    let mut capture = start_tap(&pair, copies);
    send(&pair, PORT, 0..100);
    flow(&mut capture, PORT, 100);
    let (taken, counts) = taken_of_tap(&mut capture, PORT);
    assert!(!taken.is_empty() && taken.len() <= 20, "{}", taken.len());
    assert!(counts.lost >= 70, "{counts:?}");
    assert_eq!(capture.losses(), xsk::Losses::default());
}
