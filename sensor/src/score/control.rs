//! What is called an anomaly: as rare as calibration asks for, and as rare as it takes to keep the share that was promised while the
//! traffic drifts ([`OnlineQuantile`]), in which each host has a bounded say. A function of the rows in their order.

mod debts;
mod hosts;
mod under_way;

use model::{Model, OnlineQuantile};
use sensor_ebpf::flow::TimeNs;

use self::{debts::Debts, under_way::UnderWay};
use super::{Scored, Severity, Subject};

/// An address as keys of flows hold it.
type Host = [u8; 16];

/// Whose row it is, and so what it may teach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teacher {
    /// It came from this host, which has a bounded say. (Keys of flows hold addresses so.)
    Host([u8; 16]),
    /// Nobody knows: it counts in full.
    Unknown,
    /// Somebody who must not teach.
    Nobody,
}

/// What control says of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ruling {
    /// p-value up to which the row was to be called an anomaly.
    pub limit: f64,
    /// Whether its own is within it.
    pub is_rare: bool,
}

#[derive(Debug)]
struct Held {
    /// Serial of the model whose p-values it goes by.
    serial: u64,
    quantile: OnlineQuantile,
    debts: Debts,
}

/// Online control of what is called an anomaly, row by row: the one that flows, connections of Zeek and tables go by. A new model begins at its own
/// calibration.
#[derive(Debug, Default)]
pub struct RateControl {
    held: Option<Held>,
}

impl RateControl {
    /// Rules on a row of this p-value, due at this time, and lets it teach what it may.
    pub fn judge(&mut self, model: &Model, p_value: f64, now: TimeNs, teacher: Teacher) -> Ruling {
        let serial = model.serial();
        let held = match &mut self.held {
            Some(held) if held.serial == serial => held,
            held => held.insert(Held {
                serial,
                quantile: OnlineQuantile::new(model.info().settings.contamination),
                debts: Debts::default(),
            }),
        };
        let Held {
            quantile, debts, ..
        } = held;
        let limit = quantile.limit();
        let promised = quantile.promised();
        let is_rare = quantile.judge(p_value, now, |alarm| match teacher {
            Teacher::Host(host) => debts.admit(&host, alarm, promised),
            Teacher::Unknown => true,
            Teacher::Nobody => false,
        });
        Ruling { limit, is_rare }
    }

    /// The limit; nothing before the first row.
    pub fn quantile(&self) -> Option<&OnlineQuantile> {
        self.held.as_ref().map(|held| &held.quantile)
    }
}

/// Judges flow by flow.
#[derive(Debug, Default)]
pub(super) struct Control {
    rate: RateControl,
    under_way: UnderWay,
}

impl Control {
    /// Says of a flow whether it is an anomaly, and how grave. Flows of hosts with an incident under way are judged, and move
    /// nothing: what somebody does to the network must not teach the sensor what is usual in it.
    pub(super) fn judge(&mut self, scored: &mut Scored, model: &Model) {
        if scored.record.key.is_arp() {
            return;
        }
        let record = &scored.record;
        let teacher = if self.under_way.concerns(record) {
            Teacher::Nobody
        } else {
            Teacher::Host(record.key.addresses[record.originator])
        };
        let ruling = self.rate.judge(model, scored.p_value, record.due, teacher);
        scored.limit = ruling.limit;
        scored.anomalous = scored.unusual && ruling.is_rare;
        scored.severity = Severity::of(scored.p_value, scored.anomalous);
    }

    /// A flow of an incident about this host was due now.
    pub(super) fn mark(&mut self, subject: Subject, now: TimeNs) {
        self.under_way.mark(subject, now);
    }

    /// The limit; nothing before the first flow.
    pub(super) fn quantile(&self) -> Option<&OnlineQuantile> {
        self.rate.quantile()
    }
}
