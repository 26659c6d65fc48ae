//! What `run` puts into the store: what it would have had of the same traffic, had it been watched.

use std::{path::PathBuf, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::super::{fault::Fault, setup::Setup};
use crate::{
    features::Row,
    flow::FlowRecord,
    intel::Lists,
    pipeline::Summary,
    score::{Scored, explain},
    sink::{
        alert::{Alert, Stage},
        rollup::{Rollup, facts},
        store::{FileEntry, FlowEntry, Found, Profiles, Share, Store},
    },
};

/// Flows that are held in memory until they are stored, at most: the rarest of them.
const FLOWS: usize = 100_000;

/// Incidents stored that the alert budget kept back, at most: those for which most speaks.
const UNTOLD: usize = 1000;

/// Collects while flows are scored.
pub(super) struct Keep {
    share: Share,
    lists: Arc<Lists>,
    flows: Vec<Scored>,
    profiles: Profiles,
    rollup: Rollup,
    left_out: u64,
    first: u64,
    last: u64,
}

impl Keep {
    pub(super) fn new(setup: &Setup, lists: Arc<Lists>) -> Self {
        Self {
            share: setup.store_share(),
            lists,
            flows: Vec::new(),
            profiles: Profiles::new(),
            rollup: Rollup::new(),
            left_out: 0,
            first: u64::MAX,
            last: 0,
        }
    }

    pub(super) fn absorb(&mut self, scored: &Scored) {
        let (record, row): (&FlowRecord, &Row) = (&scored.record, &scored.row);
        self.rollup.absorb(record, row, Some(&scored.into()));
        self.profiles
            .absorb(record, Some((scored.p_value, scored.anomalous)));
        self.first = self.first.min(record.start());
        self.last = self.last.max(record.last());
        let sides = [record.source(), record.destination()];
        let is_listed = |side| self.lists.of_address(side).next().is_some();
        if self
            .share
            .keeps(scored.score, scored.p_value, scored.anomalous)
            || sides.into_iter().any(is_listed)
        {
            self.flows.push(scored.clone());
        }
        if self.flows.len() >= 2 * FLOWS {
            self.cut();
        }
    }

    /// The rarest stay.
    fn cut(&mut self) {
        if self.flows.len() > FLOWS {
            self.left_out += (self.flows.len() - FLOWS) as u64;
            self.flows.select_nth_unstable_by(FLOWS, |a, b| {
                let key = |scored: &Scored| (scored.record.start(), scored.record.id);
                a.p_value
                    .total_cmp(&b.p_value)
                    .then_with(|| key(a).cmp(&key(b)))
            });
            self.flows.truncate(FLOWS);
        }
    }

    /// Puts everything into the store.
    pub(super) fn store(
        mut self,
        setup: &Setup,
        inputs: &[PathBuf],
        summary: &Summary,
        model: &model::Model,
    ) -> Result<(), Fault> {
        self.cut();
        self.flows
            .sort_by_key(|scored| (scored.record.start(), scored.record.id));
        let names: Vec<String> = inputs
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let digest = {
            let mut text = names.join("\n");
            // Standard input has one name for all that comes.
            text.push_str(&format!(
                "\n{} {} {}",
                summary.pass.ledger.seen, self.first, self.last
            ));
            let digest = Sha256::digest(text.as_bytes());
            let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("run:{digits}")
        };
        let flows: Vec<FlowEntry> = self
            .flows
            .iter_mut()
            .zip(1..)
            .map(|(scored, line)| {
                if scored.reasons.is_empty() && scored.anomalous {
                    scored.reasons = explain(model, &scored.row);
                }
                let record = &scored.record;
                FlowEntry {
                    line,
                    intel: (self.lists).of_flow([record.source(), record.destination()]),
                    ..FlowEntry::judged(record, &*scored)
                }
            })
            .collect();
        let model_digest = model.digest();
        let alert = |incident| Alert {
            model: model_digest.get(..16).unwrap_or(&model_digest).to_owned(),
            ..Alert::of_flows(incident, Stage::New)
        };
        let muted = summary.muted().into_iter().map(|incident| Alert {
            stage: Stage::Progress,
            ..alert(incident)
        });
        let folder = setup.folder().join("evidence");
        let told = summary.told().into_iter().map(|incident| {
            let alert = alert(incident);
            let has_bundle = folder.join(&alert.id).is_dir();
            Alert {
                bundle: has_bundle.then(|| alert.id.clone()),
                ..alert
            }
        });
        let untold = summary.untold(UNTOLD).into_iter().map(|incident| Alert {
            stage: Stage::Untold,
            ..alert(incident)
        });
        let mut incidents: Vec<Alert> = told.chain(muted).chain(untold).collect();
        for alert in &mut incidents {
            alert.enrich(&self.lists);
        }
        let file = FileEntry {
            path: names.join(", "),
            digest,
            size_bytes: summary.pass.replay.bytes,
            offset_bytes: summary.pass.replay.bytes,
            records: summary.flows,
            lost: 0,
            last_ns: self.last,
            model: model_digest,
        };
        self.rollup
            .note("ledger", facts::ledger(&summary.pass.ledger));
        self.rollup.note("model", facts::model(model));
        self.rollup.note("inputs", serde_json::json!(names));
        let mut store = Store::open(&setup.store_path(), setup.store_limits())?;
        store.add_run(
            &file,
            Found {
                flows: &flows,
                incidents: &incidents,
                mutes: &summary.mutes,
                profiles: &mut self.profiles,
                rollup: &mut self.rollup,
            },
        )?;
        if self.left_out > 0 {
            setup.note(&format!(
                "warning: {} telling flows beyond {FLOWS} were not kept in the store, the least rare ones",
                self.left_out
            ));
        }
        Ok(())
    }
}
