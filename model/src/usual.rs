//! What is usual in one column of the baseline, for those who judge a value by itself.

use crate::Model;
use crate::baseline::{INTERVALS, Profile};
use crate::maths::{exp, ln};

/// No baseline is long enough to promise anything rarer.
const RAREST: f64 = 1e-9;
/// Least width of the outer tenth (from the 90 % to the 99 % quantile) on the column's axis: counts that hardly ever
/// vary would otherwise make everything else impossible.
const LEAST_WIDTH: f64 = 0.25;
/// Stored quantile next to 90 %.
const NINE_TENTHS: usize = INTERVALS * 9 / 10;

impl Model {
    /// Share of the baseline with a value at least as large: a p-value of the value by itself, above 0, at most 1.
    ///
    /// Up to the 90 % quantile from the stored quantiles, beyond by an exponential tail on the column's axis (for
    /// logarithmic axes that is a Pareto tail; Hill 1975) through the 90 % and 99 % quantiles, made heavier where the
    /// largest value seen asks for it. 1 for a missing value and for a column that was never known.
    ///
    /// # Panics
    /// If the model has no such column.
    pub fn upper_tail(&self, column: usize, value: f32) -> f64 {
        let profile = &self.profiles()[column];
        if value.is_nan() || profile.median().is_nan() {
            return 1.0;
        }
        let places = profile.places();
        let place = |at: usize| f64::from(places[at]);
        let at = profile.position(value);
        if at <= places[NINE_TENTHS] {
            let below = places.partition_point(|&knot| knot < at);
            return 1.0 - below as f64 / (INTERVALS + 1) as f64;
        }
        let (from, outer) = (place(NINE_TENTHS), place(INTERVALS - 1));
        let share = |at: usize| 1.0 - at as f64 / INTERVALS as f64;
        let decades = ln(share(NINE_TENTHS) / share(INTERVALS - 1));
        let mut rate = decades / (outer - from).max(LEAST_WIDTH);
        let beyond = place(INTERVALS) - from;
        if beyond > 0.0 {
            let rows = self.info().rows.clamp(2, 8192) as f64;
            rate = rate.min(ln(share(NINE_TENTHS) * (rows + 1.0)) / beyond);
        }
        (share(NINE_TENTHS) * exp(-rate * (f64::from(at) - from))).max(RAREST)
    }

    /// Share of the baseline with a category at most this common, with one more row of it: a p-value of the category
    /// by itself. 1 for a missing value.
    ///
    /// # Panics
    /// If the model has no such column.
    pub fn category_tail(&self, column: usize, value: f32) -> f64 {
        let profile = &self.profiles()[column];
        if value.is_nan() || profile.categories.is_empty() {
            return 1.0;
        }
        profile.category_share(value)
    }

    /// The 1 % quantile, the median and the 99 % quantile of a column of the baseline; NaN if it was never known.
    ///
    /// # Panics
    /// If the model has no such column.
    pub fn usual(&self, column: usize) -> [f32; 3] {
        let profile: &Profile = &self.profiles()[column];
        let (low, high) = profile.tails();
        [low, profile.median(), high]
    }
}

#[cfg(test)]
mod tests {
    use crate::{Column, Model, Rows, Schema, Settings, Transform};

    /// A column of `1 / (1 - u)` (Pareto with exponent 1) and one of two categories.
    fn model() -> Model {
        let rows = 4096;
        let mut all = Rows::with_columns(2);
        for at in 0..rows {
            let u = (at as f32 + 0.5) / rows as f32;
            all.push(&[1.0 / (1.0 - u), if at % 64 == 0 { 22.0 } else { 80.0 }]);
        }
        let schema = Schema::new(vec![
            Column::new("heavy", "1", Transform::SignedLog),
            Column::new("service", "1", Transform::Categorical),
        ]);
        Model::train(&all, &schema, &Settings::default()).unwrap()
    }

    #[test]
    fn a_tail_is_the_share_above_inside_and_far_beyond_what_was_seen() {
        let model = model();
        for (value, share) in [
            (2.0, 0.5),
            (5.0, 0.2),
            (20.0, 0.05),
            (100.0, 0.01),
            (2_000.0, 5e-4),
        ] {
            let tail = model.upper_tail(0, value);
            assert!(
                (0.5..2.0).contains(&(tail / share)),
                "{value}: {tail} for {share}"
            );
        }
        // Beyond everything seen: rarer still, never impossible.
        assert!(model.upper_tail(0, 1e6) < model.upper_tail(0, 1e5));
        assert!(model.upper_tail(0, f32::INFINITY) > 0.0);
        assert_eq!(model.upper_tail(0, f32::NAN), 1.0);
    }

    #[test]
    fn a_column_aside_is_known_and_changes_no_score() {
        let mut rows = [Rows::with_columns(2), Rows::with_columns(3)];
        for at in 0..4096_u32 {
            let row = [at as f32, (at * 31 % 97) as f32, (at % 512) as f32];
            rows[0].push(&row[..2]);
            rows[1].push(&row);
        }
        let columns = ["a", "b", "c"].map(|name| Column::new(name, "1", Transform::SignedLog));
        let [a, b, c] = columns;
        let without = Schema::new(vec![a.clone(), b.clone()]);
        let with = Schema::new(vec![a.clone(), b.clone(), c.clone().aside()]);
        assert_ne!(with.digest(), Schema::new(vec![a, b, c]).digest());
        let settings = Settings::default();
        let [without, with] = [(&rows[0], &without), (&rows[1], &with)]
            .map(|(rows, schema)| Model::train(rows, schema, &settings).unwrap());
        let (mut ours, mut theirs) = ([0.0; 2], [0.0; 2]);
        without.scorer().score(&[7.0, 3.0, 9e9, 0.0], &mut ours);
        with.scorer()
            .score(&[7.0, 3.0, 9e9, 9e9, 0.0, f32::NAN], &mut theirs);
        assert_eq!(ours, theirs);
        assert!(with.upper_tail(2, 500.0) < 0.05);
        let read = Model::from_bytes(&with.to_bytes()).unwrap();
        assert_eq!(read.schema(), with.schema());
    }

    #[test]
    fn categories_never_seen_are_as_rare_as_one_row_more() {
        let model = model();
        assert!(model.category_tail(1, 445.0) < 1.0 / 2_000.0);
        assert!((model.category_tail(1, 22.0) - 1.0 / 64.0).abs() < 0.01);
        assert_eq!(model.category_tail(1, 80.0), 1.0);
    }
}
