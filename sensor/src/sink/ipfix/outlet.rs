//! IPFIX as a sink of the live sensor.

use std::time::Duration;

use super::{Courier, Encoder, Form, SendError};
use crate::{
    config::Ipfix,
    sink::{
        message::{Message, Wants},
        outlet::{Deliver, DeliveryError, Encode, OutletSpec},
    },
};

/// Parcels that go together: over TCP each batch waits until it is acknowledged.
const BATCH: usize = 64;

/// The sink, where there is a collector.
pub fn outlet(settings: &Ipfix) -> Option<OutletSpec> {
    let collector = settings.collector.clone()?;
    Some(OutletSpec {
        name: "ipfix",
        folder: "ipfix".to_owned(),
        target: collector.to_string(),
        wants: Wants::FLOWS,
        encode: Box::new(Encoder::new(Form::from(settings))),
        deliver: Box::new(Courier::new(collector, settings)),
        batch: BATCH,
        gather: Duration::ZERO,
    })
}

impl Encode for Encoder {
    fn encode(&mut self, message: &Message, parcels: &mut Vec<Vec<u8>>) {
        if let Message::Flows(flows) = message {
            for flow in flows.iter() {
                self.flow(&flow.record, parcels);
            }
            // What ended in one epoch does not wait for the next.
            self.flush(parcels);
        }
    }
}

impl Deliver for Courier {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        let (got, sent) = self.send(parcels);
        let sent = sent.map_err(|error| match error {
            SendError::Damaged(_) => DeliveryError::never(error),
            _ => DeliveryError::later(error),
        });
        (got, sent)
    }

    fn finish(&mut self) {
        self.close();
    }
}
