//! The kernel program loses nothing: packets sent = flows + overflow + rejected, to the packet and per flow.
//!
//! ```text
//!   namespace a               namespace b
//!   veth-a  ───────────────▶  veth-b  [flow_ingress, flow_egress]
//!     ▲
//!     └ test runs with live frames: a program on the sending side says XDP_TX or redirects
//! ```
use std::{
    collections::HashMap,
    net::UdpSocket,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    counted::Counted,
    live_frames::{NOBODY, Sending, frame},
    netns::{Pair, Serial, pause},
};
use sensor::capture::{
    Stop,
    xdp::{Proved, Settings, Xdp},
};

/// Stops a capture when it goes out of scope.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn capture_on_b(pair: &Pair, flows_per_table: u32) -> Xdp {
    pair.b.within(|| {
        Xdp::start(&Settings {
            flows_per_table,
            early_flows_max: 4 * flows_per_table as usize,
            ..Settings::on(["veth-b"])
        })
        .expect("start")
    })
}

#[test]
#[ignore = "kernel: needs root"]
fn ten_million_packets_in_thirty_thousand_flows_are_counted_to_the_packet() {
    // On a busy machine veth's ring overflows and frames are lost on their way to the hook. Totals are compared all
    // the same; each flow can only be compared where none was lost.
    const ATTEMPTS: u32 = 5;
    let _serial = Serial::take();
    let lossless = (0..ATTEMPTS).any(|_| every_packet_is_counted());
    assert!(
        lossless,
        "veth lost frames before the hook in {ATTEMPTS} attempts"
    );
}

/// Sends and counts ten million packets; false where veth lost some of them.
fn every_packet_is_counted() -> bool {
    const FLOWS: u32 = 30_000;
    const PACKETS: u32 = 340;
    let pair = Pair::new();
    pair.hush();
    let mut capture = capture_on_b(&pair, 65_536);
    assert_eq!(capture.attached()[0].interface, "veth-b");
    let stop = capture.stop_handle();
    let begun = Instant::now();
    let (counted, sent, sockets) = thread::scope(|scope| {
        let drainer = scope.spawn(|| Counted::until_stopped(&mut capture));
        // Also when a sender panics: the drainer must end for the panic to be seen.
        let _stop = StopOnDrop(stop.clone());
        // One after the other: two senders into one queue of veth, whose ring holds 256 frames, make veth drop.
        let sockets = send_from_sockets(&pair);
        let sent = Sending::at_once(FLOWS, PACKETS).send(&pair, &frame(NOBODY));
        // Frames on their way through softirqs.
        pause(Duration::from_millis(300));
        stop.stop();
        (drainer.join().expect("drainer"), sent, sockets)
    });
    let lost = pair.lost_before_hook();
    println!(
        "sent {sent} by live frames and {} by sockets in {:.1?}; ledger {:?}; {} epochs, {} late; {lost} dropped by veth before the hook",
        sockets.values().sum::<u64>(),
        begun.elapsed(),
        counted.ledger,
        counted.epochs,
        counted.late
    );
    assert!(sent >= 10_000_000);
    assert_eq!(counted.packets(), counted.ledger.counted);
    assert_eq!(counted.ledger.overflow(), 0);
    let by_sockets: u64 = sockets.values().sum();
    let others = (counted.ledger.seen + lost) as i64 - (sent + by_sockets) as i64;
    assert!(
        (0..100).contains(&others),
        "{others} packets that nobody has sent"
    );
    assert_eq!(
        counted.ledger.seen,
        counted.ledger.counted + counted.ledger.rejected() + counted.ledger.probe
    );
    if lost > 0 {
        return false;
    }
    // Per flow: live frames have port 9 at the receiver.
    counted.has_flows(9, FLOWS, PACKETS, 0);
    for (port, packets) in sockets {
        assert_eq!(counted.sum_of_datagrams(port), packets, "port {port}");
    }
    true
}

/// Sends datagrams from ordinary sockets; gives the number sent by source port.
fn send_from_sockets(pair: &Pair) -> HashMap<u16, u64> {
    pair.a.within(|| {
        let mut sent = HashMap::new();
        for count in 200..250u64 {
            let socket = UdpSocket::bind("10.77.0.1:0").expect("bind");
            for _ in 0..count {
                // Nobody listens: the answers are ICMP errors, which the next send reports and drops.
                while socket.send_to(b"datagram", "10.77.0.2:5000").is_err() {}
            }
            // A port may be given twice, to one socket after the other.
            *sent
                .entry(socket.local_addr().expect("address").port())
                .or_default() += count;
        }
        sent
    })
}

