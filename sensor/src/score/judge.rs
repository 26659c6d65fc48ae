//! Scores batches of rows and explains single ones.

use model::{Model, Scratch};

use super::{Reason, Scored, Severity};
use crate::{
    features::{MODEL_COLUMNS, Row, model_row},
    flow::FlowRecord,
};

/// Features named as reasons.
const REASONS: usize = 4;
/// Features looked at for them: some of the heaviest lie within what is usual, or say the same twice.
const CANDIDATES: usize = 12;

/// A scorer with its memory. The model is given with each batch, so that it can be swapped between two.
#[derive(Debug, Default)]
pub struct Judge {
    scratch: Scratch,
    values: Vec<f32>,
    scores: Vec<f32>,
}

impl Judge {
    /// Scores the rows and empties the batch into `out`, in order, without reasons.
    ///
    /// # Panics
    /// If the model was trained on another schema: [`Model::accepts`] is asked when a model is loaded.
    pub fn judge(
        &mut self,
        model: &Model,
        batch: &mut Vec<(FlowRecord, Row)>,
        out: &mut Vec<Scored>,
    ) {
        self.values.clear();
        for (_, row) in batch.iter() {
            self.values.extend_from_slice(&model_row(row));
        }
        let scores = self.scores(model, batch.len());
        out.extend(batch.drain(..).zip(scores).map(|((record, row), score)| {
            let p_value = model.p_value(*score);
            let anomalous = *score >= model.threshold();
            Scored {
                record,
                row,
                score: *score,
                p_value,
                severity: Severity::of(p_value, anomalous),
                anomalous,
                kind: None,
                reasons: Vec::new(),
            }
        }));
    }

    /// Scores rows of the model's schema, row-major.
    pub fn score_values(&mut self, model: &Model, values: &[f32]) -> &[f32] {
        self.values.clear();
        self.values.extend_from_slice(values);
        let rows = values.len() / model.schema().len();
        self.scores(model, rows)
    }

    fn scores(&mut self, model: &Model, rows: usize) -> &[f32] {
        self.scores.clear();
        self.scores.resize(rows, 0.0);
        model.score_with(&mut self.scratch, &self.values, &mut self.scores);
        &self.scores
    }
}

/// The features that made a row anomalous, heaviest first: of each group that says the same (one measure over
/// three windows, one length in four statistics) only the heaviest.
pub fn explain(model: &Model, row: &Row) -> Vec<Reason> {
    let mut groups: Vec<String> = Vec::with_capacity(REASONS);
    let mut reasons = Vec::with_capacity(REASONS);
    let contributions = model.explain(&model_row(row), CANDIDATES);
    let all = contributions.into_iter().map(|found| Reason {
        feature: MODEL_COLUMNS[found.column],
        value: found.value,
        weight: found.weight,
        quantile: found.quantile,
        low: found.low,
        median: found.median,
        high: found.high,
    });
    let (odd, usual): (Vec<_>, Vec<_>) = all.partition(is_odd);
    for reason in odd.into_iter().chain(usual) {
        let group = group(reason.feature().name);
        if reasons.len() < REASONS && !groups.contains(&group) {
            groups.push(group);
            reasons.push(reason);
        }
    }
    reasons
}

/// Whether the value lies outside what is usual, so that the reason speaks for itself.
fn is_odd(reason: &Reason) -> bool {
    let category = reason.feature().transform == model::Transform::Categorical;
    reason.value.is_nan()
        || (category && (reason.quantile.is_nan() || reason.quantile >= 0.9))
        || (!category && (reason.value > reason.high || reason.value < reason.low))
}

/// What a feature says, without the statistic and the window in its name.
fn group(name: &str) -> String {
    const STATISTICS: [&str; 9] = [
        "_10s",
        "_60s",
        "_600s",
        "_min",
        "_max",
        "_mean",
        "_std",
        "_share",
        "_variation",
    ];
    let mut group = name;
    while let Some(shorter) = STATISTICS.iter().find_map(|end| group.strip_suffix(end)) {
        group = shorter;
    }
    match group {
        "orig_payload" | "orig_bytes" | "orig_packets" => "orig_volume".to_owned(),
        "resp_payload" | "resp_bytes" | "resp_packets" => "resp_volume".to_owned(),
        "bytes" | "packets" => "volume".to_owned(),
        "bytes_per_second" | "packets_per_second" => "rate".to_owned(),
        "dst_port" | "dst_port_system" | "dst_port_dynamic" | "service_class" => {
            "service".to_owned()
        }
        other => other.to_owned(),
    }
}
