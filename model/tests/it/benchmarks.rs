//! Ranking quality on the standard outlier sets, against the reference means that come with them.

use crate::{npz, support};
use model::{Column, Model, Rows, Schema, Settings, Transform};

/// Name, and mean ROC-AUC of scikit-learn's forest (the data's README).
const SETS: [(&str, f64); 8] = [
    ("16_http", 0.9993),
    ("34_smtp", 0.9036),
    ("32_shuttle", 0.9971),
    ("23_mammography", 0.8588),
    ("2_annthyroid", 0.8274),
    ("29_Pima", 0.6704),
    ("4_breastw", 0.9876),
    ("18_Ionosphere", 0.8441),
];
/// Seeds of the mean; the standard deviation over seeds is up to 0.014.
const SEEDS: u64 = 10;
/// Seeds for sets of more than 100,000 rows, whose standard deviation is a tenth of that.
const SEEDS_OF_LARGE: u64 = 5;

#[test]
fn mean_auc_is_within_a_hundredth_of_the_reference_or_above() {
    let Some(folder) = support::shared("isolation-forest-benchmarks") else {
        return;
    };
    let mut worst: Vec<String> = Vec::new();
    for (name, reference) in SETS {
        let archive = npz::read(&folder.join(format!("{name}.npz")));
        let (table, labels) = (&archive["X"], &archive["y"]);
        let columns = table.shape[1];
        let rows = Rows {
            values: table.values.iter().map(|&value| value as f32).collect(),
            columns,
        };
        let outlier: Vec<bool> = labels.values.iter().map(|&label| label == 1.0).collect();
        let schema = Schema::new(
            (0..columns)
                .map(|i| Column::new(format!("x{i}"), "1", Transform::Linear))
                .collect(),
        );
        let seeds = if rows.len() > 100_000 {
            SEEDS_OF_LARGE
        } else {
            SEEDS
        };
        let mean = (0..seeds)
            .map(|seed| {
                let model = Model::train(
                    &rows,
                    &schema,
                    &Settings {
                        seed,
                        ..Settings::classic()
                    },
                )
                .unwrap();
                let mut scores = vec![0.0; rows.len()];
                model.scorer().score(&rows, &mut scores);
                roc_auc(&scores, &outlier)
            })
            .sum::<f64>()
            / seeds as f64;
        let line = format!("{name}: {mean:.4}, reference {reference:.4}");
        println!("{line}");
        if mean < reference - 0.01 {
            worst.push(line);
        }
    }
    assert!(worst.is_empty(), "{worst:?}");
}

/// Share of pairs (outlier, other) in the right order; ties count half.
fn roc_auc(scores: &[f32], outlier: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut below, mut pairs) = (0.0, 0.0);
    for ties in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let high = ties.iter().filter(|&&row| outlier[row]).count() as f64;
        let low = ties.len() as f64 - high;
        pairs += high * (below + low / 2.0);
        below += low;
    }
    pairs / (below * (outlier.len() as f64 - below))
}
