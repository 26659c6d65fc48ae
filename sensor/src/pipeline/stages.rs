//! Epochs in, flows with features out: the part of the pipeline that is the same for every command and source.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use sensor_ebpf::maps::Ledger;

use crate::{
    capture::Epoch,
    context::{self, Context, ContextView},
    features::{self, COUNT, Family, Row, TABLE},
    flow::{self, Aggregate, Change, FlowEndReason, FlowRecord, Table},
    score::BudgetSettings,
};

/// Bounds and timeouts of the stages before the model, and the budget behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of the flow table.
    pub flow: flow::Settings,
    /// Of the context.
    pub context: context::Settings,
    /// How many incidents to tell; nothing tells all of them.
    pub alerts: Option<BudgetSettings>,
}

/// Flows that became due, with their features, in order.
pub type Batch = Vec<(FlowRecord, Row)>;

/// First feature that the context tells, not the flow itself; all behind it are the context's too, but for what logs say.
const CONTEXT_FROM: usize = {
    let mut at = 0;
    while !matches!(TABLE[at].family, Family::Source) {
        at += 1;
    }
    at
};
const CONTEXT_END: usize = COUNT - crate::logs::View::COUNT;
const CONTEXT_COUNT: usize = CONTEXT_END - CONTEXT_FROM;

/// Flow table, context and features.
#[derive(Debug)]
pub struct Stages {
    table: Table,
    context: Context,
    /// What the context told at the last checkpoint of each live flow. A flow ends two minutes after its last
    /// packet, when the windows around it have long moved on: its last row is about the time when it was active.
    seen: HashMap<u64, [f32; CONTEXT_COUNT], BuildHasherDefault<Unhashed>>,
    due: Vec<FlowRecord>,
    changes: Vec<Change>,
    /// What the pressed table had no place for since it was asked for last.
    aggregates: Vec<Aggregate>,
    ledger: Ledger,
    last_epoch: Option<u64>,
    first_epoch: Option<u64>,
}

impl Stages {
    /// Nothing seen yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            table: Table::new(settings.flow.clone()),
            context: Context::new(&settings.context),
            seen: HashMap::default(),
            due: Vec::new(),
            changes: Vec::new(),
            aggregates: Vec::new(),
            ledger: Ledger::default(),
            last_epoch: None,
            first_epoch: None,
        }
    }

    /// Takes one epoch in and appends what became due before and at its end to `batch`, in order.
    pub fn observe(&mut self, epoch: &Epoch, batch: &mut Batch) {
        self.aggregates.clear();
        while let Some(boundary) = self.table.advance(epoch.index, &mut self.due) {
            self.context.advance(boundary);
            self.hand_over(batch);
        }
        self.table.merge(epoch, &mut self.changes, &mut self.due);
        self.table.aggregates(&mut self.aggregates);
        self.context.absorb(epoch, &self.changes);
        self.hand_over(batch);
        self.ledger.add(&epoch.ledger);
        self.first_epoch.get_or_insert(epoch.index);
        self.last_epoch = Some(epoch.index);
    }

    /// Ends every flow that still lives and appends it to `batch`.
    pub fn finish(&mut self, batch: &mut Batch) {
        self.table.flush(FlowEndReason::ForcedEnd, &mut self.due);
        self.hand_over(batch);
    }

    fn hand_over(&mut self, batch: &mut Batch) {
        batch.reserve(self.due.len());
        for record in self.due.drain(..) {
            // A flow that ends was nearly always looked at before: no need to look its hosts up again.
            let seen = if record.is_final() {
                self.seen.remove(&record.id)
            } else {
                None
            };
            let row = if let Some(context) = seen {
                let mut row = features::extract(&record, &ContextView::UNKNOWN);
                row[CONTEXT_FROM..CONTEXT_END].copy_from_slice(&context);
                row
            } else {
                features::extract(&record, &self.context.view(&record))
            };
            if !record.is_final() {
                self.seen.insert(
                    record.id,
                    row[CONTEXT_FROM..CONTEXT_END]
                        .try_into()
                        .expect("the context's part of the row"),
                );
            }
            batch.push((record, row));
        }
    }

    /// Takes what a pressed flow table had no place for in the epoch observed last, by prefix.
    pub fn aggregates(&mut self) -> std::vec::Drain<'_, Aggregate> {
        self.aggregates.drain(..)
    }

    /// Whether half-open flows pour in, and how many the table holds.
    pub fn pressure(&self) -> (bool, u32) {
        (self.table.is_pressed(), self.table.half_open())
    }

    /// Where the packets went so far.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Totals of the flow table.
    pub fn flow_stats(&self) -> flow::Stats {
        self.table.stats()
    }

    /// Flows that live now, and that may.
    pub fn live_flows(&self) -> (usize, u32) {
        (self.table.len(), self.table.capacity())
    }

    /// Totals of the context.
    pub fn context_stats(&self) -> context::Stats {
        self.context.stats()
    }

    /// Packet time covered so far, in seconds, to the length of an epoch.
    pub fn covered_seconds(&self) -> f64 {
        match (self.first_epoch, self.last_epoch) {
            (Some(first), Some(last)) => {
                (last - first + 1) as f64 * f64::from(1_u32 << sensor_ebpf::flow::EPOCH_SHIFT) / 1e9
            }
            _ => 0.0,
        }
    }
}

/// Flow ids are hashes already.
#[derive(Debug, Default)]
struct Unhashed(u64);

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}
