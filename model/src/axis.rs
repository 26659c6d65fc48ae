//! Where values lie along the axes that a tree cuts.
//!
//! A cut is drawn uniformly along an axis, so the axis decides what a tree takes for far apart. There are two kinds.
//! *Declared*: the transform of the schema. On it a value beyond all others is far out however rare it is, but a
//! column that spans decades of noise (a sequence number) draws most of the cuts. *Ranked*: signed-log columns by
//! rank and linear ones by their own range, so that each spans 1, while categories keep their nats; rare names and odd
//! combinations of ordinary values come out, single extremes drown. A forest of both sees both.
//!
//! Times are told apart by whole steps ([`Transform::STEPS`]): values lie where the nearest step does, and cuts between two.

use crate::Transform;
use crate::baseline::{INTERVALS, Profile};

/// What lies outside the baseline's range is this much of that range away, at most.
const BEYOND: f32 = 5.0;

/// The axis of one column.
pub(crate) struct Axis<'a> {
    pub(crate) profile: &'a Profile,
    /// Points of a piecewise linear map from the declared axis; both ascend strictly. None: the declared axis.
    points: Vec<(f32, f32)>,
    /// Whether all values lie in one place, so that there is nothing to cut.
    pub(crate) is_flat: bool,
}

impl<'a> Axis<'a> {
    /// The axis of a column that no tree is to cut.
    pub(crate) fn flat(profile: &'a Profile) -> Self {
        Self {
            is_flat: true,
            ..Self::declared(profile)
        }
    }

    /// The axis that the schema declares.
    pub(crate) fn declared(profile: &'a Profile) -> Self {
        Self {
            profile,
            points: Vec::new(),
            is_flat: false,
        }
    }

    /// The axis of ranks.
    pub(crate) fn ranked(profile: &'a Profile) -> Self {
        let mut points: Vec<(f32, f32)> = Vec::new();
        if !profile.median().is_nan() {
            let places: Vec<f32> = profile
                .knots
                .iter()
                .map(|&knot| profile.position(whole(profile, knot)))
                .collect();
            match profile.transform {
                Transform::Categorical => {}
                Transform::Linear => {
                    points.extend([(places[0], 0.0), (places[INTERVALS], 1.0)]);
                }
                Transform::SignedLog | Transform::Time => {
                    let mut below = 0;
                    for same in places.chunk_by(|a, b| a == b) {
                        let rank = below as f32 + (same.len() - 1) as f32 / 2.0;
                        points.push((same[0], rank / INTERVALS as f32));
                        below += same.len();
                    }
                }
            }
        }
        if points
            .first()
            .is_some_and(|first| points.last().is_none_or(|last| last.0 <= first.0))
        {
            points.clear();
        }
        Self {
            profile,
            points,
            is_flat: false,
        }
    }

    /// Where a raw value (not NaN) lies.
    pub(crate) fn place(&self, value: f32) -> f32 {
        self.place_of_cut(whole(self.profile, value))
    }

    /// Where a cut lies that is no category: between the values that it parts.
    pub(crate) fn place_of_cut(&self, cut: f32) -> f32 {
        if self.is_flat {
            return 0.0;
        }
        let at = self.profile.position(cut);
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return at;
        };
        // Beyond the ends the axis goes on in units of what the whole baseline spans.
        let unit = last.0 - first.0;
        if at <= first.0 {
            return first.1 - ((first.0 - at) / unit).min(BEYOND);
        }
        if at >= last.0 {
            return last.1 + ((at - last.0) / unit).min(BEYOND);
        }
        let above = self.points.partition_point(|point| point.0 < at);
        let (low, high) = (self.points[above - 1], self.points[above]);
        low.1 + (high.1 - low.1) * ((at - low.0) / (high.0 - low.0))
    }

    /// Where the value that stands for a missing one lies.
    pub(crate) fn missing(&self) -> f32 {
        let median = self.profile.median();
        if median.is_nan() {
            0.0
        } else {
            self.place(median)
        }
    }

    /// The value that a cut at this place is compared with: raw, or of a categorical column its surprisal.
    pub(crate) fn cut(&self, place: f64) -> f32 {
        let cut = self.raw(place);
        if self.profile.transform != Transform::Time {
            return cut;
        }
        ((steps(cut).floor() + 0.5) / Transform::STEPS) as f32
    }

    /// A value at this place, or the next further out (`above` all others, or below) that differs from those within.
    pub(crate) fn beyond(&self, place: f64, above: bool) -> f32 {
        let value = self.raw(place);
        if self.profile.transform != Transform::Time {
            return value;
        }
        let at = steps(value);
        ((if above { at.ceil() } else { at.floor() }) / Transform::STEPS) as f32
    }

    /// What lies at this place: a raw value, or of a categorical column a surprisal.
    fn raw(&self, place: f64) -> f32 {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return self.profile.cut(place);
        };
        let wide = |point: &(f32, f32)| (f64::from(point.0), f64::from(point.1));
        let (first, last) = (wide(first), wide(last));
        let at = if place <= first.1 {
            first.0 - (first.1 - place) * (last.0 - first.0)
        } else if place >= last.1 {
            last.0 + (place - last.1) * (last.0 - first.0)
        } else {
            let above = self
                .points
                .partition_point(|point| f64::from(point.1) < place);
            let (low, high) = (wide(&self.points[above - 1]), wide(&self.points[above]));
            low.0 + (high.0 - low.0) * ((place - low.1) / (high.1 - low.1))
        };
        self.profile.cut(at)
    }
}

