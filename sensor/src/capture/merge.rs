//! Several captures as one, in order of time. A file is open only while it is its turn: a folder of ten thousand
//! rotated captures needs no more memory and file handles than the few that overlap in time.

use std::{cmp::Reverse, collections::BinaryHeap, path::PathBuf};

use sensor_ebpf::flow::TimeNs;

use super::{
    CaptureError,
    container::{Container, Damage},
    input,
};

/// One of the captures.
pub(super) struct Input {
    pub(super) path: PathBuf,
    /// Packets taken from it.
    pub(super) packets: u64,
    pub(super) damage: Option<Damage>,
    /// `None` before its turn, and after its end.
    container: Option<Container>,
}

/// The captures and whose turn it is.
pub(super) struct Merge {
    inputs: Vec<Input>,
    /// Time of the next packet of each capture that is not the current one and has not ended. Of equal times the
    /// capture named first goes first, so that a merge does not depend on chance.
    waiting: BinaryHeap<Reverse<(TimeNs, usize)>>,
    current: Option<usize>,
}

/// A capture whose turn it is.
pub(super) struct Turn<'a> {
    pub(super) container: &'a mut Container,
    pub(super) packets: &'a mut u64,
    pub(super) path: &'a PathBuf,
    /// Its packets up to this time come before those of all others.
    pub(super) until: TimeNs,
}

impl Merge {
    /// Opens each capture once, to see that it is one and when it begins.
    pub(super) fn open(paths: Vec<PathBuf>) -> Result<Self, CaptureError> {
        let mut merge = Self {
            inputs: Vec::with_capacity(paths.len()),
            waiting: BinaryHeap::with_capacity(paths.len()),
            current: None,
        };
        for path in paths {
            let container = input::open(&path)?;
            if let Some(time) = container.time() {
                merge.waiting.push(Reverse((time, merge.inputs.len())));
            }
            merge.inputs.push(Input {
                packets: 0,
                damage: container.damage().cloned(),
                // Standard input and pipes cannot be opened again.
                container: (input::is_standard_input(&path) || !path.is_file())
                    .then_some(container),
                path,
            });
        }
        Ok(merge)
    }

    pub(super) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The capture with the earliest packet, or `None` after the last.
    pub(super) fn turn(&mut self) -> Result<Option<Turn<'_>>, CaptureError> {
        if let Some(index) = self.current.take() {
            let input = &mut self.inputs[index];
            let container = input.container.as_ref();
            match container.and_then(Container::time) {
                Some(time) => self.waiting.push(Reverse((time, index))),
                None => {
                    input.damage = container.and_then(Container::damage).cloned();
                    input.container = None;
                }
            }
        }
        let Some(Reverse((_, index))) = self.waiting.pop() else {
            return Ok(None);
        };
        self.current = Some(index);
        let until = match self.waiting.peek() {
            None => TimeNs::MAX,
            Some(Reverse((time, other))) if index < *other => *time,
            // Ties are the other's. Its time is not 0: this one's is smaller.
            Some(Reverse((time, _))) => time - 1,
        };
        let input = &mut self.inputs[index];
        let container = match &mut input.container {
            Some(container) => container,
            closed => closed.insert(input::open(&input.path)?),
        };
        Ok(Some(Turn {
            container,
            packets: &mut input.packets,
            path: &input.path,
            until,
        }))
    }
}
