//! Made-up traffic for the tests: heavy tails, categories, missing values; and the shared data, if there.

use model::{Column, Rows, Schema, Transform};

/// A small generator for test data, independent of the product's.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, nearly: the sum of twelve uniforms.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// Columns of the made-up traffic: sizes, times and rates, shares, and a port, again and again.
pub(crate) fn schema(columns: usize) -> Schema {
    let kinds = [
        ("bytes", "byte", Transform::SignedLog),
        ("seconds", "s", Transform::SignedLog),
        ("share", "1", Transform::Linear),
        ("port", "1", Transform::Categorical),
    ];
    Schema::new(
        (0..columns)
            .map(|i| {
                let (name, unit, transform) = kinds[i % 4];
                Column::new(format!("{name}_{}", i / 4), unit, transform)
            })
            .collect(),
    )
}

/// Rows of made-up traffic; one value in thirty is missing.
pub(crate) fn traffic(rows: usize, columns: usize, seed: u64) -> Rows {
    let mut dice = Dice(seed);
    let mut table = Rows::with_columns(columns);
    for _ in 0..rows {
        let row: Vec<f32> = (0..columns)
            .map(|column| {
                let value = match column % 4 {
                    0 => (6.0 + 1.5 * dice.normal()).exp().round(),
                    1 => (-2.0 + dice.normal()).exp(),
                    2 => dice.unit() * dice.unit(),
                    _ if dice.unit() < 0.02 => (1024.0 + dice.unit() * 60_000.0).floor(),
                    _ => [443.0, 443.0, 443.0, 80.0, 53.0, 22.0][(dice.unit() * 6.0) as usize],
                };
                if dice.unit() < 1.0 / 30.0 {
                    f32::NAN
                } else {
                    value as f32
                }
            })
            .collect();
        table.push(&row);
    }
    table
}

/// A folder of the data shared beside the checkout; if absent, says so, once per test.
pub(crate) fn shared(name: &str) -> Option<std::path::PathBuf> {
    let root = std::env::var_os("ANOMALY_DETECT_SHARED_DATA").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        std::path::PathBuf::from,
    );
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("not run: shared data absent ({})", folder.display());
    None
}
