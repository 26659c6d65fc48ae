//! Live traffic: learn a baseline if there is no model, then score every flow as it becomes due.

mod tell;

use std::sync::{Arc, mpsc::Receiver};

use hdrhistogram::Histogram;
use model::{Model, Published};
use sensor_ebpf::{flow::EPOCH_SHIFT, maps::Ledger};

use super::{
    Batch, Coverage, Error, Learning, Listener, Sample, Settings, Stages, Watched,
    evidence::{LiveSettings, Recorder},
    report::{
        report_drain, report_fragments, report_incidents, report_latency, report_ledger,
        report_stages, report_traffic,
    },
    retrain::Retrain,
    source::LiveCapture,
};
use crate::{
    capture::{Epoch, Progress},
    features,
    metrics::{Id, Metrics},
    score::{Budget, BudgetSettings, IncidentSettings, Incidents, Judge, MuteBoard, Scored},
    time,
};

/// Fewest rows worth learning from when the time for it is over.
const FEWEST: usize = 200;
/// Packet time after which an incident without new flows is over: what comes later is another.
const INCIDENT_OVER_NS: u64 = 30 * 60 * 1_000_000_000;
/// Epochs between two looks for incidents that are over: half a minute.
const SWEEP_EPOCHS: u64 = 64;
/// Epochs between two tellings of what moved, to those who keep a list: two seconds.
const MOVED_EPOCHS: u64 = 4;

/// What of a watch can be set anew while it goes on.
#[derive(Clone, Debug)]
pub struct Adjustment {
    /// How many incidents to tell.
    pub alerts: BudgetSettings,
    /// How evidence is kept, where it is.
    pub evidence: LiveSettings,
}

/// A live sensor.
pub struct Watch<'a> {
    stages: Stages,
    judge: Judge,
    incidents: Incidents,
    budget: Budget,
    mutes: MuteBoard,
    model: Option<Arc<Published>>,
    sample: Option<Sample>,
    retrain: Option<Retrain>,
    replacements: Option<Receiver<Model>>,
    adjustments: Option<Receiver<Adjustment>>,
    learning: &'a Learning,
    metrics: &'a Metrics,
    latency: Histogram<u64>,
    batch: Batch,
    scored: Vec<Scored>,
    was_pressed: bool,
    began: Option<u64>,
    watched: Watched,
    recorder: Option<Recorder>,
    coverage: Coverage,
}

impl<'a> Watch<'a> {
    /// Nothing seen yet. Without a model, a baseline is learned first.
    ///
    /// # Panics
    /// Never: the bounds of the latency histogram are constant and valid.
    pub fn new(
        settings: &Settings,
        model: Option<Arc<Published>>,
        learning: &'a Learning,
        metrics: &'a Metrics,
    ) -> Self {
        let training = &learning.training;
        let sample = model.is_none().then(|| {
            Sample::new(
                training.rows.max(learning.flows),
                training.model.seed,
                training.trusting,
            )
        });
        metrics.set(Id::LearningRatio, &[], f64::from(u8::from(model.is_some())));
        Self {
            stages: Stages::new(settings),
            judge: Judge::default(),
            incidents: Incidents::new(IncidentSettings {
                hold_rate: settings.hold_rate,
                ..IncidentSettings::default()
            }),
            budget: Budget::new(&settings.alerts.unwrap_or_default()),
            mutes: MuteBoard::default(),
            retrain: None,
            replacements: None,
            adjustments: None,
            model,
            sample,
            learning,
            metrics,
            // One microsecond to ten minutes, three digits.
            latency: Histogram::new_with_bounds(1, 600_000_000, 3).expect("valid bounds"),
            batch: Batch::new(),
            scored: Vec::new(),
            was_pressed: false,
            began: None,
            watched: Watched {
                ledger: Ledger::default(),
                seconds: 0.0,
                flows: 0,
                anomalous: 0,
                incidents: 0,
                told: 0,
                has_model: false,
            },
            recorder: None,
            coverage: Coverage::default(),
        }
    }

    /// Has it take models that come this way in use, each between two batches of flows.
    #[must_use]
    pub fn heeding(mut self, replacements: Receiver<Model>) -> Self {
        self.replacements = Some(replacements);
        self
    }

    /// Has it take other settings that come this way, each between two batches of flows.
    #[must_use]
    pub fn adjusting(mut self, adjustments: Receiver<Adjustment>) -> Self {
        self.adjustments = Some(adjustments);
        self
    }

    /// Has it keep quiet of what is muted on this board, as that changes.
    #[must_use]
    pub fn muting(mut self, mutes: MuteBoard) -> Self {
        self.mutes = mutes;
        self
    }

