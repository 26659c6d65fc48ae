//! A million flows of one epoch are drained to the packet while those of the next keep coming.
//!
//! Frames carry their own times, so that an epoch lasts as long as it takes to send a million flows here.

use std::{
    os::fd::AsFd as _,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use sensor::capture::{
    Epoch,
    xdp::{Settings, Xdp, bpf},
};
use sensor_ebpf::flow::EPOCH_SHIFT;

use crate::{
    arrivals::Arrivals,
    live_frames::{NOBODY, Sending, frame},
    netns::{Pair, Serial, cpus, pause, pin},
    processor::processor_time,
    program,
};

const FLOWS: u32 = 1_000_000;
/// Far ahead of any clock: the tables are at rest whenever nobody sends.
const EPOCH: u64 = 1 << 33;
/// One good attempt shows what a drain costs.
const ATTEMPTS: u32 = 3;

/// A frame that was seen in `epoch`.
fn frame_of(epoch: u64) -> Vec<u8> {
    let mut frame = frame(NOBODY);
    frame[..8].copy_from_slice(&((epoch << EPOCH_SHIFT) + 5).to_be_bytes());
    frame
}

#[test]
#[ignore = "kernel: needs root"]
fn a_million_flows_are_drained_while_packets_come() {
    let _serial = Serial::take();
    let pair = Pair::new();
    // Nobody else's packets: their addresses would be taken for times.
    pair.hush();
    let mut capture = pair.b.within(|| {
        Xdp::start(&Settings {
            // A million between two CPUs, whichever gets more; or all on one, where there is one.
            flows_per_table: FLOWS / cpus().min(2) as u32 * 6 / 5,
            clock_from_frame: true,
            ..Settings::on(["veth-b"])
        })
        .expect("start")
    });
    // As in a sensor that runs: the memory of the epoch before is used again.
    let mut drained = Epoch::default();
    let spent = (0..ATTEMPTS).map(|attempt| {
        drain_a_million(
            &pair,
            &mut capture,
            EPOCH + 4 * u64::from(attempt),
            &mut drained,
        )
    });
    // How long it takes is for people to read, not for a test to judge: machines differ, and do other things.
    println!("processor time of the drain at best: {:?}", spent.min());
}

/// Fills the tables of an epoch, drains them while the next is being filled, and answers what that took of a processor: on a
/// machine that does other things the wall clock measures those.
fn drain_a_million(pair: &Pair, capture: &mut Xdp, epoch: u64, drained: &mut Epoch) -> Duration {
    let (lost_before, arrivals) = (pair.lost_before_hook(), Arrivals::from_now(pair));
    let sent = Sending::at_once(FLOWS, 1).send(pair, &frame_of(epoch));
    arrivals.wait_for(sent);
    let lost = pair.lost_before_hook() - lost_before;

    let (is_over, meanwhile) = (AtomicBool::new(false), AtomicU64::new(0));
    let (report, spent) = thread::scope(|scope| {
        scope.spawn(|| {
            pair.a.within(|| {
                pin(1);
                let interface = pair.a.index("veth-a");
                let program =
                    program::flow_maker(interface, FLOWS, 0, 1).expect("load the flow maker");
                while !is_over.load(Ordering::Relaxed) {
                    bpf::inject(program.as_fd(), &frame_of(epoch + 1), 1024).expect("inject");
                    meanwhile.fetch_add(1024, Ordering::Relaxed);
                }
            });
        });
        while meanwhile.load(Ordering::Relaxed) < 4096 {
            pause(Duration::from_millis(1));
        }
        pin(0);
        let before = processor_time();
        let report = capture.drain(epoch, drained).expect("drain");
        let spent = processor_time() - before;
        is_over.store(true, Ordering::Relaxed);
        (report, spent)
    });
    arrivals.wait_for(sent + meanwhile.load(Ordering::Relaxed));
    println!(
        "{} flows drained in {:.0?} ({spent:.0?} of processor time), {} packets sent meanwhile, {lost} lost by veth before the hook",
        report.entries,
        report.took,
        meanwhile.load(Ordering::Relaxed)
    );
    assert_eq!(report.unaccounted, 0);
    assert_eq!(drained.ledger.overflow(), 0);
    let sent_by_us = drained
        .flows
        .iter()
        .filter(|(key, _)| key.protocol == 17 && key.ports.contains(&9));
    let packets: u64 = sent_by_us
        .clone()
        .map(|(_, counters)| counters.packets())
        .sum();
    assert_eq!(packets + lost, u64::from(FLOWS));
    assert_eq!(
        sent_by_us.count() as u64,
        packets,
        "each flow has one packet"
    );

    // What came meanwhile is all in the next epoch.
    let lost_meanwhile = pair.lost_before_hook() - lost_before - lost;
    let mut next = Epoch::default();
    assert_eq!(
        capture
            .drain(epoch + 1, &mut next)
            .expect("drain")
            .unaccounted,
        0
    );
    let ours = next
        .flows
        .iter()
        .filter(|(key, _)| key.protocol == 17 && key.ports.contains(&9));
    let packets: u64 = ours.map(|(_, counters)| counters.packets()).sum();
    assert_eq!(packets + lost_meanwhile, meanwhile.load(Ordering::Relaxed));
    spent
}
