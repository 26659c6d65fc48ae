//! Captures from files, once through: flows with features, a sample to train on, or verdicts.

use std::{path::PathBuf, sync::Arc};

use model::{Model, TrainError};
use sensor_ebpf::maps::Ledger;

use super::{Batch, Sample, Settings, Stages};
use crate::{
    capture::{
        Capture, CaptureError, Epoch, Progress, Stop,
        replay::{self, Replay},
    },
    features,
    flow::{self, Aggregate, FlowRecord},
    score::{self, Budget, Incident, IncidentSettings, Incidents, Judge, Mutes, Scored},
};

/// Why a pass over captures ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A capture cannot be opened or read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// There is nothing to learn from.
    #[error("cannot train: {0}")]
    Train(#[from] TrainError),
    /// No flow at all.
    #[error(
        "no IP traffic in {inputs}: {packets} frames read, {rejected} of them not IP or malformed; \
         nothing to learn from"
    )]
    NoFlows {
        /// The inputs.
        inputs: String,
        /// Frames read.
        packets: u64,
        /// Frames that are in no flow.
        rejected: u64,
    },
    /// A table of features cannot be used.
    #[error(transparent)]
    Table(#[from] super::TableError),
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

/// How far a pass has come, for a progress bar.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tick {
    /// Captured bytes read.
    pub bytes: u64,
    /// Frames read.
    pub packets: u64,
    /// Flow records handed on, checkpoints included.
    pub rows: u64,
}

/// What one pass over captures met.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// What the replay read, and where it had to stop.
    pub replay: replay::Report,
    /// Where the packets went.
    pub ledger: Ledger,
    /// What the flow table did.
    pub flows: flow::Stats,
    /// Packet time from first to last epoch, seconds.
    pub seconds: f64,
    /// Epochs with packets.
    pub epochs: u64,
    /// Whether it was asked to stop before the end of the captures.
    pub stopped: bool,
}

impl Pass {
    /// What a person should know about what was read, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = self.replay.warnings();
        lines.extend(self.stopped.then(|| self.interruption()));
        lines
    }

    /// What a person should know of a pass that was stopped.
    pub fn interruption(&self) -> String {
        format!(
            "interrupted after {}; what comes behind them is not in this",
            score::several(self.replay.packets as f64, "packet")
        )
    }
}

/// What a scoring pass found.
#[derive(Debug)]
pub struct Summary {
    /// The pass.
    pub pass: Pass,
    /// Flow records that ended.
    pub flows: u64,
    /// Records scored, checkpoints included.
    pub scored: u64,
    /// Flow records that ended anomalous.
    pub anomalous: u64,
    /// Ended records by score, in steps of 0.02 from 0 to 1.
    pub histogram: [u64; 50],
    /// What they add up to.
    pub incidents: Incidents,
    /// What nobody is to be told of.
    pub mutes: Arc<Mutes>,
    /// Which of them were told, where there is a budget.
    pub budget: Option<Budget>,
}

impl Summary {
    fn is_muted(&self, incident: &Incident) -> bool {
        let host = incident.subject.to_string();
        let kind = incident.kind.name();
        self.mutes.of(&host, kind, incident.last).is_some()
    }

    /// Incidents to tell, most evidence first: those within the budget, where there is one, and else all that are not muted.
    pub fn told(&self) -> Vec<&Incident> {
        let mut ranked = self.incidents.ranked();
        ranked.retain(|incident| {
            let budget = self.budget.as_ref();
            !self.is_muted(incident) && budget.is_none_or(|budget| budget.has_told(incident))
        });
        ranked
    }

    /// Incidents for which there was no room in the budget, most evidence first, so many at most.
    pub fn untold(&self, most: usize) -> Vec<&Incident> {
        let Some(budget) = &self.budget else {
            return Vec::new();
        };
        let mut ranked = self.incidents.ranked();
        ranked.retain(|incident| !self.is_muted(incident) && !budget.has_told(incident));
        ranked.truncate(most);
        ranked
    }

    /// Incidents that nobody is to be told of, most evidence first.
    pub fn muted(&self) -> Vec<&Incident> {
        let mut ranked = self.incidents.ranked();
        ranked.retain(|incident| self.is_muted(incident));
        ranked
    }
}

/// Rows that are collected over epochs before they are scored: the scorer takes 64 at a time, and an epoch of a quiet link
/// has two. More would leave the cache.
const BATCH_ROWS: usize = 256;

/// Epochs between two calls of a progress bar.
const TICK_EPOCHS: u64 = 16;

/// Reads captures and hands every flow record that becomes due, with its features, to `each`, epoch by epoch. The
/// batch is the callee's to empty.
///
/// # Errors
/// What the captures or `each` say.
pub fn flows(
    inputs: &[PathBuf],
    settings: &Settings,
    tick: &mut dyn FnMut(Tick),
    each: &mut dyn FnMut(&mut Batch) -> Result<(), Error>,
) -> Result<Pass, Error> {
    batches(inputs, settings, 0, tick, &mut |batch, _| each(batch))
}

/// Takes a batch, and what a pressed flow table had no place for in its last epoch.
type EachBatch<'a> = dyn FnMut(&mut Batch, &[Aggregate]) -> Result<(), Error> + 'a;

