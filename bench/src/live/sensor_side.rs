//! The sensor at the end of the veth, with a thread that takes its epochs as the pipeline would.

use std::{collections::BTreeMap, error::Error, thread};

use sensor::capture::{
    Capture as _, Epoch, Progress, Stop,
    xdp::{Settings, Xdp},
    xsk::{self, AfXdp, Losses},
};
use sensor_ebpf::maps::Ledger;

use super::{Received, Running};
use crate::netns::Pair;

/// What veth-b is to the sensor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// An interface of the host.
    Host,
    /// A tap whose packets the kernel counts and drops.
    CountedTap,
    /// A tap whose packets go to AF_XDP.
    Tap,
}

/// A capture at work.
pub(super) struct Capturing {
    stop: Stop,
    drain: thread::JoinHandle<Result<Seen, String>>,
}

/// What came of it.
#[derive(Default)]
struct Seen {
    /// At the hook of veth-b and at its egress.
    ledger: Ledger,
    /// In the flows of all epochs.
    in_flows: u64,
    losses: Losses,
    unaccounted: i64,
}

impl Capturing {
    pub(super) fn start(pair: &Pair, role: Role) -> Result<Self, Box<dyn Error>> {
        let mut settings = Settings::on(["veth-b"]);
        if role != Role::Host {
            settings.taps.push("veth-b".to_owned());
        }
        let sockets = (role == Role::Tap).then(xsk::Settings::default);
        let mut capture = pair
            .b
            .within(|| AfXdp::start(Xdp::start(&settings)?, sockets.as_ref()))?;
        for bound in capture.bound() {
            if let Err(unbound) = &bound.binding {
                return Err(format!("{}: {unbound}", bound.interface).into());
            }
        }
        let stop = capture.stop_handle();
        let drain = thread::spawn(move || {
            let (mut epoch, mut seen) = (Epoch::default(), Seen::default());
            while capture
                .next_epoch(&mut epoch)
                .map_err(|error| error.to_string())?
                == Progress::Epoch
            {
                seen.unaccounted += capture.report().unaccounted.abs();
                let packets = epoch.flows.iter().map(|(_, counters)| counters.packets());
                seen.in_flows += packets.sum::<u64>();
            }
            seen.ledger = capture.totals();
            seen.losses = capture.losses();
            Ok(seen)
        });
        Ok(Self { stop, drain })
    }
}

impl Running for Capturing {
    fn finish(self: Box<Self>) -> Result<Received, Box<dyn Error>> {
        self.stop.stop();
        let seen = self.drain.join().map_err(|_| "the drain panicked")??;
        let mut lost = BTreeMap::from([
            ("overflow", seen.ledger.overflow()),
            ("rejected", seen.ledger.rejected()),
            ("af_xdp ring full", seen.losses.ring_full),
            ("af_xdp no frame", seen.losses.no_frame),
            ("af_xdp other", seen.losses.other),
        ]);
        lost.retain(|_, packets| *packets > 0);
        Ok(Received {
            // The probe is our own, and left by the other hook.
            seen: Some(
                (seen.ledger.seen - seen.ledger.probe).wrapping_add_signed(seen.unaccounted),
            ),
            handled: Some(seen.in_flows),
            lost,
        })
    }
}
