//! A host that looks for others of its link by ARP, as its own kernel asks for them.
//!
//! ```text
//!   namespace a             namespace b
//!   sends to many that are   veth-b: flow_ingress, flow_egress
//!   not there, veth-a ─────▶         tcpdump -w
//! ```

use std::{net::UdpSocket, time::Duration};

use sensor::{
    capture::{
        replay,
        xdp::{Settings, Xdp},
    },
    flow::FlowRecord,
    score::Kind,
};

use crate::{
    beside::{Beside, timeless, undisturbed},
    netns::{Pair, Serial, pause},
    sockets, verdicts,
};

/// Hosts that are sent to, of which none is there.
const ABSENT: std::ops::Range<u8> = 10..130;

#[test]
#[ignore = "kernel: needs root"]
fn a_sweep_is_raised_live_as_in_its_recording() {
    let _serial = Serial::take();
    undisturbed(sweep_beside_recording);
}

fn sweep_beside_recording() -> Result<(), String> {
    let pair = Pair::new();
    let mut capture = pair
        .b
        .within(|| Xdp::start(&Settings::on(["veth-b"])).expect("start"));
    let stop = capture.stop_handle();
    let beside = Beside::of(&mut capture, &stop, (&pair, "veth-b"), || {
        sockets::converse(&pair);
        pair.a.within(|| {
            let socket = UdpSocket::bind("10.77.0.1:0").expect("bind");
            for host in ABSENT {
                // Nobody answers the kernel, which asks three times, a second apart.
                let _ = socket.send_to(b"?", ("10.77.0.".to_owned() + &host.to_string(), 9));
            }
        });
        while !pair
            .a
            .ip(&["neighbour", "show", "nud", "incomplete"])
            .is_empty()
        {
            pause(Duration::from_millis(100));
        }
    });
    beside.same_traffic()?;
    let replayed = beside.replayed(replay::Settings::default());
    let [of_live, of_recording] = beside.records(&replayed).map(|mut records| {
        records.retain(|record| record.key.is_arp());
        records
    });
    let count = |records: &[FlowRecord]| -> Vec<_> {
        let one = |record: &FlowRecord| (record.key, timeless(&record.counters));
        records.iter().map(one).collect()
    };
    assert_eq!(count(&of_live), count(&of_recording));
    let in_vain = of_live
        .iter()
        .filter(|record| record.orig().packets > 0 && record.resp().packets == 0);
    assert_eq!(in_vain.count(), ABSENT.len());
    let [of_live, of_recording] = verdicts::incidents(&beside.live, &replayed);
    let sweeps = |incidents: &[(Kind, u64, usize)]| -> Vec<_> {
        let of = incidents.iter().copied();
        of.filter(|(kind, ..)| *kind == Kind::HostSweep).collect()
    };
    assert_eq!(sweeps(&of_live), sweeps(&of_recording));
    let [(_, flows, _)] = sweeps(&of_live)[..] else {
        panic!("one sweep, not {of_live:?}");
    };
    // A few of the first may have been looked at before it was one.
    assert!(flows >= 100, "{flows}");
    Ok(())
}
