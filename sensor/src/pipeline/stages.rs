//! Epochs in, flows with features out: the part of the pipeline that is the same for every command and source.

use std::sync::Arc;

use sensor_ebpf::maps::Ledger;

use crate::{
    capture::{Epoch, Stop},
    context::{self, Context},
    features::{self, Around, Batch},
    flow::{self, Aggregate, Change, FlowEndReason, Table},
    score::{BudgetSettings, Mutes},
};

/// Bounds and timeouts of the stages before the model, and the budget behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Of the flow table.
    pub flow: flow::Settings,
    /// Of the context.
    pub context: context::Settings,
    /// Whether captures are read for the flows inside of tunnels, not for those on the wire.
    pub inside_tunnels: bool,
    /// Whether later fragments in captures count in the flow of their first, and not by address pair.
    pub follow_fragments: bool,
    /// Flows of captures counted in one epoch; packets of further ones go to the overflow counters.
    pub epoch_flows: usize,
    /// Whether what is called an anomaly is under online control.
    pub hold_rate: bool,
    /// How many incidents to tell; nothing tells all of them.
    pub alerts: Option<BudgetSettings>,
    /// What nobody is to be told of in captures; a watch is told as that changes.
    pub mutes: Arc<Mutes>,
    /// Ends a pass over captures before their end, as if they ended with the epoch under way.
    pub stop: Option<Stop>,
    /// Epochs of captures that are read, at most: a second pass over what the first one was stopped in.
    pub epochs: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flow: flow::Settings::default(),
            context: context::Settings::default(),
            inside_tunnels: false,
            follow_fragments: false,
            epoch_flows: 1 << 20,
            hold_rate: true,
            alerts: None,
            mutes: Arc::default(),
            stop: None,
            epochs: u64::MAX,
        }
    }
}

/// What was seen of no flow: no id is 0, but for one in 2^64.
const NOT_SEEN: (u64, Around) = (0, [f32::NAN; size_of::<Around>() / size_of::<f32>()]);

/// Flow table, context and features.
#[derive(Debug)]
pub struct Stages {
    table: Table,
    context: Context,
    /// What the context told at the last checkpoint of each live flow. A flow ends two minutes after its last
    /// packet, when the windows around it have long moved on: its last row is about the time when it was active.
    /// By the flow's slot in the table, with its id.
    seen: Vec<(u64, Around)>,
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
            seen: Vec::new(),
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
        while let Some(boundary) = self.table.advance(epoch.index, batch.due()) {
            self.context.advance(boundary);
            self.hand_over(batch);
        }
        self.table.merge(epoch, &mut self.changes, batch.due());
        self.table.aggregates(&mut self.aggregates);
        self.context.absorb(epoch, &self.changes);
        self.hand_over(batch);
        self.ledger.add(&epoch.ledger);
        self.first_epoch.get_or_insert(epoch.index);
        self.last_epoch = Some(epoch.index);
    }

    /// Ends every flow that still lives and appends it to `batch`.
    pub fn finish(&mut self, batch: &mut Batch) {
        self.table.flush(FlowEndReason::ForcedEnd, batch.due());
        self.hand_over(batch);
    }

    /// Makes the rows of the records that the table put into the batch just now.
    fn hand_over(&mut self, batch: &mut Batch) {
        for &note in self.table.notes() {
            let slot = note.slot as usize;
            let (record, row) = batch.next(note);
            if record.is_final() {
                // A flow that ends was nearly always looked at before: no need to look its hosts up again.
                match self.seen.get(slot).filter(|seen| seen.0 == record.id) {
                    Some((_, around)) => features::extract_again(record, around, row),
                    None => features::extract_into(record, &self.context.view(record), row),
                }
                continue;
            }
            features::extract_into(record, &self.context.view(record), row);
            if self.seen.len() <= slot {
                self.seen.resize(slot + 1, NOT_SEEN);
            }
            self.seen[slot] = (record.id, *features::around(row));
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
