//! A table of raw feature values.

/// Row-major table of raw values; NaN is a missing value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// `len() * columns` values, one row after the other.
    pub values: Vec<f32>,
    /// Values in a row.
    pub columns: usize,
}

impl Rows {
    /// An empty table whose rows will have this many columns.
    pub fn with_columns(columns: usize) -> Self {
        Self {
            values: Vec::new(),
            columns,
        }
    }

    /// Appends a row.
    ///
    /// # Panics
    /// If the row has not exactly [`Rows::columns`] values.
    pub fn push(&mut self, row: &[f32]) {
        assert_eq!(
            row.len(),
            self.columns,
            "a row has as many values as the table has columns"
        );
        self.values.extend_from_slice(row);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at `index`.
    ///
    /// # Panics
    /// If there is none.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.columns..][..self.columns]
    }

    /// All rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.columns.max(1))
    }

    /// The value at a place.
    pub(crate) fn at(&self, row: usize, column: usize) -> f32 {
        self.values[row * self.columns + column]
    }
}

impl AsRef<[f32]> for Rows {
    fn as_ref(&self) -> &[f32] {
        &self.values
    }
}

impl<'a> IntoIterator for &'a Rows {
    type Item = &'a [f32];
    type IntoIter = std::slice::ChunksExact<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
