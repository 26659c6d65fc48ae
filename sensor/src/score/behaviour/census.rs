//! Which services this network uses, as it is watched: a network may be new to a model and still be static.

use super::{
    Evidence, Kind,
    at::{Measure, at},
    null::{fisher, laplace},
    rule::PAIR_FLOWS,
};
use crate::{features::Row, flow::FlowRecord};

/// Ports of protocols that industrial controllers speak: Modbus, Siemens S7, IEC 60870-5-104, DNP3, EtherNet/IP,
/// BACnet, OPC UA.
pub(super) const INDUSTRIAL: [u16; 7] = [502, 102, 2404, 20_000, 44_818, 47_808, 4_840];
/// Finished flows of a service before its volumes are judged by one another.
const PEERS: u32 = 20;
/// Other sources after which a service belongs to this network.
const OTHERS: u8 = 2;
/// Flows of a service after which it belongs to this network.
const FLOWS: u32 = 50;
/// Least standard deviation of the logarithm of a service's bytes.
const LEAST_DEVIATION: f64 = 0.2;
/// Tests made of a flow that doubles as it grows.
const LOOKS: f64 = 10.0;

const BYTES: usize = at("bytes");

/// One service.
#[derive(Clone, Copy, Debug, Default)]
struct Service {
    flows: u32,
    /// Times that the source was another than before, saturating.
    changes: u8,
    /// Last bytes of the latest source's address.
    latest: u32,
}

/// Running mean and variance (Welford 1962).
#[derive(Clone, Copy, Debug, Default)]
struct Volumes {
    count: u32,
    mean: f64,
    squares: f64,
}

/// Services by responder port, of TCP.
#[derive(Debug)]
pub(super) struct Census {
    services: Vec<Service>,
    volumes: [Volumes; INDUSTRIAL.len()],
}

fn tail(record: &FlowRecord) -> u32 {
    let address = &record.key.addresses[record.originator];
    u32::from_be_bytes([address[12], address[13], address[14], address[15]])
}

impl Census {
    pub(super) fn new() -> Self {
        Self {
            services: vec![Service::default(); 1 << 16],
            volumes: Default::default(),
        }
    }

    /// Counts a finished flow.
    #[inline]
    pub(super) fn count(&mut self, record: &FlowRecord) {
        if record.key.protocol != 6 || !record.is_final() || record.resp().payload_bytes == 0 {
            return;
        }
        let port = record.destination_port();
        let service = &mut self.services[usize::from(port)];
        let source = tail(record);
        if service.latest != source {
            service.changes = service.changes.saturating_add(u8::from(service.flows > 0));
            service.latest = source;
        }
        service.flows = service.flows.saturating_add(1);
        if let Some(at) = INDUSTRIAL.iter().position(|known| *known == port) {
            let volumes = &mut self.volumes[at];
            let value = logarithm(record);
            volumes.count = volumes.count.saturating_add(1);
            let off = value - volumes.mean;
            volumes.mean += off / f64::from(volumes.count);
            volumes.squares += off * (value - volumes.mean);
        }
    }

    /// Whether the service of this flow is an ordinary one of this network.
    pub(super) fn is_established(&self, record: &FlowRecord) -> bool {
        let service = &self.services[usize::from(record.destination_port())];
        service.flows >= FLOWS || service.changes >= OTHERS
    }

    /// A conversation with a controller that is far larger than those others have with controllers.
    pub(super) fn industrial(&self, record: &FlowRecord, row: &Row) -> Option<Evidence> {
        if record.key.protocol != 6 {
            return None;
        }
        let port = record.destination_port();
        let volumes = &self.volumes[INDUSTRIAL.iter().position(|known| *known == port)?];
        if volumes.count < PEERS {
            return None;
        }
        let count = f64::from(volumes.count);
        let deviation = (volumes.squares / count).sqrt().max(LEAST_DEVIATION);
        let off = (logarithm(record) - volumes.mean) / deviation;
        let newness = (f64::from(row[PAIR_FLOWS]).max(1.0) / count).min(1.0);
        let p = (LOOKS * fisher(laplace(off), newness)).min(1.0);
        Some(Evidence::of(Kind::IndustrialMisuse, p).with(Measure {
            feature: BYTES,
            value: row[BYTES],
            usual: (volumes.mean + 2.33 * deviation).exp() as f32,
        }))
    }
}

/// Logarithm of the bytes of both sides.
fn logarithm(record: &FlowRecord) -> f64 {
    ((record.orig().ip_bytes + record.resp().ip_bytes) as f64).ln_1p()
}
