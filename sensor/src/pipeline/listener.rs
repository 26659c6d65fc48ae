//! What a live sensor is told, and what it tells.

use std::time::Duration;

use model::Model;
use sensor_ebpf::maps::Ledger;

use super::{
    Training,
    retrain::{Memory, Retraining},
};
use crate::{
    features,
    learn::Decision,
    score::{Incident, Scored},
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

/// What happens while watching.
pub trait Listener {
    /// An epoch is over while the baseline is being learned: so many of so many flow records are there.
    fn learning(&mut self, have: usize, want: usize);
    /// The baseline is learned.
    fn learned(&mut self, model: &Model);
    /// A flow record ended; without a verdict while the baseline is being learned.
    fn flow(
        &mut self,
        record: &crate::flow::FlowRecord,
        row: &features::Row,
        verdict: Option<&Scored>,
    );
    /// An incident began, or grew to four times what was told last.
    fn incident(&mut self, incident: &Incident);
    /// Half-open flows began to pour in, so that not each gets a record, or it is over; with the totals so far.
    fn pressed(&mut self, is_pressed: bool, stats: &crate::flow::Stats);
    /// A challenger took over or did not, or a champion was sent back.
    fn decided(&mut self, decision: &Decision);
    /// What became of the file of what is remembered.
    fn memory(&mut self, memory: &Memory);
    /// A person chose another model, and it is in use.
    fn replaced(&mut self, model: &Model);
    /// Evidence could not be written; not said again until it works.
    fn unkept(&mut self, _error: &std::io::Error) {}
    /// An epoch is over and everything about it was told.
    fn epoch(&mut self);
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
    /// Whether the baseline was learned, or given.
    pub has_model: bool,
}
