//! Scores batches of rows and explains single ones.

use model::{Model, Scratch};

use super::{Reason, Scored, Severity};
use crate::{
    features::{Batch, MODEL_COLUMNS, MODEL_COUNT, Row, is_judged, model_row},
    flow::Note,
};

/// Score of a row that models are not asked about ([`is_judged`]): whatever a model says is more.
const NOT_JUDGED: f32 = 0.0;

/// Features named as reasons.
const REASONS: usize = 4;
/// Features looked at for them: some of the heaviest lie within what is usual, or say the same twice.
const CANDIDATES: usize = 12;

/// A scorer with its memory. The model is given with each batch, so that it can be swapped between two.
///
/// It remembers the latest score of each live flow: most flows end as they were when they were looked at last.
#[derive(Debug, Default)]
pub struct Judge {
    scratch: Scratch,
    /// Rows to score, of the model's columns, and what they scored.
    values: Vec<f32>,
    fresh: Vec<f32>,
    /// For each row of the batch, where its score comes from, and the score.
    places: Vec<Place>,
    scores: Vec<f32>,
    /// By the flow's slot: its id and its latest score.
    latest: Vec<(u64, Place)>,
    /// Serial of the model that gave the latest scores.
    model: u64,
}

/// Where a score is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// It is known from an earlier batch.
    Known(f32),
    /// Among the rows of this batch that are scored.
    Fresh(u32),
}

impl Judge {
    /// Scores the rows and empties the batch into `out`, in order, without reasons. What is anomalous is so by calibration
    /// alone, until [`super::Incidents::absorb`] takes it in under online control, where that is wanted.
    ///
    /// # Panics
    /// If the model was trained on another schema: [`Model::accepts`] is asked when a model is loaded.
    pub fn judge(&mut self, model: &Model, batch: &mut Batch, out: &mut Vec<Scored>) {
        let scores = self.score(model, batch);
        out.reserve(scores.len());
        for ((record, row), &score) in batch.drain(..).zip(scores) {
            let p_value = model.p_value(score);
            let unusual = score >= model.threshold();
            out.push(Scored {
                record,
                row,
                score,
                p_value,
                severity: Severity::of(p_value, unusual),
                unusual,
                limit: model.info().settings.contamination,
                anomalous: unusual,
                kind: None,
                reasons: Vec::new(),
            });
        }
    }

    /// A score for each row of the batch.
    ///
    /// # Panics
    /// As [`Self::judge`].
    pub fn score(&mut self, model: &Model, batch: &Batch) -> &[f32] {
        if self.model != model.serial() {
            self.model = model.serial();
            self.latest.clear();
        }
        self.values.clear();
        self.places.clear();
        for ((record, row), note) in batch.iter().zip(batch.notes()) {
            let slot = note.slot as usize;
            // What has not changed has the row it had.
            let known = self
                .latest
                .get(slot)
                .filter(|latest| note.unchanged && record.is_final() && latest.0 == record.id);
            let place = match known {
                Some((_, place)) => *place,
                None if record.key.is_arp() => Place::Known(NOT_JUDGED),
                None => {
                    let before = self.values.len() / MODEL_COUNT;
                    self.values.extend_from_slice(&model_row(row));
                    Place::Fresh(before as u32)
                }
            };
            self.places.push(place);
            if !record.is_final() && *note != Note::NONE {
                if self.latest.len() <= slot {
                    self.latest.resize(slot + 1, (0, Place::Known(f32::NAN)));
                }
                self.latest[slot] = (record.id, place);
            }
        }
        self.fresh.clear();
        self.fresh.resize(self.values.len() / MODEL_COUNT, 0.0);
        model.score_with(&mut self.scratch, &self.values, &mut self.fresh);
        self.scores.clear();
        for ((record, note), place) in batch.records().iter().zip(batch.notes()).zip(&self.places) {
            let score = match *place {
                Place::Known(score) => score,
                Place::Fresh(at) => self.fresh[at as usize],
            };
            self.scores.push(score);
            if let Some(latest) = self.latest.get_mut(note.slot as usize)
                && latest.0 == record.id
            {
                latest.1 = Place::Known(score);
            }
        }
        &self.scores
    }

    /// Scores rows.
    pub fn score_rows(&mut self, model: &Model, rows: &[&Row]) -> &[f32] {
        self.values.clear();
        for row in rows {
            self.values.extend_from_slice(&model_row(row));
        }
        self.scores.clear();
        self.scores.resize(rows.len(), 0.0);
        model.score_with(&mut self.scratch, &self.values, &mut self.scores);
        for (score, row) in self.scores.iter_mut().zip(rows) {
            if !is_judged(row) {
                *score = NOT_JUDGED;
            }
        }
        &self.scores
    }

    /// Scores a single row.
    pub fn score_row(&mut self, model: &Model, row: &Row) -> f32 {
        self.score_rows(model, &[row])[0]
    }

    /// Scores rows of the model's schema, row-major.
    pub fn score_values(&mut self, model: &Model, values: &[f32]) -> &[f32] {
        self.scores.clear();
        self.scores.resize(values.len() / model.schema().len(), 0.0);
        model.score_with(&mut self.scratch, values, &mut self.scores);
        &self.scores
    }
}

/// The features that made a row anomalous, heaviest first; none of a row that models are not asked about: of each group that says the same (one measure over
/// three windows, one length in four statistics) only the heaviest.
pub fn explain(model: &Model, row: &Row) -> Vec<Reason> {
    if !is_judged(row) {
        return Vec::new();
    }
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
