//! What the flows look like as numbers: scores against the threshold, and how features are distributed and go together, by a
//! sample of rows.

use rusqlite::params;
use serde_json::{Value, json};

use super::{
    super::{
        pool::Fault,
        query::{Parameters, Window, fact, rows},
    },
    overview::mix,
};
use crate::{
    features::{COUNT, TABLE, Transform},
    sink::{
        rollup::{SCORE_BINS, What},
        store::Reader,
    },
};

/// Rows looked at, of each sort.
const ROWS: u32 = 2000;
/// Features drawn side by side, and correlated.
const DRAWN: usize = 12;
const CORRELATED: usize = 18;
/// Bins of a distribution.
const BINS: usize = 24;

/// Sampled rows: those of ordinary flows, and those of anomalous ones, as columns.
struct Sample {
    /// By feature, then by row, on the axis where it is drawn; NaN where missing.
    ordinary: Vec<Vec<f32>>,
    anomalous: Vec<Vec<f32>>,
}

/// Where a value is drawn: what spans powers of ten on a logarithmic axis.
fn axis(feature: usize, value: f32) -> f32 {
    match TABLE[feature].transform {
        Transform::SignedLog | Transform::Time => value.signum() * value.abs().ln_1p(),
        _ => value,
    }
}

fn sample(reader: &Reader, window: &Window) -> Result<Sample, Fault> {
    let day = window.from_s - window.from_s % 86_400;
    let read = |anomalous: bool| -> Result<Vec<Vec<f32>>, Fault> {
        let mut columns = vec![Vec::new(); COUNT];
        let mut query = reader.connection().prepare_cached(
            "SELECT features FROM rollup_sample WHERE day_s >= ?1 AND day_s < ?2 AND anomalous = ?3 ORDER BY rank LIMIT ?4",
        )?;
        let mut found = query.query(params![day, window.to_s, anomalous, ROWS])?;
        while let Some(row) = found.next()? {
            let bytes = row.get_ref(0)?.as_blob().unwrap_or_default();
            // Of a program that knew other features: they mean something else.
            if bytes.len() != COUNT * 4 {
                continue;
            }
            for (feature, number) in bytes.chunks_exact(4).enumerate() {
                let value = number.try_into().map_or(f32::NAN, f32::from_le_bytes);
                columns[feature].push(axis(feature, value));
            }
        }
        Ok(columns)
    };
    Ok(Sample {
        ordinary: read(false)?,
        anomalous: read(true)?,
    })
}

fn known(values: &[f32]) -> Vec<f32> {
    let mut known: Vec<f32> = values
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    known.sort_by(f32::total_cmp);
    known
}

/// Greatest difference between two distributions (Kolmogorov and Smirnov), 0 to 1; of sorted values.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let (mut i, mut j, mut most) = (0, 0, 0.0f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        while i < a.len() && a[i] <= value {
            i += 1;
        }
        while j < b.len() && b[j] <= value {
            j += 1;
        }
        most = most.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    most
}

/// Places of values among each other, equal ones sharing theirs; NaN stays.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len())
        .filter(|at| values[*at].is_finite())
        .collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![f64::NAN; values.len()];
    let mut at = 0;
    while at < order.len() {
        let same = order[at..]
            .iter()
            .take_while(|other| values[**other] == values[order[at]])
            .count();
        let middle = at as f64 + (same - 1) as f64 / 2.0;
        for other in &order[at..at + same] {
            ranks[*other] = middle;
        }
        at += same;
    }
    ranks
}

/// Correlation of ranks (Spearman) where both are known; `None` where one does not vary.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let both: Vec<(f64, f64)> = a
        .iter()
        .zip(b)
        .map(|(a, b)| (*a, *b))
        .filter(|(a, b)| a.is_finite() && b.is_finite())
        .collect();
    if both.len() < 8 {
        return None;
    }
    let count = both.len() as f64;
    let (mean_a, mean_b) = (
        both.iter().map(|pair| pair.0).sum::<f64>() / count,
        both.iter().map(|pair| pair.1).sum::<f64>() / count,
    );
    let (mut together, mut alone_a, mut alone_b) = (0.0, 0.0, 0.0);
    for (a, b) in both {
        together += (a - mean_a) * (b - mean_b);
        alone_a += (a - mean_a).powi(2);
        alone_b += (b - mean_b).powi(2);
    }
    let scale = (alone_a * alone_b).sqrt();
    (scale > 0.0).then(|| (together / scale).clamp(-1.0, 1.0))
}

