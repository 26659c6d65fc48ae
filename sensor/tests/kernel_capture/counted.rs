//! What a whole capture counted, by flow and in its ledger.

use std::collections::HashMap;

use sensor::capture::{
    Capture as _, Epoch, Progress, Stop,
    xdp::{DrainReport, Xdp},
};
use sensor_ebpf::{flow::FlowKey, maps::Ledger};

/// Stops a capture when it goes out of scope, also where a sender fails: whoever drains must end for that to be seen.
pub(crate) struct StopOnDrop(pub(crate) Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) per_flow: HashMap<FlowKey, u64>,
    pub(crate) ledger: Ledger,
    pub(crate) epochs: u64,
    /// Flows of tables that were drained an epoch late.
    pub(crate) late: u64,
    /// Flows read from tables, in the fullest epoch.
    pub(crate) most: u64,
    /// Times tables were emptied early.
    pub(crate) early: u32,
}

impl Counted {
    /// Everything until the capture is told to stop; no packet of it may be in no counter.
    pub(crate) fn until_stopped(capture: &mut Xdp) -> Self {
        let (mut counted, mut epoch) = (Self::default(), Epoch::default());
        while capture.next_epoch(&mut epoch).expect("drain") == Progress::Epoch {
            counted.add(&epoch, capture.drain_report());
        }
        // Of one epoch this is asked of the drain, which knows whether it read the ledgers at rest.
        assert_eq!(counted.ledger.unaccounted(), 0);
        counted
    }

    /// One more epoch, as the capture reports it.
    pub(crate) fn add(&mut self, epoch: &Epoch, report: DrainReport) {
        assert_eq!(report.unaccounted, 0, "epoch {}", epoch.index);
        assert!(
            epoch
                .flows
                .is_sorted_by(|a, b| (a.1.first(), &a.0) < (b.1.first(), &b.0))
        );
        self.epochs += 1;
        self.late += report.late;
        self.most = self.most.max(report.entries);
        self.early += report.early;
        self.ledger.add(&epoch.ledger);
        for (key, counters) in &epoch.flows {
            *self.per_flow.entry(*key).or_default() += counters.packets();
        }
    }

    /// Packets of all flows.
    pub(crate) fn packets(&self) -> u64 {
        self.per_flow.values().sum()
    }

    /// Packets of each flow of datagrams from or to a port.
    pub(crate) fn datagrams(&self, port: u16) -> Vec<u64> {
        let of_port = |key: &FlowKey| key.protocol == 17 && key.ports.contains(&port);
        let flows = self.per_flow.iter().filter(|(key, _)| of_port(key));
        flows.map(|(_, packets)| *packets).collect()
    }

    /// Datagrams from or to a port.
    pub(crate) fn sum_of_datagrams(&self, port: u16) -> u64 {
        self.datagrams(port).iter().sum()
    }

    /// Of datagrams to a port: `flows` flows of `packets` each were sent, of which `lost` packets came to no hook. None has more than it was sent,
    /// and what they have less adds up to what was lost; where nothing was, each has what it was sent.
    pub(crate) fn has_flows(&self, port: u16, flows: u32, packets: u32, lost: u64) {
        let (found, packets) = (self.datagrams(port), u64::from(packets));
        assert!(found.len() <= flows as usize, "{} flows", found.len());
        assert!(found.iter().all(|counted| *counted <= packets));
        assert_eq!(found.iter().sum::<u64>() + lost, u64::from(flows) * packets);
    }
}
