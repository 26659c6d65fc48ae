//! What is counted live is what a recording of the same traffic gives.
//!
//! ```text
//!   namespace a             namespace b
//!   clients, veth-a ──────▶ veth-b, servers
//!                             ├ flow_ingress, flow_egress
//!                             └ tcpdump -w
//! ```
//!
//! Both sides go through the same flow table. A packet gets its time twice, from the program and, some microseconds
//! away, from the tap: so times agree within a millisecond, and so do the gaps, which are differences of times, unless the machine is taken away
//! between the two, which an attempt more tells from a defect. All else is
//! equal, and verdicts are the same but where a score lies next to a threshold. Where two CPUs counted one flow in overlapping spans (ingress is
//! counted where the packet arrives and egress where the program runs that sends) the gaps are approximate, as the record says, and are not
//! compared.

use sensor::{
    capture::{
        replay,
        xdp::{Settings, Xdp},
    },
    flow::FlowRecord,
};
use sensor_ebpf::flow::quality;

use crate::{
    beside::{Beside, timeless, undisturbed},
    netns::{Offload, Pair, Serial},
    sockets, verdicts,
};

const MILLISECOND: u64 = 1_000_000;

/// Tries ports behind which nobody listens.
fn scan(pair: &Pair) {
    pair.a.within(|| {
        for port in 20_000..20_200 {
            let refused = std::net::TcpStream::connect(("10.77.0.2", port));
            assert!(refused.is_err(), "port {port} is open");
        }
    });
}

/// The widest that two times of the same packet are apart, in nanoseconds.
fn widest(live: &FlowRecord, recorded: &FlowRecord) -> u64 {
    live.counters
        .halves
        .iter()
        .zip(&recorded.counters.halves)
        .flat_map(|(a, b)| [a.first.abs_diff(b.first), a.last.abs_diff(b.last)])
        .max()
        .unwrap_or(0)
}

/// The widest that two gaps between the same packets are apart, in nanoseconds.
fn widest_gap(live: &FlowRecord, recorded: &FlowRecord) -> u64 {
    if (live.counters.quality & quality::INTERLEAVED) != 0 {
        return 0;
    }
    live.counters
        .halves
        .iter()
        .zip(&recorded.counters.halves)
        .flat_map(|(a, b)| [a.gap_min.abs_diff(b.gap_min), a.gap_max.abs_diff(b.gap_max)])
        .map(|ticks| u64::from(ticks) << sensor_ebpf::flow::TICK_SHIFT)
        .max()
        .unwrap_or(0)
}

#[test]
#[ignore = "kernel: needs root"]
fn live_flows_are_those_of_a_recording_made_beside() {
    let _serial = Serial::take();
    undisturbed(live_beside_recording);
}

fn live_beside_recording() -> Result<(), String> {
    let pair = Pair::new();
    for which in [Offload::Tso, Offload::Gso] {
        pair.a.offload("veth-a", which, false);
        pair.b.offload("veth-b", which, false);
    }
    let mut capture = pair
        .b
        .within(|| Xdp::start(&Settings::on(["veth-b"])).expect("start"));
    // veth switches it on for XDP.
    pair.b.offload("veth-b", Offload::Gro, false);
    let stop = capture.stop_handle();
    let beside = Beside::of(&mut capture, &stop, (&pair, "veth-b"), || {
        for _ in 0..3 {
            sockets::converse(&pair);
        }
        scan(&pair);
    });
    beside.same_traffic()?;
    let replayed = beside.replayed(replay::Settings::default());
    let [live, recorded] = beside.records(&replayed);
    let packets: u64 = live.iter().map(|record| record.counters.packets()).sum();
    assert!(
        live.len() >= 60 && packets > 1_000,
        "{} flows, {packets} packets",
        live.len()
    );
    let keys = |records: &[FlowRecord]| records.iter().map(|record| record.key).collect::<Vec<_>>();
    assert_eq!(keys(&live), keys(&recorded));
    let (mut time_apart, mut gap_apart) = (0, 0);
    for (live, recorded) in live.iter().zip(&recorded) {
        assert_eq!(
            timeless(&live.counters),
            timeless(&recorded.counters),
            "{live:#?} {recorded:#?}"
        );
        assert_eq!(
            (
                live.originator,
                live.end,
                live.conn_state(),
                live.history(),
                live.community_id()
            ),
            (
                recorded.originator,
                recorded.end,
                recorded.conn_state(),
                recorded.history(),
                recorded.community_id()
            ),
            "{live:#?} {recorded:#?}"
        );
        time_apart = time_apart.max(widest(live, recorded));
        gap_apart = gap_apart.max(widest_gap(live, recorded));
    }
    println!(
        "{} flows, {packets} packets; times at most {time_apart} ns apart, gaps {gap_apart} ns",
        live.len()
    );
    if time_apart >= MILLISECOND || gap_apart >= 2 * MILLISECOND {
        return Err(format!("times {time_apart} ns apart, gaps {gap_apart} ns"));
    }
    verdicts::agree(&beside.between_hosts(&replayed))
}

/// Egress sees super-packets before the stack cuts them; what is counted is what the other end receives.
#[test]
#[ignore = "kernel: needs root"]
fn super_packets_are_counted_as_the_packets_on_the_wire() {
    let _serial = Serial::take();
    undisturbed(super_packets_beside_recording);
}

fn super_packets_beside_recording() -> Result<(), String> {
    let pair = Pair::new();
    let mut capture = pair
        .b
        .within(|| Xdp::start(&Settings::on(["veth-b"])).expect("start"));
    pair.a.offload("veth-a", Offload::Gro, false);
    pair.b.offload("veth-b", Offload::Tso, false);
    pair.b.offload("veth-b", Offload::Gso, true);
    let stop = capture.stop_handle();
    let beside = Beside::of(&mut capture, &stop, (&pair, "veth-a"), || {
        for (_, server) in sockets::ENDS {
            sockets::tcp(&pair, server, &[(10, 3_000_000), (10, 100_001)]);
        }
    });
    beside.same_traffic()?;
    let replayed = beside.replayed(replay::Settings::default());
    let [live, recorded] = beside.records(&replayed).map(|mut records| {
        records.retain(|record| record.key.protocol == 6);
        records
    });
    assert_eq!((live.len(), recorded.len()), (4, 4));
    for (live, recorded) in live.iter().zip(&recorded) {
        assert_eq!(live.key, recorded.key);
        assert_eq!(
            timeless(&live.counters),
            timeless(&recorded.counters),
            "{live:#?} {recorded:#?}"
        );
        // Segments of one super-packet have one time: the proof that there were some.
        assert_eq!(live.resp().gap_min, 0);
        println!(
            "{} packets of at most {} bytes",
            live.resp().packets,
            live.resp().length_max
        );
    }
    Ok(())
}
