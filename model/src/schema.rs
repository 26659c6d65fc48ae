//! What the columns of a row mean. A model carries the schema it was trained on and refuses another.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How a raw value becomes a position on the axis along which the forest cuts.
///
/// Rows always hold raw units; the transform is the model's business. Flow features are heavy-tailed, and a
/// cut drawn uniformly between the least and the greatest raw value isolates a few elephant flows and
/// nothing else, so the axis matters more than the kind of tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    /// The value itself: shares, flags, angles, small bounded counts.
    Linear,
    /// `sign(x) * ln(1 + |x|)`: sizes, rates, unbounded counts.
    SignedLog,
    /// A time in seconds, along the axis of [`Transform::SignedLog`]; trees tell whole [steps](Transform::STEPS) of a
    /// quarter of a millisecond apart, and nothing finer.
    ///
    /// Two observers of the same packet, a program in the kernel and a tap beside it, give it times some microseconds
    /// apart, and up to a tenth of a millisecond on a busy machine. Ranks would stretch those microseconds over as much
    /// of an axis as all that takes longer, and a verdict would hang on who looked.
    Time,
    /// The value names a category (a port, a protocol). Its position is its surprisal, minus the logarithm
    /// of its share among the training rows; a category never seen sits one nat beyond the rarest seen.
    Categorical,
}

impl Transform {
    /// Steps in a second of [`Transform::Time`].
    pub const STEPS: f64 = 4e3;

    /// The whole step nearest to a time, in seconds; of two as near the one further from zero.
    #[inline(always)]
    #[must_use]
    pub fn nearest_step(seconds: f64) -> f64 {
        let at = seconds * Self::STEPS;
        // By way of an integer: rounding as such is a call where SSE4.1 is not assumed.
        (at + 0.5_f64.copysign(at)) as i64 as f64 / Self::STEPS
    }
}

/// One column: a name and a unit for people, a transform for the forest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Unique name, e.g. `orig_bytes`.
    pub name: String,
    /// Unit of the raw values, e.g. `byte`, `s`, `1`.
    pub unit: String,
    /// Axis along which the forest cuts.
    pub transform: Transform,
    /// Whether only the baseline knows it ([`Model::upper_tail`](crate::Model::upper_tail)) and no tree cuts it: for what
    /// a test of its own judges, and what would be one more ordinary value of most rows to a forest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aside: bool,
}

impl Column {
    /// A column from its three parts, for the forest.
    pub fn new(name: impl Into<String>, unit: impl Into<String>, transform: Transform) -> Self {
        Self {
            name: name.into(),
            unit: unit.into(),
            transform,
            aside: false,
        }
    }

    /// The same, for the baseline alone.
    #[must_use]
    pub fn aside(self) -> Self {
        Self {
            aside: true,
            ..self
        }
    }
}

/// The columns of a row, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// In the order in which a row holds its values.
    pub columns: Vec<Column>,
}

impl Schema {
    /// A schema of these columns.
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns }
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no column at all.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// SHA-256 over names, units and transforms in order, in lower-case hexadecimal.
    ///
    /// Every part is preceded by its length, so that no two different schemas feed the hash the same bytes.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update((self.columns.len() as u64).to_le_bytes());
        for column in &self.columns {
            for text in [&column.name, &column.unit] {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
            let transform = match column.transform {
                Transform::Linear => 0,
                Transform::SignedLog => 1,
                Transform::Categorical => 2,
                Transform::Time => 3,
            };
            hash.update([transform | u8::from(column.aside) << 7]);
        }
        hex(&hash.finalize())
    }

    /// Whether rows of `other` may be scored by a model trained on `self`.
    ///
    /// # Errors
    /// [`SchemaMismatch`], which says where the two first differ.
    pub fn accepts(&self, other: &Self) -> Result<(), SchemaMismatch> {
        let first = self
            .columns
            .iter()
            .zip(&other.columns)
            .position(|(a, b)| a != b);
        match first {
            Some(at) => Err(SchemaMismatch::Column {
                at,
                model: self.columns[at].to_string(),
                rows: other.columns[at].to_string(),
            }),
            None if self.len() != other.len() => Err(SchemaMismatch::Width {
                model: self.len(),
                rows: other.len(),
            }),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}] {:?}", self.name, self.unit, self.transform)?;
        f.write_str(if self.aside { " aside" } else { "" })
    }
}

/// Two schemas that are not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaMismatch {
    /// The same position means two things.
    #[error("column {at} is `{model}` in the model and `{rows}` in the rows")]
    Column {
        /// Position of the first difference, counted from 0.
        at: usize,
        /// The model's column.
        model: String,
        /// The rows' column.
        rows: String,
    },
    /// One has columns that the other lacks.
    #[error("the model has {model} columns and the rows have {rows}")]
    Width {
        /// Columns of the model.
        model: usize,
        /// Columns of the rows.
        rows: usize,
    },
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_separates_what_concatenation_would_not() {
        let one = Schema::new(vec![Column::new("ab", "c", Transform::Linear)]);
        let two = Schema::new(vec![Column::new("a", "bc", Transform::Linear)]);
        let three = Schema::new(vec![Column::new("ab", "c", Transform::SignedLog)]);
        assert_ne!(one.digest(), two.digest());
        assert_ne!(one.digest(), three.digest());
        assert_eq!(one.digest(), one.clone().digest());
        assert_eq!(one.digest().len(), 64);
    }

    #[test]
    fn a_mismatch_names_the_column() {
        let model = Schema::new(vec![
            Column::new("a", "s", Transform::Linear),
            Column::new("b", "s", Transform::Linear),
        ]);
        let mut rows = model.clone();
        assert_eq!(model.accepts(&rows), Ok(()));
        rows.columns[1].name = "z".into();
        assert!(matches!(
            model.accepts(&rows),
            Err(SchemaMismatch::Column { at: 1, .. })
        ));
        rows = model.clone();
        rows.columns.pop();
        assert_eq!(
            model.accepts(&rows),
            Err(SchemaMismatch::Width { model: 2, rows: 1 })
        );
    }
}
