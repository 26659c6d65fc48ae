//! What of a writer can be set anew while it runs, and where that is left for it.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Limits, Share};
use crate::time::Weekly;

/// What of a writer can be set anew while it runs.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How much is kept.
    pub limits: Limits,
    /// Which flows are kept.
    pub share: Share,
    /// Maintenance windows.
    pub windows: Vec<Weekly>,
}

/// Where other rules are left for a writer that runs; it takes them within a quarter of a second.
#[derive(Clone, Debug, Default)]
pub struct RuleBook(Arc<Mutex<Option<Rules>>>);

impl RuleBook {
    /// Leaves them, instead of those that were left and not taken yet.
    pub fn put(&self, rules: Rules) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rules);
    }

    /// What was left.
    pub(super) fn take(&self) -> Option<Rules> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
