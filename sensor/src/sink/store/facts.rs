//! Facts that stand beside the rows: the ledger, the model, the inputs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

/// Facts that others want to have kept, by name; each replaces the one before.
#[derive(Clone, Debug, Default)]
pub struct Facts(Arc<Mutex<BTreeMap<String, Value>>>);

impl Facts {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a fact kept with the next transaction.
    pub fn put(&self, name: &str, value: Value) {
        self.waiting().insert(name.to_owned(), value);
    }

    /// Those that wait.
    pub(super) fn take(&self) -> BTreeMap<String, Value> {
        std::mem::take(&mut self.waiting())
    }

    /// Has facts wait again that could not be kept; what was put since is newer.
    pub(super) fn give_back(&self, facts: BTreeMap<String, Value>) {
        let mut waiting = self.waiting();
        for (name, value) in facts {
            waiting.entry(name).or_insert(value);
        }
    }
}
