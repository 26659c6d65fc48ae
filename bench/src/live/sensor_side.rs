//! The sensor at the end of the veth, with a thread that takes its epochs: only takes them, or does with them what the product does.

use std::{collections::BTreeMap, error::Error, sync::Arc, thread};

use model::Published;
use sensor::{
    capture::{
        Capture, CaptureError, Epoch, Progress, Stop,
        xdp::{Settings, Xdp},
        xsk::{self, AfXdp, Losses},
    },
    config::{Config, Layers},
    metrics::{Id, Metrics},
    pipeline::{self, Health, Learning, Listener, LiveCapture, Training, Watch},
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

/// What happens to its epochs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// They are taken and looked through.
    Nothing,
    /// Flow table, context, features, scores and incidents by a baseline learned from the same traffic first, all as where nobody says
    /// otherwise; but for sinks and evidence.
    Sensor,
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
    /// Flow records scored, where any are.
    scored: Option<u64>,
}

impl Capturing {
    pub(super) fn start(pair: &Pair, role: Role, behind: Behind) -> Result<Self, Box<dyn Error>> {
        let mut settings = Settings::on(["veth-b"]);
        if role != Role::Host {
            settings.taps.push("veth-b".to_owned());
        }
        let sockets = (role == Role::Tap).then(xsk::Settings::default);
        let capture = pair
            .b
            .within(|| AfXdp::start(Xdp::start(&settings)?, sockets.as_ref()))?;
        for bound in capture.bound() {
            if let Err(unbound) = &bound.binding {
                return Err(format!("{}: {unbound}", bound.interface).into());
            }
        }
        let stop = capture.stop_handle();
        let mut counted = Counted {
            capture,
            seen: Seen::default(),
        };
        let drain = thread::spawn(move || {
            match behind {
                Behind::Nothing => counted.take().map_err(|error| error.to_string())?,
                Behind::Sensor => counted.seen.scored = Some(watch(&mut counted)?),
            }
            let Counted { capture, mut seen } = counted;
            seen.ledger = capture.totals();
            seen.losses = capture.losses();
            Ok(seen)
        });
        Ok(Self { stop, drain })
    }
}

/// The product's watch, with nobody who listens; how many flow records it scored.
fn watch(capture: &mut Counted) -> Result<u64, String> {
    struct Nobody;
    impl Listener for Nobody {}
    let live = Config::from_layers(&Layers::default())
        .map_err(|error| error.to_string())?
        .live;
    let learning = Learning {
        training: Training {
            model: model::Settings {
                threads: 1,
                ..model::Settings::default()
            },
            rows: live.learn_flows,
            trusting: false,
        },
        flows: live.learn_flows,
        time: live.learn_time,
        retrain: None,
    };
    let (settings, metrics) = (pipeline::Settings::default(), Metrics::new());
    Watch::new(&settings, None, &learning, &metrics)
        .run(
            capture,
            &mut |model| Arc::new(Published::new(model)),
            &mut Nobody,
        )
        .map_err(|error| error.to_string())?;
    Ok(metrics.value(Id::FlowsScoredTotal, &[]) as u64)
}

/// A capture, and what went through it.
struct Counted {
    capture: AfXdp,
    seen: Seen,
}

impl Counted {
    fn take(&mut self) -> Result<(), CaptureError> {
        let mut epoch = Epoch::default();
        while self.next_epoch(&mut epoch)? == Progress::Epoch {}
        Ok(())
    }
}

impl Capture for Counted {
    fn next_epoch(&mut self, epoch: &mut Epoch) -> Result<Progress, CaptureError> {
        let progress = self.capture.next_epoch(epoch)?;
        if progress == Progress::Epoch {
            self.seen.unaccounted += self.capture.report().unaccounted.abs();
            let packets = epoch.flows.iter().map(|(_, counters)| counters.packets());
            self.seen.in_flows += packets.sum::<u64>();
        }
        Ok(progress)
    }
}

impl LiveCapture for Counted {
    fn health(&self) -> Health {
        Health::default()
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
            scored: seen.scored,
            lost,
        })
    }
}
