//! The sensor at the end of the veth, with a thread that takes its epochs as the pipeline would.

use std::{error::Error, thread};

use sensor::capture::{
    Capture as _, Epoch, Progress, Stop,
    xdp::{Settings, Xdp},
};
use sensor_ebpf::maps::{Hook, Ledger};

use super::{Received, Running};
use crate::netns::Pair;

/// The kernel's accounting, and its drain.
pub(super) struct Kernel {
    stop: Stop,
    drain: thread::JoinHandle<Result<(Ledger, i64), String>>,
}

impl Kernel {
    pub(super) fn start(pair: &Pair, tap: bool) -> Result<Self, Box<dyn Error>> {
        let settings = Settings {
            taps: tap.then(|| "veth-b".to_owned()).into_iter().collect(),
            ..Settings::on(["veth-b"])
        };
        let mut capture = pair.b.within(|| Xdp::start(&settings))?;
        let stop = capture.stop_handle();
        let drain = thread::spawn(move || {
            let mut epoch = Epoch::default();
            let mut unaccounted = 0;
            loop {
                match capture.next_epoch(&mut epoch) {
                    Ok(Progress::Epoch) => unaccounted += capture.drain_report().unaccounted,
                    Ok(Progress::End) => return Ok((capture.totals(Hook::Ingress), unaccounted)),
                    Err(error) => return Err(error.to_string()),
                }
            }
        });
        Ok(Self { stop, drain })
    }
}

impl Running for Kernel {
    fn finish(self: Box<Self>) -> Result<Received, Box<dyn Error>> {
        self.stop.stop();
        let (ledger, unaccounted) = self.drain.join().map_err(|_| "the drain panicked")??;
        let rejected = ledger.rejected() + ledger.probe;
        let mut lost = std::collections::BTreeMap::from([
            ("overflow", ledger.overflow()),
            ("rejected", rejected),
        ]);
        lost.retain(|_, packets| *packets > 0);
        Ok(Received {
            // What the flows and the ledger disagree about is in no counter.
            seen: Some(ledger.seen.wrapping_add_signed(unaccounted)),
            handled: Some(ledger.counted),
            lost,
        })
    }
}