/// Distribution of one feature: edges in raw units, shares of ordinary and of anomalous flows in each bin.
fn distribution(sample: &Sample, feature: usize) -> Value {
    let (ordinary, anomalous) = (
        known(&sample.ordinary[feature]),
        known(&sample.anomalous[feature]),
    );
    let mut both: Vec<f32> = ordinary.iter().chain(&anomalous).copied().collect();
    both.sort_by(f32::total_cmp);
    let about = &TABLE[feature];
    let mut value = json!({
        "feature": about.name, "unit": about.unit, "family": about.family.name(), "about": about.about,
        "difference": difference(&ordinary, &anomalous),
        "known": [ordinary.len(), anomalous.len()],
        "missing": [sample.ordinary[feature].len() - ordinary.len(), sample.anomalous[feature].len() - anomalous.len()],
    });
    if both.is_empty() {
        return value;
    }
    // The outermost hundredth would squeeze the rest.
    let at = |share: f64| both[(share * (both.len() - 1) as f64).round() as usize];
    let (low, mut high) = (at(0.005), at(0.995));
    if high <= low {
        high = low + 1.0;
    }
    let count = |values: &[f32]| {
        let mut bins = vec![0.0; BINS];
        for value in values {
            let place = ((value - low) / (high - low) * BINS as f32) as isize;
            bins[place.clamp(0, BINS as isize - 1) as usize] += 1.0 / values.len() as f64;
        }
        bins
    };
    let raw = |place: f32| match about.transform {
        Transform::SignedLog | Transform::Time => place.signum() * place.abs().exp_m1(),
        _ => place,
    };
    let edges: Vec<f32> = (0..=BINS)
        .map(|bin| raw(low + (high - low) * bin as f32 / BINS as f32))
        .collect();
    value["edges"] = json!(edges);
    value["ordinary"] = json!(count(&ordinary));
    value["anomalous"] = json!(count(&anomalous));
    value
}

/// Features that tell anomalous flows from ordinary ones, best first.
fn telling(sample: &Sample) -> Vec<usize> {
    let mut all: Vec<(f64, usize)> = (0..COUNT)
        .map(|feature| {
            let sides = (
                known(&sample.ordinary[feature]),
                known(&sample.anomalous[feature]),
            );
            (difference(&sides.0, &sides.1), feature)
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all.into_iter().map(|(_, feature)| feature).collect()
}

pub(super) fn answer(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let window = Window::of(parameters, reader.connection())?;
    let sample = sample(reader, &window)?;
    let telling = telling(&sample);
    let columns: Vec<Vec<f64>> = telling[..CORRELATED]
        .iter()
        .map(|feature| {
            let mut column = sample.ordinary[*feature].clone();
            column.extend(&sample.anomalous[*feature]);
            ranks(&column)
        })
        .collect();
    let correlations: Vec<Vec<Option<f64>>> = columns
        .iter()
        .map(|a| columns.iter().map(|b| correlation(a, b)).collect())
        .collect();
    let names = |some: &[usize]| {
        some.iter()
            .map(|feature| TABLE[*feature].name)
            .collect::<Vec<_>>()
    };
    let mut every: Vec<&str> = TABLE.iter().map(|feature| feature.name).collect();
    every.sort_unstable();
    Ok(json!({
        "window": window.value(),
        "scores": rows(
            reader.connection(),
            "SELECT bin, sum(flows) FROM rollup_scores WHERE hour_s >= ?1 AND hour_s < ?2 GROUP BY bin ORDER BY bin",
            params![window.begin_hour(), window.to_s],
        )?,
        "score_bins": SCORE_BINS,
        "model": fact(reader.connection(), "model")?,
        "sampled": [sample.ordinary[0].len(), sample.anomalous[0].len()],
        "drawn": telling[..DRAWN].iter().map(|feature| distribution(&sample, *feature)).collect::<Vec<_>>(),
        "correlated": names(&telling[..CORRELATED]),
        "correlations": correlations,
        "features": every,
        "protocols": mix(reader, &window, What::Protocol, 12)?,
        "services": mix(reader, &window, What::Service, 20)?,
        "states": mix(reader, &window, What::State, 13)?,
    }))
}

pub(super) fn feature(reader: &Reader, parameters: &Parameters) -> Result<Value, Fault> {
    let window = Window::of(parameters, reader.connection())?;
    let wanted = parameters.text("name").unwrap_or_default();
    let feature = TABLE
        .iter()
        .position(|feature| feature.name == wanted)
        .ok_or(Fault::Missing("feature of that name"))?;
    Ok(distribution(&sample(reader, &window)?, feature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_is_that_of_the_distribution_functions() {
        let a = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(difference(&a, &a), 0.0);
        assert_eq!(difference(&a, &[5.0, 6.0]), 1.0);
        assert_eq!(difference(&a, &[3.0, 4.0]), 0.5);
        assert_eq!(difference(&a, &[]), 0.0);
    }

    #[test]
    fn correlation_is_of_ranks_and_knows_what_is_missing() {
        let up: Vec<f32> = (0..20).map(|n| (n * n) as f32).collect();
        let down: Vec<f32> = up.iter().map(|n| -n).collect();
        let (up, down) = (ranks(&up), ranks(&down));
        assert!((correlation(&up, &up).unwrap() - 1.0).abs() < 1e-12);
        assert!((correlation(&up, &down).unwrap() + 1.0).abs() < 1e-12);
        assert_eq!(correlation(&up, &ranks(&[1.0; 20])), None);
        assert_eq!(correlation(&up, &ranks(&[f32::NAN; 20])), None);
        assert_eq!(ranks(&[3.0, 1.0, 3.0, f32::NAN])[..3], [1.5, 0.0, 1.5]);
    }
}
