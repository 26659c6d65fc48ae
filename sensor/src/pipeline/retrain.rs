//! A live sensor that trains anew: the learner's jobs run on a thread of their own, and packets never wait for them.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError, channel},
    },
    thread::{self, JoinHandle},
};

use model::{Model, Published};
use sensor_ebpf::flow::TimeNs;

use crate::{
    features::{MODEL_COLUMNS, TABLE},
    learn::{Decision, Learner, Settings},
    metrics::{Id, Metrics},
    score::{Incident, Scored},
};

/// How a live sensor learns on.
#[derive(Clone, Debug)]
pub struct Retraining {
    /// How.
    pub settings: Settings,
    /// File of what it remembers, so that a restart does not forget it; nothing keeps it in memory alone.
    pub memory: Option<PathBuf>,
}

/// What became of the file of what is remembered.
#[derive(Debug)]
pub enum Memory {
    /// So many rows of an earlier watch are remembered.
    Restored(usize),
    /// The file cannot be used, and nothing is remembered.
    Unusable(io::Error),
    /// It cannot be written.
    Unwritten(io::Error),
}

/// Traffic time between two times that memory is written.
const SAVE_NS: u64 = 10 * 60 * 1_000_000_000;

/// The learner with the training that is under way.
#[derive(Debug)]
pub(super) struct Retrain {
    learner: Learner,
    training: Option<Receiver<Option<Model>>>,
    memory: Option<PathBuf>,
    saving: Option<JoinHandle<io::Result<()>>>,
    saved: Option<TimeNs>,
}

impl Retrain {
    /// Begins with this model, and with what an earlier watch remembered.
    pub(super) fn new(how: &Retraining, model: &Model) -> (Self, Option<Memory>) {
        let mut learner = Learner::new(how.settings.clone(), Arc::new(model.clone()));
        let restored =
            how.memory
                .as_deref()
                .and_then(|path| match learner.reservoir_mut().restore(path) {
                    Ok(()) => Some(Memory::Restored(learner.reservoir().len())),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    Err(error) => Some(Memory::Unusable(error)),
                });
        let retrain = Self {
            learner,
            training: None,
            memory: how.memory.clone(),
            saving: None,
            saved: None,
        };
        (retrain, restored)
    }

    /// Another model is in use, by a person's choice.
    pub(super) fn adopt(&mut self, model: &Model) {
        // A training that is under way was for the one before; what it gives is not waited for.
        self.training = None;
        self.learner.challenge(None);
        self.learner.adopt(Arc::new(model.clone()));
    }

    /// Writes what is remembered every ten minutes, on a thread of its own.
    pub(super) fn remember(&mut self, now: TimeNs, metrics: &Metrics) -> Option<Memory> {
        let path = self.memory.as_ref()?;
        let done = self.saving.take_if(|saving| saving.is_finished());
        let written = done.map(outcome);
        if let Some(written) = &written {
            let result = if written.is_ok() { "written" } else { "failed" };
            metrics.add(Id::ReservoirSavesTotal, &[result], 1.0);
        }
        let since = *self.saved.get_or_insert(now);
        if self.saving.is_none() && now.saturating_sub(since) >= SAVE_NS {
            self.saved = Some(now);
            let (image, path) = (self.learner.reservoir().image(), path.clone());
            let begun = thread::Builder::new()
                .name("memory".to_owned())
                .spawn(move || image.write(&path));
            match begun {
                Ok(saving) => self.saving = Some(saving),
                Err(error) => return Some(Memory::Unwritten(error)),
            }
        }
        written.and_then(Result::err).map(Memory::Unwritten)
    }

    /// Writes what is remembered, at the end.
    pub(super) fn finish(&mut self) -> Option<Memory> {
        let path = self.memory.as_ref()?;
        if let Some(saving) = self.saving.take() {
            // What it wrote is written over.
            let _ = saving.join();
        }
        let written = self.learner.reservoir().save(path);
        written.err().map(Memory::Unwritten)
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

/// What became of what a thread wrote.
fn outcome(saving: JoinHandle<io::Result<()>>) -> io::Result<()> {
    saving
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that writes it ended")))
}
