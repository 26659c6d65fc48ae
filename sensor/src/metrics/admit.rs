//! Which series there may be: label values of the declared sets, and of free labels (an interface, a reason) a bounded
//! number. Whatever a caller does, what Prometheus has to keep stays bounded, and what was refused is counted.

use std::{
    collections::HashSet,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use super::declared::{Kind, Metric};

/// Series that a family with a free label may have, at most.
pub const MOST_SERIES: usize = 256;
/// Bytes of a free label's value, at most; a longer one is cut.
const LONGEST_VALUE: usize = 128;
/// Labels of a family, at most.
const MOST_LABELS: usize = 4;

/// Why a series was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its family has [`MOST_SERIES`] others.
    TooMany,
    /// Its labels are not those declared: a defect.
    Undeclared,
}

impl Refusal {
    /// Their names.
    pub(super) const NAMES: &[&str] = &["too_many", "undeclared"];

    /// Name as a label.
    pub(super) const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Series of one family that were admitted, where they must be counted.
#[derive(Clone, Debug)]
pub(super) struct Admitted(Option<Arc<Mutex<HashSet<Vec<String>>>>>);

impl Admitted {
    /// None yet.
    pub(super) fn new(metric: &Metric) -> Self {
        let free = metric.labels.iter().any(|label| label.values.is_empty());
        Self(free.then(Arc::default))
    }

    /// The labels as they are exposed, or why they are not. Nothing is allocated where all of them are of closed sets.
    pub(super) fn admit<'l>(
        &self,
        metric: &Metric,
        labels: &[&'l str],
    ) -> Result<Labels<'l>, Refusal> {
        let declared = metric.labels;
        let fits = declared.len() == labels.len()
            && declared
                .iter()
                .zip(labels)
                .all(|(label, value)| label.values.is_empty() || label.values.contains(value));
        if !fits {
            return Err(Refusal::Undeclared);
        }
        let mut exposed = Labels {
            values: [""; MOST_LABELS],
            number: labels.len(),
        };
        for (to, value) in exposed.values.iter_mut().zip(labels) {
            *to = &value[..value.floor_char_boundary(LONGEST_VALUE)];
        }
        if let Some(admitted) = &self.0 {
            let key: Vec<String> = exposed.iter().map(|&value| value.to_owned()).collect();
            let mut admitted = admitted.lock().unwrap_or_else(PoisonError::into_inner);
            if !admitted.contains(&key) {
                if admitted.len() >= MOST_SERIES {
                    return Err(Refusal::TooMany);
                }
                admitted.insert(key);
            }
        }
        Ok(exposed)
    }

    /// The family was emptied.
    pub(super) fn forget(&self) {
        if let Some(admitted) = &self.0 {
            admitted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
        }
    }
}

/// Values of the labels of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Labels<'l> {
    values: [&'l str; MOST_LABELS],
    number: usize,
}

impl<'l> Deref for Labels<'l> {
    type Target = [&'l str];

    fn deref(&self) -> &Self::Target {
        &self.values[..self.number]
    }
}

impl Metric {
    /// Label values of every series that the declaration names; none where a label is free.
    pub(super) fn closed_series(&self) -> Vec<Vec<&'static str>> {
        let mut series = vec![Vec::new()];
        for label in self.labels {
            series = series
                .iter()
                .flat_map(|before: &Vec<&'static str>| {
                    label.values.iter().map(move |value| {
                        let mut labels = before.clone();
                        labels.push(*value);
                        labels
                    })
                })
                .collect();
        }
        series
    }

    /// Series that it may come to, each bucket of a histogram being one.
    pub fn most_series(&self) -> usize {
        let free = self.labels.iter().any(|label| label.values.is_empty());
        let families = if free {
            MOST_SERIES
        } else {
            self.closed_series().len()
        };
        match self.kind {
            // Its buckets, the one without an end, sum and count.
            Kind::Histogram(ends) => families * (ends.len() + 3),
            Kind::Counter | Kind::Gauge => families,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Id, METRICS};

    #[test]
    fn what_is_not_declared_is_refused() {
        let metric = &METRICS[Id::PacketsTotal as usize];
        let admitted = Admitted::new(metric);
        assert!(admitted.admit(metric, &["counted"]).is_ok());
        for labels in [&["10.0.0.1"][..], &[], &["counted", "counted"]] {
            assert_eq!(admitted.admit(metric, labels), Err(Refusal::Undeclared));
        }
    }

    #[test]
    fn every_family_has_few_labels() {
        for metric in METRICS {
            assert!(metric.labels.len() <= MOST_LABELS, "{}", metric.name);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_two_letters() {
        let metric = &METRICS[Id::CaptureModeInfo as usize];
        let admitted = Admitted::new(metric);
        let reason = "ü".repeat(1000);
        let labels = admitted.admit(metric, &["eth0", "tcx", &reason]).unwrap();
        assert!(labels[2] == "ü".repeat(LONGEST_VALUE / 2));
        // The same text is the same series.
        for _ in 0..2 * MOST_SERIES {
            assert!(admitted.admit(metric, &["eth0", "tcx", &reason]).is_ok());
        }
    }
}