#[test]
#[ignore = "kernel: needs root"]
fn small_tables_overflow_and_the_ledger_still_balances() {
    const FLOWS: u32 = 20_000;
    let _serial = Serial::take();
    let pair = Pair::new();
    let mut capture = capture_on_b(&pair, 1_000);
    let stop = capture.stop_handle();
    let (counted, sent) = thread::scope(|scope| {
        let drainer = scope.spawn(|| Counted::until_stopped(&mut capture));
        let _stop = StopOnDrop(stop.clone());
        let sent = Sending::at_once(FLOWS, 100).send(&pair, &frame(NOBODY));
        pause(Duration::from_millis(300));
        stop.stop();
        (drainer.join().expect("drainer"), sent)
    });
    println!("sent {sent}; ledger {:?}", counted.ledger);
    let lost = pair.lost_before_hook();
    assert!(counted.ledger.overflow() > 0);
    assert_eq!(counted.packets(), counted.ledger.counted);
    // Four tables full may wait, and the tables of all CPUs come on top: a flood does not decide about memory.
    let cpus = thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
    assert!(counted.early > 0, "no table was emptied early");
    assert!(
        counted.most <= 1_000 * (4 + cpus),
        "{} flows of one epoch",
        counted.most
    );
    // Neighbour discovery of the namespaces can come by, and can overflow too; it is not among what was sent.
    let others = (counted.ledger.seen + lost) as i64 - sent as i64;
    assert!(
        (0..100).contains(&others),
        "{others} packets that nobody has sent"
    );
    assert_eq!(
        counted.packets()
            + counted.ledger.overflow()
            + counted.ledger.rejected()
            + counted.ledger.probe,
        counted.ledger.seen
    );
}

/// Fifteen thousand flows an epoch on each CPU, at a pace, into tables of eight thousand: emptied in time, they lose nothing.
#[test]
#[ignore = "kernel: needs root"]
fn tables_that_fill_are_emptied_before_they_overflow() {
    const FLOWS: u32 = 30_000;
    const PACKETS: u32 = 4;
    let _serial = Serial::take();
    let pair = Pair::new();
    let mut capture = capture_on_b(&pair, 8_192);
    let stop = capture.stop_handle();
    let counted = thread::scope(|scope| {
        let drainer = scope.spawn(|| Counted::until_stopped(&mut capture));
        let _stop = StopOnDrop(stop.clone());
        let sending = Sending {
            flows: FLOWS,
            packets: PACKETS,
            lanes: 1,
            burst: 500,
            rest: Duration::from_millis(8),
        };
        sending.send(&pair, &frame(NOBODY));
        pause(Duration::from_millis(300));
        stop.stop();
        drainer.join().expect("drainer")
    });
    let lost = pair.lost_before_hook();
    println!(
        "emptied early {} times; {lost} dropped by veth; ledger {:?}",
        counted.early, counted.ledger
    );
    assert!(
        counted.early > 0,
        "a table of 8,192 took 30,000 flows a few times an epoch"
    );
    assert_eq!(counted.ledger.overflow(), 0);
    assert_eq!(counted.packets(), counted.ledger.counted);
    counted.has_flows(9, FLOWS, PACKETS, lost);
}

#[test]
#[ignore = "kernel: needs root"]
fn attaching_is_proved_by_a_packet() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let capture = capture_on_b(&pair, 1_000);
    let stop = AtomicBool::new(false);
    let proofs = Mutex::new(Vec::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            pair.a.within(|| {
                let socket = UdpSocket::bind("10.77.0.1:0").expect("bind");
                while !stop.load(Ordering::Relaxed) {
                    let _ = socket.send_to(b"hello", "10.77.0.2:5000");
                    pause(Duration::from_millis(1));
                }
            });
        });
        *proofs.lock().expect("lock") = pair.b.within(|| capture.prove().expect("prove"));
        stop.store(true, Ordering::Relaxed);
    });
    let proofs = proofs.into_inner().expect("lock");
    assert_eq!(
        (proofs[0].ingress, proofs[0].egress),
        (Proved::Runs, Proved::Runs),
        "{proofs:?}"
    );
}
