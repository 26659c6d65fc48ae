//! What the training rows look like, column by column: the axis of each, and the quantiles that an explanation quotes.

use crate::maths::{ln, signed_exp, signed_log};
use crate::{Rows, Schema, Transform};

/// Intervals between the stored quantiles.
pub(crate) const INTERVALS: usize = 128;
/// Categories kept per column; those beyond are rarer than every one kept and count as never seen.
pub(crate) const MAX_CATEGORIES: usize = 4096;
/// Rows looked at for the quantiles.
const QUANTILE_ROWS: usize = 8192;
/// Rows looked at for the categories.
const CATEGORY_ROWS: usize = 65_536;
/// Values beyond are treated as if they were this: ranges stay finite.
const LARGEST: f32 = 1e30;
/// Nats by which a category never seen is rarer than the rarest seen.
const UNSEEN: f32 = 1.0;

/// One column of the baseline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) transform: Transform,
    /// Raw values at the quantiles `i / INTERVALS`, ascending along the axis; all NaN if every value is missing.
    pub(crate) knots: Vec<f32>,
    /// Where they lie on the axis: asked for far more often than a model is made, and a logarithm each.
    places: Vec<f32>,
    /// Of a categorical column: the values seen and how often, ascending by value.
    pub(crate) categories: Vec<Category>,
    /// Greatest surprisal among the categories.
    rarest: f32,
    /// Rows in all categories.
    total: u64,
}

/// A value of a categorical column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Category {
    pub(crate) value: f32,
    pub(crate) count: u32,
    /// Minus the logarithm of the share.
    pub(crate) surprisal: f32,
    /// Rows in categories at most this common.
    at_most: u64,
}

impl Profile {
    /// Learns a column from the rows at `chosen`.
    pub(crate) fn learn(rows: &Rows, chosen: &[u32], column: usize, transform: Transform) -> Self {
        let seen = |limit: usize| {
            let step = chosen.len().div_ceil(limit).max(1);
            chosen
                .iter()
                .step_by(step)
                .map(move |&row| rows.at(row as usize, column))
                .filter(|value| !value.is_nan())
        };
        let mut profile = Self::along(transform);
        if transform == Transform::Categorical {
            let mut keys: Vec<u32> = seen(CATEGORY_ROWS).map(ordered).collect();
            keys.sort_unstable();
            let mut counts: Vec<(u32, u32)> = keys
                .chunk_by(|a, b| a == b)
                .map(|same| (same[0], same.len() as u32))
                .collect();
            counts.sort_by_key(|&(key, count)| (std::cmp::Reverse(count), key));
            counts.truncate(MAX_CATEGORIES);
            counts.sort_unstable();
            profile = Self::from_counts(
                counts
                    .into_iter()
                    .map(|(key, count)| (unordered(key), count)),
            );
        }
        let mut values: Vec<(f32, f32)> = seen(QUANTILE_ROWS)
            .map(|value| (profile.position(value), value + 0.0))
            .collect();
        values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let knots = (0..=INTERVALS).map(|i| match values.len() {
            0 => f32::NAN,
            n => values[(i * (n - 1) + INTERVALS / 2) / INTERVALS].1,
        });
        profile.with_knots(knots.collect())
    }

    /// A profile along an axis, of which nothing is known.
    fn along(transform: Transform) -> Self {
        Self {
            transform,
            knots: Vec::new(),
            places: Vec::new(),
            categories: Vec::new(),
            rarest: 0.0,
            total: 0,
        }
    }

    fn with_knots(mut self, knots: Vec<f32>) -> Self {
        self.places = knots.iter().map(|&knot| self.position(knot)).collect();
        self.knots = knots;
        self
    }

    /// A categorical profile without quantiles from `(value, count)` pairs in ascending order of value.
    fn from_counts(counts: impl Iterator<Item = (f32, u32)> + Clone) -> Self {
        let rows = counts
            .clone()
            .map(|(_, count)| f64::from(count))
            .sum::<f64>();
        let mut categories: Vec<Category> = counts
            .map(|(value, count)| Category {
                value,
                count,
                surprisal: -ln(f64::from(count) / rows) as f32,
                at_most: 0,
            })
            .collect();
        let rarest = categories
            .iter()
            .fold(0.0, |most: f32, category| most.max(category.surprisal));
        let mut rarest_first: Vec<&mut Category> = categories.iter_mut().collect();
        rarest_first.sort_unstable_by_key(|category| category.count);
        let mut total = 0;
        for alike in rarest_first.chunk_by_mut(|a, b| a.count == b.count) {
            total += alike.len() as u64 * u64::from(alike[0].count);
            for category in alike {
                category.at_most = total;
            }
        }
        Self {
            categories,
            rarest,
            total,
            ..Self::along(Transform::Categorical)
        }
    }

