//! `pcap --ipfix`: flows of a capture to a collector.

use std::io;

use crate::{
    config::{Collector, Ipfix, Transport},
    flow::FlowRecord,
    score::{bytes, several},
    sink::ipfix::{Courier, Encoder, Form},
};

/// Parcels that go together: over TCP, each batch waits until it is acknowledged.
const BATCH: usize = 64;

/// Flows on their way.
pub(super) struct Export {
    encoder: Encoder,
    courier: Courier,
    parcels: Vec<Vec<u8>>,
}

impl Export {
    /// Nothing sent yet, and nobody asked whether there is a collector.
    pub(super) fn new(to: &Collector, settings: &Ipfix) -> Self {
        Self {
            encoder: Encoder::new(Form::from(settings)),
            courier: Courier::new(to.clone(), settings),
            parcels: Vec::new(),
        }
    }

    pub(super) fn flow(&mut self, record: &FlowRecord) -> io::Result<()> {
        self.encoder.flow(record, &mut self.parcels);
        match self.parcels.len() {
            BATCH.. => self.send(),
            _ => Ok(()),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let (_, sent) = self.courier.send(&self.parcels);
        self.parcels.clear();
        sent.map_err(io::Error::other)
    }

    /// Sends what is left, and says what was sent.
    pub(super) fn finish(mut self) -> io::Result<String> {
        self.encoder.flush(&mut self.parcels);
        self.send()?;
        let sent = self.courier.sent();
        let unsure = match self.courier.collector().transport {
            Transport::Udp => "; UDP does not say what arrived",
            Transport::Tcp => "",
        };
        Ok(format!(
            "{}: {} in {}, {}{unsure}",
            self.courier.collector(),
            several(sent.records as f64, "record"),
            several((sent.messages + sent.templates) as f64, "IPFIX message"),
            bytes(sent.bytes as f64),
        ))
    }
}
