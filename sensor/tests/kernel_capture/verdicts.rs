//! What is said of live flows and of their recording.

use sensor::{
    capture::Epoch,
    features,
    pipeline::{self, Stages},
    score::{IncidentSettings, Incidents, Judge, Kind, Severity},
};
use sensor_ebpf::flow::FlowKey;

/// One model judges both, and says the same of the attack planted in them.
///
/// Times that differ by microseconds are mostly the same quarter of a millisecond, and then so are the scores, to the bit. Where one is
/// not, or where a packet at the very end of an epoch is in the next one for the other, scores differ in their third digit.
/// Behaviour must be named alike; what the score alone decides may differ where a threshold lies between the two scores,
/// which is one flow in a hundred at most, by calibration and with the rate held.
///
/// # Errors
/// More flows than that, as where the machine was taken away between the two readings of a packet's time.
pub(crate) fn agree([live, replayed]: &[Vec<Epoch>; 2]) -> Result<(), String> {
    let model = learned(replayed);
    agree_by(live, replayed, &model, false)?;
    agree_by(live, replayed, &model, true)
}

/// The same by calibration, or with the rate held.
fn agree_by(
    live: &[Epoch],
    replayed: &[Epoch],
    model: &model::Model,
    hold_rate: bool,
) -> Result<(), String> {
    let (judged_live, incidents_live) = verdicts(live, model, hold_rate);
    let (judged_replay, incidents_replay) = verdicts(replayed, model, hold_rate);
    assert!(judged_live.iter().any(|verdict| !verdict.said.0));
    assert_eq!(judged_live.len(), judged_replay.len());
    let pairs = || judged_live.iter().zip(&judged_replay);
    let apart = pairs()
        .map(|(a, b)| (a.score - b.score).abs())
        .fold(0.0, f32::max);
    let straddling = pairs().filter(|(a, b)| a.said != b.said).count();
    println!(
        "{} verdicts, {straddling} of them on either side of a threshold; scores at most {apart:.4} apart; {incidents_live:?}",
        judged_live.len()
    );
    for (live, replay) in pairs() {
        assert_eq!((live.key, live.said.2), (replay.key, replay.said.2));
    }
    let attacks = |incidents: &[(Kind, u64, usize)]| {
        incidents
            .iter()
            .copied()
            .filter(|(kind, ..)| *kind != Kind::UnusualFlow)
            .collect::<Vec<_>>()
    };
    let scans = |found: &(Kind, u64, usize)| found.0 == Kind::PortScanVertical;
    assert!(
        attacks(&incidents_live).iter().any(scans),
        "{incidents_live:?}"
    );
    assert_eq!(attacks(&incidents_live), attacks(&incidents_replay));
    if straddling * 100 <= judged_live.len() {
        Ok(())
    } else {
        Err(format!(
            "{straddling} of {} verdicts on either side of a threshold",
            judged_live.len()
        ))
    }
}

/// What live flows and their recording add up to, judged by one model: kind, flows and ports of each incident.
pub(crate) fn incidents(live: &[Epoch], replayed: &[Epoch]) -> [Vec<(Kind, u64, usize)>; 2] {
    let model = learned(replayed);
    [live, replayed].map(|epochs| verdicts(epochs, &model, true).1)
}

/// A model of the conversations in these epochs, attacks left aside: all it has to do is to judge two captures alike.
fn learned(epochs: &[Epoch]) -> model::Model {
    let mut stages = Stages::new(&pipeline::Settings::default());
    let mut batch = pipeline::Batch::new();
    for epoch in epochs {
        stages.observe(epoch, &mut batch);
    }
    stages.finish(&mut batch);
    let mut sample = pipeline::Sample::new(10_000, 7, false);
    for (record, row) in &batch {
        sample.offer(record, row);
    }
    let settings = model::Settings {
        contamination: 0.05,
        ..model::Settings::default()
    };
    model::Model::train(&sample.into_rows().0, &features::schema(), &settings).expect("a model")
}

/// What is said of a flow that has ended.
struct Verdict {
    key: FlowKey,
    score: f32,
    /// Anomalous or not, how severe, and (for what is an attack by behaviour) what it is.
    said: (bool, Severity, Option<Kind>),
}

/// Verdicts of the flows, and what they add up to: kind, flows and ports of each incident.
fn verdicts(
    epochs: &[Epoch],
    model: &model::Model,
    hold_rate: bool,
) -> (Vec<Verdict>, Vec<(Kind, u64, usize)>) {
    let mut stages = Stages::new(&pipeline::Settings::default());
    let (mut judge, mut incidents) = (
        Judge::default(),
        Incidents::new(IncidentSettings {
            hold_rate,
            ..IncidentSettings::default()
        }),
    );
    let (mut batch, mut scored, mut verdicts) = (pipeline::Batch::new(), Vec::new(), Vec::new());
    let mut take = |batch: &mut pipeline::Batch| {
        judge.judge(model, batch, &mut scored);
        for mut found in scored.drain(..) {
            incidents.absorb(&mut found, model);
            if found.record.is_final() {
                verdicts.push(Verdict {
                    key: found.record.key,
                    score: found.score,
                    said: (
                        found.anomalous,
                        found.severity,
                        found.kind.filter(|kind| *kind != Kind::UnusualFlow),
                    ),
                });
            }
        }
        batch.clear();
    };
    for epoch in epochs {
        stages.observe(epoch, &mut batch);
        take(&mut batch);
    }
    stages.finish(&mut batch);
    take(&mut batch);
    verdicts.sort_by_key(|verdict| verdict.key);
    let incidents = incidents
        .ranked()
        .iter()
        .map(|incident| (incident.kind, incident.flows, incident.ports.distinct()))
        .collect();
    (verdicts, incidents)
}
