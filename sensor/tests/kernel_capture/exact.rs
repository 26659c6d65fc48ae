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
    thread,
    time::{Duration, Instant},
};

use crate::{
    arrivals::Arrivals,
    canary::with_canaries,
    counted::{Counted, StopOnDrop},
    live_frames::{NOBODY, Sending, frame},
    netns::{Pair, Serial},
    process::in_traffic,
};
use sensor::capture::xdp::{Proved, Settings, Xdp};

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

/// On a busy machine veth's ring overflows, and frames are lost on their way to the hook. Of those that are sent as fast as can be it is known how
/// many: what the flows have less than they were sent adds up to that. Of those of sockets none is lost, and each flow has what it was sent.
#[test]
#[ignore = "kernel: needs root"]
fn ten_million_packets_in_thirty_thousand_flows_are_counted_to_the_packet() {
    const FLOWS: u32 = 30_000;
    const PACKETS: u32 = 340;
    let _serial = Serial::take();
    let pair = Pair::new();
    pair.hush();
    let mut capture = capture_on_b(&pair, 65_536);
    assert_eq!(capture.attached()[0].interface, "veth-b");
    let stop = capture.stop_handle();
    let (begun, arrivals) = (Instant::now(), Arrivals::from_now(&pair));
    let (counted, sent, sockets) = thread::scope(|scope| {
        let drainer = scope.spawn(|| Counted::until_stopped(&mut capture));
        // Also when a sender panics: the drainer must end for the panic to be seen.
        let _stop = StopOnDrop(stop.clone());
        // One after the other: two senders into one queue of veth, whose ring holds 256 frames, make veth drop.
        let sockets = send_from_sockets(&pair, &arrivals);
        assert_eq!(pair.lost_before_hook(), 0, "the ring had room");
        let sent = Sending::at_once(FLOWS, PACKETS).send(&pair, &frame(NOBODY));
        arrivals.wait_for(sockets.values().sum::<u64>() + sent);
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
    // Live frames have port 9 at the receiver.
    counted.has_flows(9, FLOWS, PACKETS, lost);
    for (port, packets) in sockets {
        assert_eq!(counted.sum_of_datagrams(port), packets, "port {port}");
    }
}

/// Sends datagrams from ordinary sockets, never more at once than veth's ring has room for; gives the number sent by source port.
fn send_from_sockets(pair: &Pair, arrivals: &Arrivals<'_>) -> HashMap<u16, u64> {
    // Nobody reads what it gets: it keeps the stack from answering.
    let _server = pair
        .b
        .within(|| UdpSocket::bind("10.77.0.2:5000").expect("bind"));
    pair.a.within(|| {
        let (mut sent, mut all) = (HashMap::new(), 0);
        for count in 150..200u64 {
            let socket = UdpSocket::bind("10.77.0.1:0").expect("bind");
            for _ in 0..count {
                let length = socket.send_to(b"datagram", "10.77.0.2:5000").expect("send");
                assert_eq!(length, 8);
            }
            // A port may be given twice, to one socket after the other.
            *sent
                .entry(socket.local_addr().expect("address").port())
                .or_default() += count;
            all += count;
            arrivals.wait_for(all);
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
    pair.hush();
    let mut capture = capture_on_b(&pair, 1_000);
    let (stop, arrivals) = (capture.stop_handle(), Arrivals::from_now(&pair));
    let (counted, sent) = thread::scope(|scope| {
        let drainer = scope.spawn(|| Counted::until_stopped(&mut capture));
        let _stop = StopOnDrop(stop.clone());
        let sent = Sending::at_once(FLOWS, 100).send(&pair, &frame(NOBODY));
        arrivals.wait_for(sent);
        stop.stop();
        (drainer.join().expect("drainer"), sent)
    });
    println!("sent {sent}; ledger {:?}", counted.ledger);
    let lost = pair.lost_before_hook();
    assert!(counted.ledger.overflow() > 0);
    assert_eq!(counted.packets(), counted.ledger.counted);
    // Four tables full may wait, and the tables of all CPUs come on top: a flood does not decide about memory.
    let cpus = aya::util::nr_cpus().expect("possible CPUs") as u64;
    assert!(counted.early > 0, "no table was emptied early");
    assert!(
        counted.most <= 1_000 * (4 + cpus),
        "{} flows of one epoch",
        counted.most
    );
    // The probe is not among what was sent.
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

/// Flows of a table that takes nearly twice as many an epoch.
const TABLE: u32 = 4_096;

/// Seven thousand flows an epoch, at a pace, into tables of four thousand: emptied in time, they lose nothing. In time is what a thread can be on a
/// machine that lets threads run; where it does not, the next attempt has to tell.
#[test]
#[ignore = "kernel: needs root"]
fn tables_that_fill_are_emptied_before_they_overflow() {
    const ATTEMPTS: u32 = 20;
    let _serial = Serial::take();
    for _ in 0..ATTEMPTS {
        let (counted, held) = with_canaries(fill_tables_at_a_pace);
        let overflow = counted.ledger.overflow();
        println!(
            "emptied early {} times, {overflow} packets found no room; {held:?}",
            counted.early
        );
        if overflow == 0 && counted.early > 0 {
            return;
        }
        // From five eighths full to the brim it is a hundred milliseconds, and it is so a few times in an epoch.
        let excuse = Duration::from_millis(if counted.early > 0 { 40 } else { 400 });
        // Nothing overflows either where the sender is held up.
        let is_slow = overflow == 0 && counted.most <= u64::from(TABLE);
        assert!(
            held.longest > excuse || is_slow,
            "{overflow} packets found no room in tables that were emptied {} times",
            counted.early
        );
    }
    println!("left open: in {ATTEMPTS} attempts this machine let no thread run in time");
}

/// Packets that find no room are counted as such, and the others in their flows.
fn fill_tables_at_a_pace() -> Counted {
    const FLOWS: u32 = 20_000;
    const PACKETS: u32 = 2;
    let pair = Pair::new();
    pair.hush();
    let mut capture = capture_on_b(&pair, TABLE);
    let (stop, arrivals) = (capture.stop_handle(), Arrivals::from_now(&pair));
    let counted = thread::scope(|scope| {
        let drainer = scope.spawn(|| Counted::until_stopped(&mut capture));
        let _stop = StopOnDrop(stop.clone());
        let sending = Sending {
            flows: FLOWS,
            packets: PACKETS,
            lanes: 1,
            burst: 500,
            every: Duration::from_millis(35),
        };
        arrivals.wait_for(sending.send(&pair, &frame(NOBODY)));
        stop.stop();
        drainer.join().expect("drainer")
    });
    let lost = pair.lost_before_hook() + counted.ledger.overflow();
    assert_eq!(counted.packets(), counted.ledger.counted);
    counted.has_flows(9, FLOWS, PACKETS, lost);
    counted
}

#[test]
#[ignore = "kernel: needs root"]
fn attaching_is_proved_by_a_packet() {
    let _serial = Serial::take();
    let pair = Pair::new();
    let capture = capture_on_b(&pair, 1_000);
    let proofs = in_traffic(&pair, || {
        let begun = Instant::now();
        loop {
            let proofs = pair.b.within(|| capture.prove().expect("prove"));
            // The sender may be held up for as long as this looks.
            if proofs[0].ingress != Proved::NoTraffic || begun.elapsed() > Duration::from_secs(60) {
                break proofs;
            }
        }
    });
    assert_eq!(
        (proofs[0].ingress, proofs[0].egress),
        (Proved::Runs, Proved::Runs),
        "{proofs:?}"
    );
}
