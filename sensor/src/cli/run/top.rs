//! What a report shows of the flows themselves.

use std::cmp::Reverse;

use model::Model;

use crate::{
    score::{Scored, explain},
    sink::report::Tally,
};

/// The most anomalous flows so far.
pub(in crate::cli) struct Top {
    most: usize,
    flows: Vec<Scored>,
    /// What a report says of all flows.
    pub(super) tally: Tally,
}

impl Top {
    pub(in crate::cli) fn new(most: usize) -> Self {
        Self {
            most,
            flows: Vec::new(),
            tally: Tally::default(),
        }
    }

    pub(in crate::cli) fn offer(&mut self, scored: &Scored) {
        self.tally.absorb(scored);
        if scored.record.key.is_arp() {
            return;
        }
        let key = |scored: &Scored| {
            (
                Reverse(scored.score.to_bits()),
                scored.record.start(),
                scored.record.id,
            )
        };
        if self.flows.len() == self.most
            && self
                .flows
                .last()
                .is_none_or(|last| key(last) <= key(scored))
        {
            return;
        }
        let at = self.flows.partition_point(|kept| key(kept) <= key(scored));
        self.flows.insert(at, scored.clone());
        self.flows.truncate(self.most);
    }

    pub(in crate::cli) fn explained(mut self, model: &Model) -> Vec<Scored> {
        for scored in &mut self.flows {
            if scored.reasons.is_empty() {
                scored.reasons = explain(model, &scored.row);
            }
        }
        self.flows
    }
}
