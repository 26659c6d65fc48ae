//! The stages behind the capture, put together, and what is noted about them.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
};

use model::Model;
use sensor::{
    capture::Epoch,
    features,
    flow::{FlowEndReason, Stats},
    pipeline::{Batch, Sample, Settings, Stages},
    score::{Incident, IncidentSettings, Incidents, Judge, Kind, Scored},
};
use sensor_ebpf::maps::Ledger;

use crate::traffic::{SECOND, START, epochs, ordinary};

/// A model of ordinary traffic.
pub(crate) fn learn(settings: &Settings) -> Model {
    let mut stages = Stages::new(settings);
    let mut sample = Sample::new(20_000, 0, false);
    let mut batch = Batch::new();
    epochs(
        ordinary(1, START - 200 * SECOND, 60, 40).into_iter(),
        settings.epoch_flows,
        false,
        |epoch| {
            stages.observe(epoch, &mut batch);
        },
    );
    stages.finish(&mut batch);
    for (record, row) in &batch {
        sample.offer(record, row);
    }
    let (rows, _) = sample.into_rows();
    Model::train(&rows, &features::schema(), &model::Settings::default()).unwrap()
}

/// A sensor, and what was seen of it from outside.
pub(crate) struct Attacked<'a> {
    stages: Stages,
    model: &'a Model,
    judge: Judge,
    incidents: Incidents,
    batch: Batch,
    scored: Vec<Scored>,
    pub(crate) packets_in_records: u64,
    pub(crate) packets_in_aggregates: u64,
    pub(crate) half_open_most: u32,
    /// Completed flows that ended for want of room.
    pub(crate) cut_short: u64,
    was_pressed: bool,
    /// Epoch at whose end the pressure was over last.
    pub(crate) relieved: Option<u64>,
    hasher: DefaultHasher,
}

impl<'a> Attacked<'a> {
    pub(crate) fn new(settings: &Settings, model: &'a Model) -> Self {
        Self {
            stages: Stages::new(settings),
            model,
            judge: Judge::default(),
            incidents: Incidents::new(IncidentSettings::default()),
            batch: Batch::new(),
            scored: Vec::new(),
            packets_in_records: 0,
            packets_in_aggregates: 0,
            half_open_most: 0,
            cut_short: 0,
            was_pressed: false,
            relieved: None,
            hasher: DefaultHasher::new(),
        }
    }

    pub(crate) fn observe(&mut self, epoch: &Epoch) {
        self.stages.observe(epoch, &mut self.batch);
        let (is_pressed, half_open) = self.stages.pressure();
        self.half_open_most = self.half_open_most.max(half_open);
        if self.was_pressed && !is_pressed {
            self.relieved = Some(epoch.index);
        }
        self.was_pressed = is_pressed;
        self.digest_batch();
    }

    pub(crate) fn finish(&mut self) {
        self.stages.finish(&mut self.batch);
        self.digest_batch();
    }

    fn digest_batch(&mut self) {
        self.judge
            .judge(self.model, &mut self.batch, &mut self.scored);
        for mut found in self.scored.drain(..) {
            self.incidents.absorb(&mut found, self.model);
            (found.record.id, found.record.due, found.score.to_bits()).hash(&mut self.hasher);
            if !found.record.is_final() {
                continue;
            }
            self.packets_in_records += found.record.counters.packets();
            let completed = found.record.orig().packets > 0 && found.record.resp().packets > 1;
            let no_room = found.record.end == Some(FlowEndReason::LackOfResources);
            self.cut_short += u64::from(completed && no_room);
        }
        let rest: Vec<_> = self.stages.aggregates().collect();
        self.packets_in_aggregates += rest.iter().map(|part| part.packets).sum::<u64>();
        for part in &rest {
            (part.prefix, part.flows, part.packets).hash(&mut self.hasher);
        }
        self.incidents.absorb_rest(rest);
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        self.stages.ledger()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stages.flow_stats()
    }

    /// Host and flows of each incident of a kind.
    pub(crate) fn incidents_of(&self, kind: Kind) -> Vec<(u32, u64)> {
        let ranked = self.incidents.ranked();
        let of_kind = ranked.iter().filter(|incident| incident.kind == kind);
        of_kind
            .map(|incident| {
                let IpAddr::V4(address) = incident.subject.address else {
                    panic!("no IPv6 here");
                };
                (address.to_bits(), incident.flows)
            })
            .collect()
    }

    /// All incidents, in the order of their evidence.
    pub(crate) fn incidents(&self) -> Vec<&Incident> {
        self.incidents.ranked()
    }

    /// Of everything that was decided, in order.
    pub(crate) fn digest(&self) -> u64 {
        self.hasher.finish()
    }
}
