//! What a live sensor is told, and what it tells.

use std::time::Duration;

use model::Model;
use sensor_ebpf::maps::Ledger;

use super::{
    Coverage, Training,
    retrain::{Memory, Retraining},
};
use crate::{
    features,
    learn::Decision,
    score::{Budget, Incident, Scored, Stage},
};

/// How a baseline is learned before there is a model.
#[derive(Clone, Debug)]
pub struct Learning {
    /// Of the model.
    pub training: Training,
    /// Flow records to learn from.
    pub flows: usize,
    /// Longest packet time to learn.
    pub time: Option<Duration>,
    /// How to learn on from the traffic that is watched; nothing keeps the first model.
    pub retrain: Option<Retraining>,
}

/// What is told of an incident, and what was known of the sensor when it was.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    /// The incident as it stands.
    pub incident: &'a Incident,
    /// Why it is told now.
    pub stage: Stage,
    /// The model that scored its flows.
    pub model: &'a Model,
    /// Whether its packets are kept as evidence.
    pub has_bundle: bool,
    /// Share of the packets since it began, as far as that is remembered, that are in flow records or in named classes
    /// that are no flows: 1, but for packets lost for want of room.
    pub coverage: f64,
}

/// What happens while watching. Whoever listens hears what it wants to.
pub trait Listener {
    /// An epoch is over while the baseline is being learned: so many of so many flow records are there.
    fn learning(&mut self, _have: usize, _want: usize) {}
    /// The baseline is learned.
    fn learned(&mut self, _model: &Model) {}
    /// A flow record ended; without a verdict while the baseline is being learned.
    fn flow(
        &mut self,
        _record: &crate::flow::FlowRecord,
        _row: &features::Row,
        _verdict: Option<&Scored>,
    ) {
    }
    /// Something is to be told of an incident.
    fn incident(&mut self, _news: &News<'_>) {}
    /// Half-open flows began to pour in, so that not each gets a record, or it is over; with the totals so far.
    fn pressed(&mut self, _is_pressed: bool, _stats: &crate::flow::Stats) {}
    /// A challenger took over or did not, or a champion was sent back.
    fn decided(&mut self, _decision: &Decision) {}
    /// What became of the file of what is remembered.
    fn memory(&mut self, _memory: &Memory) {}
    /// A person chose another model, and it is in use.
    fn replaced(&mut self, _model: &Model) {}
    /// Evidence could not be written; not said again until it works.
    fn unkept(&mut self, _error: &std::io::Error) {}
    /// An epoch is over and everything about it was told.
    fn epoch(&mut self) {}
}

/// Tells those who keep lists, if the incident was ever told, or would have been were it not muted; and the store alone, if there
/// was no room for it.
pub(super) fn quietly(
    incident: &Incident,
    stage: Stage,
    model: &Model,
    (budget, coverage): (&Budget, &Coverage),
    listener: &mut dyn Listener,
) {
    let is_listed = budget.has_told(incident) || budget.has_muted(incident);
    // What nobody is told of is over when it moves no more: nobody is told of that either.
    let is_untold = budget.is_untold(incident) && stage != Stage::Over;
    if is_listed || is_untold {
        listener.incident(&News {
            incident,
            stage: if is_listed { stage } else { Stage::Untold },
            model,
            has_bundle: false,
            coverage: coverage.since(incident.first),
        });
    }
}

/// Tells two listeners.
pub struct Both<'a>(pub &'a mut dyn Listener, pub &'a mut dyn Listener);

macro_rules! to_both {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        impl Listener for Both<'_> {
            $(fn $name(&mut self, $($argument: $type),*) {
                self.0.$name($($argument),*);
                self.1.$name($($argument),*);
            })*
        }
    };
}

to_both! {
    learning(have: usize, want: usize);
    learned(model: &Model);
    flow(record: &crate::flow::FlowRecord, row: &features::Row, verdict: Option<&Scored>);
    incident(news: &News<'_>);
    pressed(is_pressed: bool, stats: &crate::flow::Stats);
    decided(decision: &Decision);
    memory(memory: &Memory);
    replaced(model: &Model);
    unkept(error: &std::io::Error);
    epoch();
}

/// What was watched.
#[derive(Debug)]
pub struct Watched {
    /// Where the packets went.
    pub ledger: Ledger,
    /// Packet time, seconds.
    pub seconds: f64,
    /// Flow records that ended.
    pub flows: u64,
    /// Anomalous ones among them.
    pub anomalous: u64,
    /// Incidents begun.
    pub incidents: u64,
    /// Incidents that a person was told of.
    pub told: u64,
    /// Whether the baseline was learned, or given.
    pub has_model: bool,
}
