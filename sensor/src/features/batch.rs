//! Flows that became due, with their rows.

use std::ops::RangeFull;

use super::{COUNT, Row};
use crate::flow::{FlowRecord, Note};

/// Flows that became due, with their features, in order. Records and rows lie in tables of their own, so that both are
/// written where they stay; what was emptied is written over.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    records: Vec<FlowRecord>,
    notes: Vec<Note>,
    /// At least as many as records.
    rows: Vec<Row>,
}

impl Batch {
    /// Without a flow.
    pub const fn new() -> Self {
        Self {
            records: Vec::new(),
            notes: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Flows in it.
    pub fn len(&self) -> usize {
        self.notes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Forgets them all, and keeps the memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.notes.clear();
    }

    /// Appends a flow from somewhere else.
    pub fn push(&mut self, (record, row): (FlowRecord, Row)) {
        self.rows.truncate(self.len());
        self.records.push(record);
        self.notes.push(Note::NONE);
        self.rows.push(row);
    }

    /// The records, in order.
    pub fn records(&self) -> &[FlowRecord] {
        &self.records
    }

    /// What the flow table knows beside each of the records.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// A row for each of the records.
    pub fn rows(&self) -> &[Row] {
        &self.rows[..self.len()]
    }

    /// Each flow with its row, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&FlowRecord, &Row)> {
        self.records.iter().zip(self.rows())
    }

    /// Each flow with its row, in order.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&mut FlowRecord, &mut Row)> {
        self.records.iter_mut().zip(&mut self.rows)
    }

    /// Hands each flow with its row over, in order. All of them: of a part there was never need.
    pub fn drain(&mut self, _: RangeFull) -> impl ExactSizeIterator<Item = (FlowRecord, Row)> {
        self.notes.clear();
        self.records.drain(..).zip(self.rows.iter().copied())
    }

    /// Where the flow table puts records that are due; each is then given a row by [`Self::next`].
    pub(crate) fn due(&mut self) -> &mut Vec<FlowRecord> {
        &mut self.records
    }

    /// The first record that has no row yet, and where its row is to be put.
    #[inline]
    pub(crate) fn next(&mut self, note: Note) -> (&FlowRecord, &mut Row) {
        let at = self.len();
        if self.rows.len() == at {
            self.rows.push([0.0; COUNT]);
        }
        self.notes.push(note);
        (&self.records[at], &mut self.rows[at])
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = (&'a FlowRecord, &'a Row);
    type IntoIter = std::iter::Zip<std::slice::Iter<'a, FlowRecord>, std::slice::Iter<'a, Row>>;

    fn into_iter(self) -> Self::IntoIter {
        self.records.iter().zip(self.rows())
    }
}
