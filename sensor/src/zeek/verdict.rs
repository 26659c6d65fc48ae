//! Scores of connections, and why.

use std::fmt;

use model::{Contribution, Model, Scratch};

use super::{Conn, Featured, TABLE, push_model_row};
use crate::{
    features::{Feature, Transform},
    flow::{ConnState, key_address},
    score::{RateControl, Ruling, Severity, Teacher, amount},
};

/// Reasons given.
const REASONS: usize = 4;
/// Columns looked at for them: several say the same.
const CANDIDATES: usize = 14;

/// What the model says of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Higher is more anomalous.
    pub score: f32,
    /// Share of the baseline expected to score at least as high.
    pub p_value: f64,
    /// p-value up to which this connection was to be called an anomaly: the contamination setting, or less while the
    /// traffic is not like the baseline ([`model::OnlineQuantile`]).
    pub limit: f64,
    /// Whether the score reaches the model's threshold, and the p-value is within the limit.
    pub anomalous: bool,
    /// From the p-value.
    pub severity: Severity,
}

/// One feature that made a connection anomalous.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// The declared feature.
    pub feature: &'static Feature,
    /// Its value, raw unit; NaN where missing.
    pub value: f32,
    /// Its share of what makes the connection anomalous, above 0 to 1.
    pub weight: f32,
    /// 1 % quantile of the baseline.
    pub low: f32,
    /// Median of the baseline.
    pub median: f32,
    /// 99 % quantile of the baseline.
    pub high: f32,
    /// In words.
    pub text: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Scores connections; keeps its memory.
#[derive(Debug, Default)]
pub struct Judge {
    scratch: Scratch,
    values: Vec<f32>,
    scores: Vec<f32>,
    /// Nothing where what is called an anomaly goes by calibration alone.
    control: Option<RateControl>,
}

impl Judge {
    /// Calls anomalies what calibration does, or keeps the share that it promised while the traffic drifts.
    pub fn new(hold_rate: bool) -> Self {
        Self {
            control: hold_rate.then(RateControl::default),
            ..Self::default()
        }
    }

    /// A verdict for each, in the order of time: those of one log after those of the log before.
    ///
    /// # Panics
    /// If the model was trained on another schema: [`Model::accepts`] is asked when a model is loaded.
    pub fn judge(&mut self, model: &Model, rows: &[Featured]) -> Vec<Verdict> {
        self.values.clear();
        for featured in rows {
            push_model_row(&featured.row, &mut self.values);
        }
        self.scores.clear();
        self.scores.resize(rows.len(), 0.0);
        model.score_with(&mut self.scratch, &self.values, &mut self.scores);
        let mut verdict = |(score, featured): (&f32, &Featured)| {
            let p_value = model.p_value(*score);
            let ruling = match &mut self.control {
                Some(control) => {
                    let from = Teacher::Host(key_address(featured.conn.source));
                    control.judge(model, p_value, featured.conn.end(), from)
                }
                None => Ruling {
                    limit: model.info().settings.contamination,
                    is_rare: true,
                },
            };
            let anomalous = *score >= model.threshold() && ruling.is_rare;
            Verdict {
                score: *score,
                p_value,
                limit: ruling.limit,
                anomalous,
                severity: Severity::of(p_value, anomalous),
            }
        };
        self.scores.iter().zip(rows).map(&mut verdict).collect()
    }
}

/// The features that made a connection anomalous, heaviest first; of those that say the same only the heaviest.
pub fn explain(model: &Model, featured: &Featured) -> Vec<Reason> {
    let mut values = Vec::with_capacity(model.schema().len());
    push_model_row(&featured.row, &mut values);
    let columns: Vec<&'static Feature> = TABLE.iter().filter(|feature| feature.model).collect();
    let mut groups: Vec<&str> = Vec::with_capacity(REASONS);
    let mut reasons = Vec::with_capacity(REASONS);
    for found in model.explain(&values, CANDIDATES) {
        let feature = columns[found.column];
        let group = group(feature.name);
        if reasons.len() == REASONS || groups.contains(&group) {
            continue;
        }
        groups.push(group);
        reasons.push(Reason {
            feature,
            value: found.value,
            weight: found.weight,
            low: found.low,
            median: found.median,
            high: found.high,
            text: words(&featured.conn, feature, &found),
        });
    }
    reasons
}

/// What a feature is about: how it ended, which service, and for windows the measure without its length.
fn group(name: &'static str) -> &'static str {
    match name {
        "conn_state" | "outcome" | "class_outcome" | "history_shape" | "failed" | "unanswered"
        | "handshake" | "packet_balance" | "resp_reset" | "orig_reset" => "outcome",
        "dst_port" | "dst_port_dynamic" | "service" | "service_class" | "service_answers" => {
            "service"
        }
        "src_local" | "dst_local" | "inbound" => "direction",
        other => ["_10s", "_60s", "_600s"]
            .iter()
            .find_map(|end| other.strip_suffix(end))
            .unwrap_or(other),
    }
}

fn words(conn: &Conn, feature: &Feature, found: &Contribution) -> String {
    let protocol = crate::flow::protocol_name(conn.protocol.into()).unwrap_or("unknown transport");
    let service = || match conn.destination_port {
        Some(port) => format!("{protocol}/{port}"),
        None => protocol.to_owned(),
    };
    let rarity = || {
        if found.quantile >= 0.9995 || found.quantile.is_nan() {
            "never or hardly ever in the baseline".to_owned()
        } else {
            format!("rarer than {:.1} % of the baseline", found.quantile * 100.0)
        }
    };
    match feature.name {
        "conn_state" | "outcome" | "class_outcome" | "history_shape" => {
            let state = conn.state.map_or("unknown", ConnState::name);
            let said = explained(conn.state);
            format!("{} ended as {state}{said}: {}", service(), rarity())
        }
        "dst_port" | "service" | "service_class" => {
            let name = conn.service.as_deref().unwrap_or("no protocol recognised");
            format!("service {} ({name}): {}", service(), rarity())
        }
        "protocol" => format!("protocol {protocol}: {}", rarity()),
        "inbound" if found.value == 1.0 => "came in from outside".to_owned(),
        "src_local" if found.value == 0.0 => "originator is from outside".to_owned(),
        "unanswered" if found.value == 1.0 => "no answer".to_owned(),
        "failed" if found.value == 1.0 => "the attempt failed".to_owned(),
        _ if feature.transform == Transform::Categorical => {
            format!("{}: {}", spaced(feature.name), rarity())
        }
        _ if found.value.is_nan() => format!(
            "no {}; usual {}",
            spaced(feature.name),
            amount(found.median, feature.unit)
        ),
        _ => format!(
            "{} {}; usual {} ({} to {})",
            spaced(feature.name),
            amount(found.value, feature.unit),
            amount(found.median, feature.unit),
            amount(found.low, feature.unit),
            amount(found.high, feature.unit)
        ),
    }
}

const fn explained(state: Option<ConnState>) -> &'static str {
    match state {
        Some(ConnState::S0) => " (no answer)",
        Some(ConnState::Rej) => " (rejected)",
        Some(ConnState::Rsto | ConnState::Rstos0) => " (aborted by the originator)",
        Some(ConnState::Rstr | ConnState::Rstrh) => " (aborted by the responder)",
        Some(ConnState::Oth) => " (beginning not seen)",
        _ => "",
    }
}

fn spaced(name: &str) -> String {
    name.replace('_', " ")
        .replace("src ", "source ")
        .replace("dst ", "destination ")
        .replace("orig ", "originator ")
        .replace("resp ", "responder ")
}