/// Of times the nearest that is told from others; all other values are.
fn whole(profile: &Profile, value: f32) -> f32 {
    match profile.transform {
        Transform::Time => Transform::nearest_step(value.into()) as f32,
        _ => value,
    }
}

fn steps(seconds: f32) -> f64 {
    f64::from(seconds) * Transform::STEPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rows;

    fn profile(values: Vec<f32>, transform: Transform) -> Profile {
        let all: Vec<u32> = (0..values.len() as u32).collect();
        let rows = Rows { values, columns: 1 };
        Profile::learn(&rows, &all, 0, transform)
    }

    #[test]
    fn a_cut_lies_where_it_was_drawn() {
        let ramp: Vec<f32> = (0..1000).map(|i| ((i * i) as f32) - 900.0).collect();
        for transform in [Transform::Linear, Transform::SignedLog] {
            let profile = profile(ramp.clone(), transform);
            for axis in [Axis::declared(&profile), Axis::ranked(&profile)] {
                let (low, high) = (axis.place(-5000.0), axis.place(3e6));
                for step in 0..=1000 {
                    let place = f64::from(low) + f64::from(high - low) * f64::from(step) / 1000.0;
                    let back = f64::from(axis.place(axis.cut(place)));
                    let span = f64::from(high - low);
                    assert!(
                        (back - place).abs() < 1e-4 * span,
                        "{place}, {back}, {transform:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn ranks_span_one_and_keep_the_order() {
        let profile = profile(
            (0..2000).map(|i| 1.01f32.powi(i)).collect(),
            Transform::SignedLog,
        );
        let axis = Axis::ranked(&profile);
        assert!(
            axis.place(1.0).abs() < 0.01 && (axis.place(1.01f32.powi(1999)) - 1.0).abs() < 0.01
        );
        assert!((axis.place(1.01f32.powi(1000)) - 0.5).abs() < 0.01);
        let places: Vec<f32> = (0..2600)
            .map(|i| axis.place(1.01f32.powi(i - 300)))
            .collect();
        assert!(places.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(axis.place(1e30) <= 1.0 + BEYOND);
    }

    #[test]
    fn times_are_told_apart_by_whole_steps() {
        let times = |i: u32| (i * i) as f32 * 9e-6;
        let profile = profile((0..200).map(times).collect(), Transform::Time);
        for axis in [Axis::declared(&profile), Axis::ranked(&profile)] {
            for (a, b) in [(0.0, 0.000_12), (0.0009, 0.0011), (0.3089, 0.3091)] {
                assert_eq!(axis.place(a), axis.place(b), "{a} and {b}");
            }
            let (low, high) = (axis.place(0.0), axis.place(0.5));
            for step in 0..=1000 {
                let cut = axis.cut(f64::from(low) + f64::from(high - low) * f64::from(step) / 1e3);
                let part = steps(cut);
                assert!((part.fract() - 0.5).abs() < 1e-3, "{part} steps");
                // It parts the two steps that it lies between.
                let (before, after) = (cut - 1e-4, cut + 1e-4);
                assert!(axis.place(before) < axis.place_of_cut(cut));
                assert!(axis.place_of_cut(cut) < axis.place(after));
            }
            let next = axis.beyond(f64::from(axis.place(0.003)) + 1e-6, true);
            assert!(axis.place(next) > axis.place(0.003));
        }
    }

    #[test]
    fn a_column_that_never_varies_keeps_its_declared_axis() {
        for values in [vec![3.0; 50], vec![f32::NAN; 50]] {
            let profile = profile(values, Transform::SignedLog);
            let axis = Axis::ranked(&profile);
            assert_eq!(axis.place(7.0), profile.position(7.0));
            assert!(axis.missing().is_finite());
        }
    }
}
