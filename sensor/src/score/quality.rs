//! How good scores are, measured against labels.

/// Steps of [`Quality::histogram`].
pub const STEPS: usize = 60;

/// Measures of a ranking and of a threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Quality {
    /// Area under the ROC curve; NaN with only one class.
    pub roc_auc: f64,
    /// Area under the precision-recall curve (average precision); NaN without positives.
    pub pr_auc: f64,
    /// Share of the alarms that are right; NaN without alarms.
    pub precision: f64,
    /// Share of the attacks that are alarmed; NaN without attacks.
    pub recall: f64,
    /// Harmonic mean of the two; 0 where both are 0 or unknown.
    pub f1: f64,
    /// Rows.
    pub rows: u64,
    /// Rows that are attacks.
    pub positives: u64,
    /// Alarms on rows that are none.
    pub false_alarms: u64,
    /// Rows by score in 60 equal steps between least and greatest score: ordinary, attack.
    pub histogram: [[u64; 2]; STEPS],
    /// Least and greatest score.
    pub range: (f64, f64),
}

/// One row: its score, whether it was alarmed, and whether it is an attack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Higher is more anomalous.
    pub score: f64,
    /// Whether the score reached the threshold.
    pub alarm: bool,
    /// Whether it is an attack.
    pub attack: bool,
}

/// Measures `rows`. Rows with equal scores count as one step of the curves, as they must: no order among them is
/// better than another.
pub fn measure(rows: &mut [Judged]) -> Quality {
    rows.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    let positives = rows.iter().filter(|row| row.attack).count() as u64;
    let negatives = rows.len() as u64 - positives;
    let (mut hits, mut misses) = (0_u64, 0_u64);
    let (mut area, mut precision_area) = (0.0, 0.0);
    let mut at = 0;
    while at < rows.len() {
        let (before_hits, before_misses) = (hits, misses);
        let score = rows[at].score;
        while at < rows.len() && rows[at].score.total_cmp(&score).is_eq() {
            if rows[at].attack {
                hits += 1;
            } else {
                misses += 1;
            }
            at += 1;
        }
        area += (misses - before_misses) as f64 * (hits + before_hits) as f64 / 2.0;
        precision_area += (hits - before_hits) as f64 * (hits as f64 / (hits + misses) as f64);
    }
    let alarms = rows.iter().filter(|row| row.alarm).count() as u64;
    let right = rows.iter().filter(|row| row.alarm && row.attack).count() as u64;
    let share = |part: u64, whole: u64| part as f64 / whole as f64;
    let (precision, recall) = (share(right, alarms), share(right, positives));
    let range = (
        rows.last().map_or(0.0, |row| row.score),
        rows.first().map_or(1.0, |row| row.score),
    );
    let mut histogram = [[0; 2]; STEPS];
    for row in rows.iter() {
        let place = (row.score - range.0) / (range.1 - range.0) * STEPS as f64;
        histogram[(place as usize).min(STEPS - 1)][usize::from(row.attack)] += 1;
    }
    Quality {
        roc_auc: area / (positives as f64 * negatives as f64),
        pr_auc: precision_area / positives as f64,
        precision,
        recall,
        f1: if right == 0 {
            0.0
        } else {
            2.0 * precision * recall / (precision + recall)
        },
        rows: rows.len() as u64,
        positives,
        false_alarms: alarms - right,
        histogram,
        range,
    }
}

/// Curves of a ranking, as points from the highest score to the lowest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curves {
    /// Share of the ordinary rows alarmed, share of the attacks alarmed.
    pub roc: Vec<(f64, f64)>,
    /// Share of the attacks alarmed, share of the alarms that are right.
    pub precision: Vec<(f64, f64)>,
}