    /// Puts a profile together from its stored parts; `None` if they break what the rest relies on.
    pub(crate) fn assemble(
        transform: Transform,
        knots: Vec<f32>,
        counts: &[(f32, u32)],
    ) -> Option<Self> {
        let sound = knots.len() == INTERVALS + 1
            && (transform == Transform::Categorical || counts.is_empty())
            && counts.len() <= MAX_CATEGORIES
            && counts
                .iter()
                .all(|&(value, count)| !value.is_nan() && count > 0)
            && counts
                .windows(2)
                .all(|pair| ordered(pair[0].0) < ordered(pair[1].0));
        let profile = match transform {
            Transform::Categorical => Self::from_counts(counts.iter().copied()),
            _ => Self::along(transform),
        };
        let profile = profile.with_knots(knots);
        let missing = profile.knots.iter().all(|knot| knot.is_nan());
        let ascending = profile.places.is_sorted();
        (sound && (missing || ascending)).then_some(profile)
    }

    /// Where a raw value (not NaN) lies on the axis.
    pub(crate) fn position(&self, value: f32) -> f32 {
        match self.transform {
            Transform::Linear => value.clamp(-LARGEST, LARGEST),
            Transform::SignedLog | Transform::Time => {
                signed_log(f64::from(value.clamp(-LARGEST, LARGEST))) as f32
            }
            Transform::Categorical => self
                .category(value)
                .map_or(self.rarest + UNSEEN, |found| found.surprisal),
        }
    }

    /// Where the stored quantiles lie on the axis.
    pub(crate) fn places(&self) -> &[f32] {
        &self.places
    }

    /// The value that a cut at this place of the axis is compared with: raw, or of a categorical column the place
    /// itself.
    pub(crate) fn cut(&self, position: f64) -> f32 {
        match self.transform {
            Transform::Linear | Transform::Categorical => position as f32,
            Transform::SignedLog | Transform::Time => signed_exp(position) as f32,
        }
    }

    /// What is known of a category.
    pub(crate) fn category(&self, value: f32) -> Option<&Category> {
        let key = ordered(value);
        let at = self
            .categories
            .binary_search_by_key(&key, |category| ordered(category.value))
            .ok()?;
        Some(&self.categories[at])
    }

    /// Share of the baseline with a category at most this common, with one more row of it.
    pub(crate) fn category_share(&self, value: f32) -> f64 {
        let at_most = self.category(value).map_or(0, |found| found.at_most);
        (at_most + 1) as f64 / (self.total + 1) as f64
    }

    /// Value that stands for a missing one: the median.
    pub(crate) fn median(&self) -> f32 {
        self.knots[INTERVALS / 2]
    }

    /// Whether the column has two values that differ, as far as the quantiles tell.
    pub(crate) fn varies(&self) -> bool {
        self.places[0] < self.places[INTERVALS]
    }

    /// Whether the range that the column spans on its axis can be compared with other columns': logarithms and nats,
    /// and shares of one.
    pub(crate) fn has_a_scale(&self) -> bool {
        self.transform != Transform::Linear || !(self.knots[0] < 0.0 || self.knots[INTERVALS] > 1.0)
    }

    /// A category that is none of the known.
    pub(crate) fn unseen(&self) -> f32 {
        // One more candidate than there are categories: one of them is free.
        (0..=self.categories.len())
            .map(|n| -0.5 - n as f32)
            .find(|&value| self.category(value).is_none())
            .unwrap_or(f32::INFINITY)
    }

    /// The 1 % and the 99 % quantile, to the resolution of the stored ones.
    pub(crate) fn tails(&self) -> (f32, f32) {
        (self.knots[1], self.knots[INTERVALS - 1])
    }

    /// Share of the baseline below a value (ties count half), to the resolution of the stored quantiles; NaN if
    /// either is missing.
    pub(crate) fn quantile(&self, value: f32) -> f32 {
        if value.is_nan() || self.median().is_nan() {
            return f32::NAN;
        }
        let place = self.position(value);
        let below = self.places.partition_point(|&knot| knot < place);
        let upto = self.places.partition_point(|&knot| knot <= place);
        let rank = if below < upto {
            (below + upto - 1) as f32 / 2.0
        } else if below == 0 || below == self.knots.len() {
            below.saturating_sub(1) as f32
        } else {
            let (low, high) = (self.places[below - 1], self.places[below]);
            (below - 1) as f32 + (place - low) / (high - low)
        };
        rank / INTERVALS as f32
    }
}

