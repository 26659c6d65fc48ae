//! Verdicts: a row gets a score and a p-value from the model, a severity from the p-value, reasons in plain words,
//! and, with others of its kind, an incident.

mod behaviour;
mod budget;
mod control;
mod incident;
mod incidents;
mod judge;
mod kind;
mod limits;
mod mute;
mod phrase;
pub mod quality;
mod rest;
pub mod rules;
mod sentence;
mod share;
mod stage;
pub mod store;
mod tally;
mod techniques;

use std::fmt;

pub use self::{
    behaviour::{Measure, is_attack},
    budget::{Alert, Budget, Rate, Settings as BudgetSettings, Stats as BudgetStats},
    control::{RateControl, Ruling, Teacher},
    incident::Incident,
    incidents::{Incidents, Settings as IncidentSettings},
    judge::{Judge, explain},
    kind::{Extent, Kind, Role, Subject},
    mute::{HostMatch, Mute, MuteBoard, Mutes},
    phrase::{amount, bytes, count, several},
    stage::Stage,
    tally::Tally,
};
use crate::{
    features::{Feature, Row, TABLE},
    flow::FlowRecord,
};

/// How rare a flow is among baseline traffic.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Not anomalous.
    Info,
    /// Anomalous: as rare as the contamination setting allows.
    Low,
    /// One in a thousand.
    Medium,
    /// One in ten thousand.
    High,
    /// One in a hundred thousand.
    Critical,
}

impl Severity {
    /// All of them, mildest first.
    pub const ALL: [Self; 5] = [
        Self::Info,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    /// Severity of a flow with this p-value.
    pub fn of(p_value: f64, anomalous: bool) -> Self {
        match p_value {
            _ if !anomalous => Self::Info,
            p if p <= 1e-5 => Self::Critical,
            p if p <= 1e-4 => Self::High,
            p if p <= 1e-3 => Self::Medium,
            _ => Self::Low,
        }
    }

    /// Severity of an incident for which this much speaks.
    pub fn of_evidence(evidence: f64) -> Self {
        match evidence {
            evidence if evidence >= 9.0 => Self::Critical,
            evidence if evidence >= 6.5 => Self::High,
            evidence if evidence >= 3.5 => Self::Medium,
            _ => Self::Low,
        }
    }

    /// Name for people, files and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One feature that made a flow anomalous, with what is usual for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// Position of the feature in [`TABLE`].
    pub feature: usize,
    /// Its value in this flow, raw unit; NaN where missing.
    pub value: f32,
    /// Its share of everything that shortened the flow's path, above 0 to 1.
    pub weight: f32,
    /// Share of the baseline below the value, 0 to 1; NaN where unknown.
    pub quantile: f32,
    /// 1 % quantile of the baseline.
    pub low: f32,
    /// Median of the baseline.
    pub median: f32,
    /// 99 % quantile of the baseline.
    pub high: f32,
}

impl Reason {
    /// The declared feature.
    pub fn feature(&self) -> &'static Feature {
        &TABLE[self.feature]
    }
}

impl fmt::Display for Reason {
    /// Plain words with value and baseline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&phrase::words(self))
    }
}

/// A flow with its verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The flow, ended or at a checkpoint.
    pub record: FlowRecord,
    /// Its features.
    pub row: Row,
    /// Higher is more anomalous; above 0, at most 1. 0 for rows that models are not asked about
    /// ([`crate::features::is_judged`]).
    pub score: f32,
    /// Share of baseline flows expected to score at least as high; above 0, at most 1.
    pub p_value: f64,
    /// From the p-value, if it is anomalous.
    pub severity: Severity,
    /// Whether the score reaches the model's threshold: as rare as the contamination setting, by calibration alone.
    pub unusual: bool,
    /// p-value up to which this flow was to be called an anomaly: the contamination setting, or less while the
    /// traffic is not like the baseline ([`model::OnlineQuantile`]).
    pub limit: f64,
    /// Whether it is called an anomaly: it is unusual, and its p-value within the limit.
    pub anomalous: bool,
    /// What it is part of, if anything.
    pub kind: Option<Kind>,
    /// Why, heaviest first. Empty for flows that are not anomalous, and where enough of the same incident are
    /// explained already.
    pub reasons: Vec<Reason>,
}