    /// Has it keep evidence of what it tells.
    #[must_use]
    pub fn recording(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Watches until the capture ends.
    ///
    /// # Errors
    /// The capture failed, or the baseline cannot be learned.
    pub fn run(
        mut self,
        source: &mut dyn LiveCapture,
        publish: &mut dyn FnMut(Model) -> Arc<Published>,
        listener: &mut dyn Listener,
    ) -> Result<Watched, Error> {
        let mut epoch = Epoch::default();
        while source.next_epoch(&mut epoch)? == Progress::Epoch {
            let received = time::now();
            let health = source.health();
            let due = (epoch.index + 1) << EPOCH_SHIFT;
            let lateness = received
                .saturating_add_signed(-health.drift_ns)
                .saturating_sub(due);
            self.began.get_or_insert(epoch.index);
            self.stages.observe(&epoch, &mut self.batch);
            self.coverage.add(epoch.index, &epoch.ledger);
            let (is_pressed, _) = self.stages.pressure();
            if is_pressed != self.was_pressed {
                self.was_pressed = is_pressed;
                listener.pressed(is_pressed, &self.stages.flow_stats());
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.collect(source);
            }
            self.digest(epoch.index, publish, listener)?;
            if let Some(recorder) = &mut self.recorder {
                recorder.ask(source);
                if let Some(error) = recorder.turn(Some(epoch.index)) {
                    listener.unkept(&error);
                }
                recorder.report(self.metrics);
            }
            listener.epoch();
            let processing = time::now().saturating_sub(received);
            self.latency
                .saturating_record((lateness + processing) / 1000);
            report_ledger(self.metrics, &epoch.ledger);
            report_fragments(self.metrics, &epoch.fragments);
            report_traffic(self.metrics, &epoch);
            report_drain(self.metrics, &health, lateness, processing);
            report_latency(self.metrics, &self.latency);
            report_stages(self.metrics, &self.stages);
            report_incidents(self.metrics, &self.incidents);
        }
        self.stages.finish(&mut self.batch);
        let last = epoch.index;
        self.digest(last, publish, listener)?;
        if let Some(published) = self.model.clone() {
            self.pass_on(&published.pin(), listener);
        }
        if let Some(recorder) = &mut self.recorder {
            if let Some(error) = recorder.turn(None) {
                listener.unkept(&error);
            }
            recorder.report(self.metrics);
        }
        if let Some(memory) = self.retrain.as_mut().and_then(Retrain::finish) {
            listener.memory(&memory);
        }
        listener.epoch();
        self.watched.ledger = *self.stages.ledger();
        self.watched.seconds = self.stages.covered_seconds();
        self.watched.told = self.budget.stats().alerts;
        self.watched.has_model = self.model.is_some();
        Ok(self.watched)
    }

    /// Begins to learn on from what the model in use scores.
    fn learn_on(&mut self, listener: &mut dyn Listener) {
        if let (None, Some(how), Some(model)) = (&self.retrain, &self.learning.retrain, &self.model)
        {
            let (retrain, memory) = Retrain::new(how, &model.pin());
            self.retrain = Some(retrain);
            if let Some(memory) = memory {
                listener.memory(&memory);
            }
        }
    }

    /// Puts a model in use that a person chose, if there is one: before a batch is scored, so that each flow has a score,
    /// and all of a batch by one model.
    fn replace(&mut self, listener: &mut dyn Listener) {
        let Some(new) = (self.replacements.as_ref()).and_then(|new| new.try_iter().last()) else {
            return;
        };
        match &self.model {
            Some(published) if published.pin().digest() == new.digest() => {}
            Some(published) => {
                if let Some(retrain) = &mut self.retrain {
                    retrain.adopt(&new);
                }
                listener.replaced(&new);
                published.publish(new);
            }
            None => {
                // Instead of the baseline that was being learned.
                self.sample = None;
                self.metrics.set(Id::LearningRatio, &[], 1.0);
                listener.replaced(&new);
                self.model = Some(Arc::new(Published::new(new)));
            }
        }
    }

    /// Takes the settings that came last, if any did.
    fn adjust(&mut self) {
        let Some(new) = (self.adjustments.as_ref()).and_then(|new| new.try_iter().last()) else {
            return;
        };
        self.budget.adjust(&new.alerts);
        if let Some(recorder) = &mut self.recorder {
            recorder.adjust(new.evidence);
        }
    }

    /// Learns from the batch or scores it.
    fn digest(
        &mut self,
        epoch: u64,
        publish: &mut dyn FnMut(Model) -> Arc<Published>,
        listener: &mut dyn Listener,
    ) -> Result<(), Error> {
        self.adjust();
        self.replace(listener);
        self.learn_on(listener);
        if let Some(published) = &self.model {
            let model = published.pin();
            self.judge.judge(&model, &mut self.batch, &mut self.scored);
            self.tell(&model, epoch, listener);
            self.turn(epoch, listener);
            return Ok(());
        }
        self.stages.aggregates();
        let Some(sample) = &mut self.sample else {
            return Ok(());
        };
        for (record, row) in self.batch.drain(..) {
            sample.offer(&record, &row);
            if record.is_final() {
                self.watched.flows += 1;
                listener.flow(&record, &row, None);
            }
        }
        let (have, want) = (sample.len(), self.learning.flows);
        listener.learning(have, want);
        let elapsed = (epoch + 1 - self.began.unwrap_or(epoch)) << EPOCH_SHIFT;
        let over = self
            .learning
            .time
            .is_some_and(|most| u128::from(elapsed) >= most.as_nanos());
        let ratio = (have as f64 / want as f64).min(1.0);
        self.metrics.set(Id::LearningRatio, &[], ratio);
        if have < want && !(over && have >= FEWEST) {
            return Ok(());
        }
        let Some(sample) = self.sample.take() else {
            return Ok(());
        };
        let (rows, _) = sample.into_rows();
        let model = Model::train(&rows, &features::schema(), &self.learning.training.model)?;
        listener.learned(&model);
        self.metrics.set(Id::LearningRatio, &[], 1.0);
        self.model = Some(publish(model));
        Ok(())
    }

    fn turn(&mut self, epoch: u64, listener: &mut dyn Listener) {
        if !epoch.is_multiple_of(SWEEP_EPOCHS) {
            return;
        }
        let now = (epoch + 1) << EPOCH_SHIFT;
        if let (Some(retrain), Some(published)) = (&mut self.retrain, &self.model) {
            if let Some(decision) = retrain.turn(now, published, self.metrics) {
                listener.decided(&decision);
            }
            if let Some(memory) = retrain.remember(now, self.metrics) {
                listener.memory(&memory);
            }
        }
    }
}