/// The curves of `rows`, which [`measure`] has put in order. Points that nobody could tell apart in a plot are left
/// out, but for small shares of ordinary rows, which are drawn out there.
pub fn curves(rows: &[Judged]) -> Curves {
    /// A plot is some hundred points wide.
    const APART: f64 = 1.0 / 500.0;
    let attacks = rows.iter().filter(|row| row.attack).count() as f64;
    let ordinary = rows.len() as f64 - attacks;
    let mut curves = Curves {
        roc: vec![(0.0, 0.0)],
        precision: Vec::new(),
    };
    let (mut hits, mut misses) = (0.0, 0.0);
    for (at, row) in rows.iter().enumerate() {
        if row.attack {
            hits += 1.0;
        } else {
            misses += 1.0;
        }
        let next = rows.get(at + 1);
        if next.is_some_and(|next| next.score.total_cmp(&row.score).is_eq()) {
            continue;
        }
        let near = |last: Option<&(f64, f64)>, (x, y): (f64, f64), grows: bool| {
            last.is_some_and(|last| {
                let wide = x - last.0 < APART && !(grows && x > last.0 * 1.02);
                wide && (y - last.1).abs() < APART
            })
        };
        let alarmed = (misses / ordinary, hits / attacks);
        if next.is_none() || !near(curves.roc.last(), alarmed, true) {
            curves.roc.push(alarmed);
        }
        let right = (hits / attacks, hits / (hits + misses));
        if curves.precision.is_empty() {
            // Before the first alarm the precision is that of the first.
            curves.precision.push((0.0, right.1));
        }
        if next.is_none() || !near(curves.precision.last(), right, false) {
            curves.precision.push(right);
        }
    }
    curves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(scores: &[(f64, bool)]) -> Vec<Judged> {
        scores
            .iter()
            .map(|&(score, attack)| Judged {
                score,
                alarm: score >= 0.5,
                attack,
            })
            .collect()
    }

    #[test]
    fn curves_agree_with_scikit_learn() {
        // roc_auc_score([0,0,1,1], [.1,.4,.35,.8]) = 0.75, average_precision_score = 0.8333 (its documentation).
        let quality = measure(&mut rows(&[
            (0.1, false),
            (0.4, false),
            (0.35, true),
            (0.8, true),
        ]));
        assert_eq!(quality.roc_auc, 0.75);
        assert!((quality.pr_auc - 0.833_333_333).abs() < 1e-9);
        assert_eq!((quality.precision, quality.recall), (1.0, 0.5));
        assert!((quality.f1 - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(
            (quality.rows, quality.positives, quality.false_alarms),
            (4, 2, 0)
        );
    }

    #[test]
    fn ties_are_worth_a_coin_toss() {
        let quality = measure(&mut rows(&[
            (0.7, false),
            (0.7, true),
            (0.7, false),
            (0.7, true),
        ]));
        assert_eq!((quality.roc_auc, quality.pr_auc), (0.5, 0.5));
        assert_eq!(quality.histogram.iter().flatten().sum::<u64>(), 4);
    }

    #[test]
    fn one_class_has_no_curve() {
        let quality = measure(&mut rows(&[(0.7, false), (0.2, false)]));
        assert!(quality.roc_auc.is_nan() && quality.pr_auc.is_nan() && quality.recall.is_nan());
        assert_eq!((quality.f1, quality.false_alarms), (0.0, 1));
    }

    #[test]
    fn the_curve_has_the_area_that_was_measured() {
        // Scores in a scrambled order with ties; attacks tend to score higher.
        let mut rows: Vec<Judged> = (0..20_000_u64)
            .map(|i| {
                let chance = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
                let attack = i % 10 == 0;
                let score = (chance % 1000) as f64 + if attack { 300.0 } else { 0.0 };
                Judged {
                    score,
                    alarm: false,
                    attack,
                }
            })
            .collect();
        let quality = measure(&mut rows);
        let curves = curves(&rows);
        assert!(curves.roc.len() < 2500, "{}", curves.roc.len());
        let area: f64 = curves
            .roc
            .windows(2)
            .map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0)
            .sum();
        assert!(
            (area - quality.roc_auc).abs() < 2e-3,
            "{area} {}",
            quality.roc_auc
        );
        assert_eq!(curves.roc.last(), Some(&(1.0, 1.0)));
        assert_eq!(curves.precision.last(), Some(&(1.0, 0.1)));
    }
}
