//! Conditions of a search, put together with their values apart: nothing of the outside becomes SQL.

use rusqlite::{ParamsFromIter, params_from_iter, types::Value};

use crate::score::HostMatch;

/// Conditions that all have to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Query {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A condition with one value, which stands as `?` in it.
    pub(super) fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.conditions.push(condition.to_owned());
        self.values.push(value.into());
    }

    /// A condition without a value.
    pub(super) fn and_is(&mut self, condition: &str) {
        self.conditions.push(condition.to_owned());
    }

    /// A condition with one of some values.
    pub(super) fn one_of(&mut self, column: &str, values: impl IntoIterator<Item = Value>) {
        let before = self.values.len();
        self.values.extend(values);
        let marks = vec!["?"; self.values.len() - before].join(", ");
        self.conditions.push(format!("{column} IN ({marks})"));
    }

    /// The address in this column is meant. Names are no addresses.
    pub(super) fn host(&mut self, column: &str, host: &HostMatch) {
        match host {
            HostMatch::Range { low, high } if low == high => {
                self.and(&format!("{column} = ?"), low.to_vec());
            }
            HostMatch::Range { low, high } => {
                self.and(&format!("{column} >= ?"), low.to_vec());
                self.and(&format!("{column} <= ?"), high.to_vec());
            }
            HostMatch::Name(_) => self.conditions.push("0".to_owned()),
        }
    }

    /// The address in this column is not meant.
    pub(super) fn not_host(&mut self, column: &str, host: &HostMatch) {
        if let HostMatch::Range { low, high } = host {
            self.conditions
                .push(format!("NOT ({column} >= ? AND {column} <= ?)"));
            self.values
                .extend([low.to_vec().into(), high.to_vec().into()]);
        }
    }

    /// `WHERE ...`, or nothing.
    pub(super) fn clause(&self) -> String {
        if self.conditions.is_empty() {
            String::new()
        } else {
            format!("WHERE {}", self.conditions.join(" AND "))
        }
    }

    /// The values, in the order of their marks.
    pub(super) fn parameters(&self) -> ParamsFromIter<std::slice::Iter<'_, Value>> {
        params_from_iter(self.values.iter())
    }
}
