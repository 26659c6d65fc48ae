//! What happens, as every sink that listens is told it: shared, so that telling ten costs as much as telling one.

use std::sync::Arc;

use sensor_ebpf::flow::{FlowCounters, FlowKey};

use super::alert::Alert;
use crate::{
    features::{COUNT, Row},
    flow::{FlowEndReason, FlowRecord},
    intel::Match,
    score::{Kind, Reason, Scored, Severity, Stage},
};

/// Something to tell.
#[derive(Clone, Debug)]
pub enum Message {
    /// Of an incident.
    Alert(Arc<Alert>),
    /// The flows that ended in an epoch, in order.
    Flows(Arc<Vec<EndedFlow>>),
}

/// A flow that ended, with its features and its verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedFlow {
    /// The record.
    pub record: FlowRecord,
    /// Its features.
    pub row: Row,
    /// Nothing while there is no model yet.
    pub verdict: Option<Verdict>,
    /// What threat lists say of its two sides: said beside it, and no verdict.
    pub intel: Vec<Match>,
}

impl EndedFlow {
    /// A flow of this id without packets, features or verdict: for trying sinks where its number is all that matters.
    pub fn empty(id: u64) -> Self {
        Self {
            record: FlowRecord {
                id,
                key: FlowKey {
                    addresses: [[0; 16]; 2],
                    ports: [0; 2],
                    form: 0,
                    protocol: 17,
                    series: 0,
                },
                originator: 0,
                counters: FlowCounters::EMPTY,
                end: Some(FlowEndReason::ForcedEnd),
                checkpoint: 0,
                due: 0,
            },
            row: [f32::NAN; COUNT],
            verdict: None,
            intel: Vec::new(),
        }
    }
}

/// What a model said of a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Higher is more anomalous.
    pub score: f32,
    /// Share of ordinary flows expected to score at least as high.
    pub p_value: f64,
    /// From the p-value.
    pub severity: Severity,
    /// Whether the score reaches the threshold.
    pub anomalous: bool,
    /// What it is part of, if anything.
    pub kind: Option<Kind>,
    /// Why, heaviest first; may be empty.
    pub reasons: Vec<Reason>,
}

impl From<&Scored> for Verdict {
    fn from(scored: &Scored) -> Self {
        Self {
            score: scored.score,
            p_value: scored.p_value,
            severity: scored.severity,
            anomalous: scored.anomalous,
            kind: scored.kind,
            reasons: scored.reasons.clone(),
        }
    }
}

/// What a model said, borrowed from wherever it is.
#[derive(Clone, Copy, Debug)]
pub struct Judgement<'a> {
    /// As [`Verdict::score`].
    pub score: f32,
    /// As [`Verdict::p_value`].
    pub p_value: f64,
    /// As [`Verdict::severity`].
    pub severity: Severity,
    /// As [`Verdict::anomalous`].
    pub anomalous: bool,
    /// As [`Verdict::kind`].
    pub kind: Option<Kind>,
    /// As [`Verdict::reasons`].
    pub reasons: &'a [Reason],
}

impl<'a> From<&'a Verdict> for Judgement<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        Self {
            score: verdict.score,
            p_value: verdict.p_value,
            severity: verdict.severity,
            anomalous: verdict.anomalous,
            kind: verdict.kind,
            reasons: &verdict.reasons,
        }
    }
}

impl<'a> From<&'a Scored> for Judgement<'a> {
    fn from(scored: &'a Scored) -> Self {
        Self {
            score: scored.score,
            p_value: scored.p_value,
            severity: scored.severity,
            anomalous: scored.anomalous,
            kind: scored.kind,
            reasons: &scored.reasons,
        }
    }
}

/// What a sink wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// Incidents.
    pub alerts: bool,
    /// Also incidents that nobody is told of.
    pub untold: bool,
    /// Flows that ended.
    pub flows: bool,
}

impl Wants {
    /// Incidents only.
    pub const ALERTS: Self = Self {
        alerts: true,
        untold: false,
        flows: false,
    };
    /// Flows only.
    pub const FLOWS: Self = Self {
        alerts: false,
        untold: false,
        flows: true,
    };
    /// Everything, also what nobody is told of.
    pub const ALL: Self = Self {
        alerts: true,
        untold: true,
        flows: true,
    };

    /// Whether this is for it.
    pub fn wants(self, message: &Message) -> bool {
        match message {
            Message::Alert(alert) if alert.stage == Stage::Untold => self.untold,
            Message::Alert(_) => self.alerts,
            Message::Flows(_) => self.flows,
        }
    }
}