/// As [`flows`], but waits until there are `least` rows, where the capture has that many, and hands over what a pressed flow
/// table had no place for in the epoch of the batch.
fn batches(
    inputs: &[PathBuf],
    settings: &Settings,
    least: usize,
    tick: &mut dyn FnMut(Tick),
    each: &mut EachBatch<'_>,
) -> Result<Pass, Error> {
    let how = replay::Settings {
        inside_tunnels: settings.inside_tunnels,
        follow_fragments: settings.follow_fragments,
        flows_per_epoch: settings.epoch_flows,
    };
    let mut replay = Replay::open(inputs, how)?;
    let mut stages = Stages::new(settings);
    let (mut epoch, mut batch) = (Epoch::default(), Batch::new());
    let (mut epochs, mut rows) = (0, 0);
    let mut aggregates = Vec::new();
    let is_stopped = || settings.stop.as_ref().is_some_and(Stop::is_asked);
    let mut stopped = false;
    while epochs < settings.epochs && replay.next_epoch(&mut epoch)? == Progress::Epoch {
        stages.observe(&epoch, &mut batch);
        aggregates.extend(stages.aggregates());
        if batch.len() >= least || !aggregates.is_empty() {
            rows += batch.len() as u64;
            each(&mut batch, &aggregates)?;
            batch.clear();
            aggregates.clear();
        }
        epochs += 1;
        if epochs % TICK_EPOCHS == 0 {
            let report = replay.report();
            tick(Tick {
                bytes: report.bytes,
                packets: report.packets,
                rows,
            });
        }
        stopped = is_stopped();
        if stopped {
            break;
        }
    }
    stages.finish(&mut batch);
    each(&mut batch, &[])?;
    Ok(Pass {
        replay: replay.report(),
        ledger: *stages.ledger(),
        flows: stages.flow_stats(),
        seconds: stages.covered_seconds(),
        epochs,
        stopped,
    })
}

/// How to learn from captures.
#[derive(Clone, Debug)]
pub struct Training {
    /// Of the model.
    pub model: model::Settings,
    /// Rows to train on, at most.
    pub rows: usize,
    /// Whether flows that behaviour alone tells to be attacks are learned from like the others.
    pub trusting: bool,
}

/// What was learned, and from what.
#[derive(Debug)]
pub struct Learned {
    /// The model.
    pub model: Model,
    /// The pass over the captures.
    pub pass: Pass,
    /// Rows seen.
    pub offered: u64,
    /// Rows left out as attacks.
    pub left_out: u64,
    /// Whether there was so little else that the attacks were learned from too.
    pub desperate: bool,
}

/// Reads captures, samples their rows and trains on them.
///
/// # Errors
/// What the captures say; no flows; settings out of range.
pub fn train_on_captures(
    inputs: &[PathBuf],
    settings: &Settings,
    training: &Training,
    tick: &mut dyn FnMut(Tick),
    each: &mut dyn FnMut(&FlowRecord, &features::Row) -> Result<(), Error>,
) -> Result<Learned, Error> {
    let mut sample = Sample::new(training.rows, training.model.seed, training.trusting);
    let pass = flows(inputs, settings, tick, &mut |batch| {
        for (record, row) in batch.iter() {
            sample.offer(record, row);
            each(record, row)?;
        }
        Ok(())
    })?;
    if sample.offered() == 0 {
        let names: Vec<_> = inputs
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        return Err(Error::NoFlows {
            inputs: names.join(", "),
            packets: pass.replay.packets,
            rejected: pass.ledger.rejected(),
        });
    }
    let (offered, left_out) = (sample.offered(), sample.left_out());
    let (rows, desperate) = sample.into_rows();
    let model = Model::train(&rows, &features::schema(), &training.model)?;
    Ok(Learned {
        model,
        pass,
        offered,
        left_out,
        desperate,
    })
}

/// Reads captures and scores every record; `each` gets those that ended, with what they are part of.
///
/// # Errors
/// What the captures or `each` say.
pub fn score_capture(
    inputs: &[PathBuf],
    settings: &Settings,
    model: &Model,
    tick: &mut dyn FnMut(Tick),
    each: &mut dyn FnMut(&Scored, &Incidents) -> Result<(), Error>,
) -> Result<Summary, Error> {
    let mut judge = Judge::default();
    let mut incidents = Incidents::new(IncidentSettings {
        hold_rate: settings.hold_rate,
        ..IncidentSettings::default()
    });
    let mut budget = settings.alerts.as_ref().map(|alerts| {
        let mut budget = Budget::new(alerts);
        budget.mute(Arc::clone(&settings.mutes));
        budget
    });
    let mut scored = Vec::new();
    let (mut ended, mut count, mut anomalous) = (0, 0, 0);
    let mut histogram = [0; 50];
    let pass = batches(inputs, settings, BATCH_ROWS, tick, &mut |batch, rest| {
        judge.judge(model, batch, &mut scored);
        let now = scored.last().map(|last| last.record.due);
        for found in &mut scored {
            count += 1;
            incidents.absorb(found, model);
            if found.record.is_final() {
                ended += 1;
                anomalous += u64::from(found.anomalous);
                if !found.record.key.is_arp() {
                    histogram[((found.score * 50.0) as usize).min(49)] += 1;
                }
                each(found, &incidents)?;
            }
        }
        scored.clear();
        incidents.absorb_rest(rest.iter().copied());
        if let (Some(budget), Some(now)) = (&mut budget, now) {
            budget.tell(now, &mut incidents);
        }
        Ok(())
    })?;
    Ok(Summary {
        pass,
        flows: ended,
        scored: count,
        anomalous,
        histogram,
        incidents,
        mutes: Arc::clone(&settings.mutes),
        budget,
    })
}
