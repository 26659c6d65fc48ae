//! Publication of a model: swapped in without a lock, pinned once per batch.

use crate::Model;
use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;

/// The model in use. Any number of readers; a swap waits for none of them, and none of them for a swap.
#[derive(Debug)]
pub struct Published {
    current: ArcSwap<Model>,
}

/// A model pinned by a reader: it stays whole, and stays the same, until the pin is dropped.
#[derive(Debug)]
pub struct Pin(Guard<Arc<Model>>);

impl Published {
    /// Publishes the first model.
    pub fn new(model: Model) -> Self {
        Self {
            current: ArcSwap::from_pointee(model),
        }
    }

    /// Pins the model in use; once per batch.
    pub fn pin(&self) -> Pin {
        Pin(self.current.load())
    }

    /// Puts a new model in use and returns the old one. Batches already pinned finish on the old.
    pub fn publish(&self, model: Model) -> Arc<Model> {
        self.current.swap(Arc::new(model))
    }
}

impl std::ops::Deref for Pin {
    type Target = Model;

    fn deref(&self) -> &Model {
        &self.0
    }
}
