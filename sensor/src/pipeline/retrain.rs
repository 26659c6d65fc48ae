//! A live sensor that trains anew: the learner's jobs run on a thread of their own, and packets never wait for them.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError, channel},
    },
    thread,
};

use model::{Model, Published};
use sensor_ebpf::flow::TimeNs;

use crate::{
    features::{MODEL_COLUMNS, TABLE},
    learn::{Decision, Learner, Settings},
    metrics::{Id, Metrics},
    score::{Incident, Scored},
};

/// The learner with the training that is under way.
#[derive(Debug)]
pub(super) struct Retrain {
    learner: Learner,
    training: Option<Receiver<Option<Model>>>,
}

impl Retrain {
    pub(super) fn new(settings: &Settings, model: &Model) -> Self {
        Self {
            learner: Learner::new(settings.clone(), Arc::new(model.clone())),
            training: None,
        }
    }

    pub(super) fn observe(&mut self, scored: &Scored) {
        self.learner.observe(scored);
    }

    pub(super) fn heed(&mut self, incident: &Incident, now: TimeNs) {
        self.learner.heed(incident, now);
    }

    /// Begins what is due, takes what is done, and puts in use what was decided. A swap is between two batches: no flow
    /// goes unscored.
    pub(super) fn turn(
        &mut self,
        now: TimeNs,
        published: &Published,
        metrics: &Metrics,
    ) -> Option<Decision> {
        if let Some(training) = &self.training {
            match training.try_recv() {
                Err(TryRecvError::Empty) => {}
                Ok(model) => {
                    self.learner.challenge(model);
                    self.training = None;
                }
                // The thread is gone without a word: there is no challenger.
                Err(TryRecvError::Disconnected) => {
                    self.learner.challenge(None);
                    self.training = None;
                }
            }
        }
        if let Some(job) = self.learner.job(now) {
            let (done, training) = channel();
            let begun = thread::Builder::new()
                .name("training".to_owned())
                .spawn(move || {
                    let model = job
                        .train()
                        .inspect_err(|error| log::warn!("training: {error}"));
                    // Nobody waits any more: the sensor is ending.
                    let _ = done.send(model.ok());
                });
            match begun {
                Ok(_) => self.training = Some(training),
                Err(error) => {
                    log::warn!("training: {error}");
                    self.learner.challenge(None);
                }
            }
        }
        let decision = self.learner.decide(now);
        if let Some(Decision::Promoted(model) | Decision::RolledBack(model, _)) = &decision {
            published.publish(Model::clone(model));
        }
        self.report(metrics, decision.as_ref());
        decision
    }

    fn report(&self, metrics: &Metrics, decision: Option<&Decision>) {
        let stats = self.learner.stats();
        for (state, rows) in [
            ("learned", stats.learned),
            ("waited", stats.waited),
            ("habit", stats.habits),
            ("refused", stats.refused),
        ] {
            metrics.total(Id::LearnRowsTotal, &[state], rows as f64);
        }
        let held = self.learner.reservoir().len();
        metrics.set(Id::ReservoirRows, &[], held as f64);
        let drift = self.learner.drift();
        metrics.set(Id::DriftDistance, &[], drift.distance());
        metrics.set(Id::DriftMovedRatio, &[], drift.moved());
        for (column, feature) in MODEL_COLUMNS.iter().enumerate() {
            let name = TABLE[*feature].name;
            metrics.set(Id::DriftIndex, &[name], drift.index(column));
        }
        let name = match decision {
            Some(Decision::Promoted(_)) => "promoted",
            Some(Decision::Refused(_)) => "refused",
            Some(Decision::RolledBack(..)) => "rolled_back",
            None => return,
        };
        metrics.add(Id::ModelDecisionsTotal, &[name], 1.0);
    }
}