impl Profile {
    /// How far out a value lies in its column: the surprisal of a value at least as far out on the same side, in
    /// nats, and beyond all values seen also the logarithm of the distance in units of the middle 98 %. 0 at the
    /// median and for a missing value.
    pub(crate) fn oddity(&self, value: f32) -> f32 {
        let quantile = self.quantile(value);
        if quantile.is_nan() {
            return 0.0;
        }
        let outer = match self.transform {
            Transform::Categorical => 1.0 - quantile,
            _ => 2.0 * quantile.min(1.0 - quantile),
        };
        let seen = self.knots[0]..=self.knots[INTERVALS];
        let beyond = if self.transform != Transform::Categorical && seen.contains(&value) {
            0.0
        } else {
            self.beyond(value)
        };
        let finest = 1.0 / (2 * INTERVALS) as f32;
        (ln(f64::from(1.0 + beyond)) - ln(f64::from((outer + finest).min(1.0)))) as f32
    }

    /// How far beyond all values seen a value lies, in units of the middle 98 %.
    fn beyond(&self, value: f32) -> f32 {
        let (low, high) = (self.places[0], self.places[INTERVALS]);
        let place = self.position(value);
        let unit = (self.places[INTERVALS - 1] - self.places[1]).max(1e-6);
        (low - place).max(place - high).max(0.0) / unit
    }
}

/// Profiles of all columns of a schema.
pub(crate) fn learn(rows: &Rows, chosen: &[u32], schema: &Schema, threads: usize) -> Vec<Profile> {
    crate::parallel::map(threads, schema.len(), |column| {
        Profile::learn(rows, chosen, column, schema.columns[column].transform)
    })
}

/// The bits of a float in an order that agrees with `<`; the two zeros are one.
pub(crate) fn ordered(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 0 {
        bits | 1 << 31
    } else {
        !bits
    }
}

/// Inverse of [`ordered`].
pub(crate) fn unordered(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 {
        key & !(1 << 31)
    } else {
        !key
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[f32], transform: Transform) -> Profile {
        let rows = Rows {
            values: values.to_vec(),
            columns: 1,
        };
        let all: Vec<u32> = (0..values.len() as u32).collect();
        Profile::learn(&rows, &all, 0, transform)
    }

    #[test]
    fn quantiles_of_a_ramp() {
        let profile = column(
            &(0..=1280).map(|i| i as f32).collect::<Vec<_>>(),
            Transform::SignedLog,
        );
        assert_eq!(profile.median(), 640.0);
        assert!((profile.quantile(320.0) - 0.25).abs() < 0.001);
        assert_eq!(profile.quantile(-5.0), 0.0);
        assert_eq!(profile.quantile(1e9), 1.0);
        assert!(profile.quantile(f32::NAN).is_nan());
    }

    #[test]
    fn categories_lie_by_surprisal_and_the_unseen_beyond_the_rarest() {
        let profile = column(
            &[80.0, 80.0, 80.0, 443.0, 443.0, 22.0, f32::NAN],
            Transform::Categorical,
        );
        assert!((profile.position(80.0) - 2f32.ln()).abs() < 1e-6);
        assert!((profile.position(22.0) - 6f32.ln()).abs() < 1e-6);
        assert_eq!(profile.position(9.0), profile.position(22.0) + UNSEEN);
        assert_eq!(profile.position(profile.unseen()), profile.position(9.0));
        assert_eq!(profile.knots[0], 80.0);
        assert_eq!(profile.knots[INTERVALS], 22.0);
    }

    #[test]
    fn order_of_bits_is_order_of_values() {
        let values = [
            f32::NEG_INFINITY,
            -2.0,
            -1e-40,
            0.0,
            1e-40,
            3.0,
            f32::INFINITY,
        ];
        assert!(
            values
                .windows(2)
                .all(|pair| ordered(pair[0]) < ordered(pair[1]))
        );
        assert_eq!(ordered(-0.0), ordered(0.0));
        assert!(
            values
                .iter()
                .all(|&value| unordered(ordered(value)) == value)
        );
    }

    #[test]
    fn a_column_of_nothing_but_missing_values_is_sound() {
        let profile = column(&[f32::NAN; 3], Transform::Linear);
        assert!(profile.median().is_nan());
        assert!(Profile::assemble(Transform::Linear, profile.knots, &[]).is_some());
    }
}
