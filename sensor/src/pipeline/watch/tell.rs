//! What a watch tells of the flows it scored and of the incidents they belong to.

use model::Model;
use sensor_ebpf::flow::EPOCH_SHIFT;

use super::{INCIDENT_OVER_NS, MOVED_EPOCHS, SWEEP_EPOCHS, Watch};
use crate::{
    metrics::Id,
    pipeline::{Listener, News, listener::quietly, report::report_budget},
    score::{Incident, Severity, Stage},
};

impl Watch<'_> {
    pub(super) fn tell(&mut self, model: &Model, epoch: u64, listener: &mut dyn Listener) {
        for mut found in self.scored.drain(..) {
            let began = self.incidents.absorb(&mut found, model);
            if let Some(retrain) = &mut self.retrain {
                retrain.observe(&found);
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.look(&found);
            }
            self.metrics.add(Id::FlowsScoredTotal, &[], 1.0);
            self.metrics.observe(Id::Score, f64::from(found.score));
            if found.unusual {
                self.metrics.add(Id::UnusualFlowsTotal, &[], 1.0);
            }
            if found.severity > Severity::Info {
                self.metrics
                    .add(Id::AnomaliesTotal, &[found.severity.name()], 1.0);
            }
            if began && let Some(kind) = found.kind {
                self.watched.incidents += 1;
                self.metrics.add(Id::IncidentsTotal, &[kind.name()], 1.0);
            }
            if found.record.is_final() {
                self.watched.flows += 1;
                self.watched.anomalous += u64::from(found.anomalous);
                listener.flow(&found.record, &found.row, Some(&found));
            }
        }
        self.incidents.absorb_rest(self.stages.aggregates());
        let now = (epoch + 1) << EPOCH_SHIFT;
        self.budget.mute(self.mutes.get());
        let alerts = self.budget.tell(now, &mut self.incidents).into_iter();
        let stage = |again| if again { Stage::Grown } else { Stage::New };
        let told: Vec<(&Incident, Stage)> = alerts
            .map(|alert| (alert.incident, stage(alert.again)))
            .collect();
        for (incident, stage) in told {
            if let Some(retrain) = &mut self.retrain {
                retrain.heed(incident, now);
            }
            let has_bundle = self.recorder.as_mut().is_some_and(|recorder| {
                let kept = recorder.keep(incident, &model.digest(), epoch);
                if let Err(error) = &kept {
                    listener.unkept(error);
                }
                matches!(kept, Ok(true))
            });
            listener.incident(&News {
                incident,
                stage,
                model,
                has_bundle,
                coverage: self.coverage.since(incident.first),
            });
        }
        for incident in self.budget.kept_quiet(&self.incidents) {
            let coverage = (&self.budget, &self.coverage);
            quietly(incident, Stage::Progress, model, coverage, listener);
        }
        for incident in self.budget.newly_untold(&self.incidents) {
            let coverage = (&self.budget, &self.coverage);
            quietly(incident, Stage::Untold, model, coverage, listener);
        }
        report_budget(self.metrics, &self.budget);
        if epoch.is_multiple_of(MOVED_EPOCHS) {
            self.pass_on(model, listener);
        }
        if epoch.is_multiple_of(SWEEP_EPOCHS) {
            self.close(model, now.saturating_sub(INCIDENT_OVER_NS), listener);
        }
    }

    /// Tells what moved of incidents that were told.
    pub(super) fn pass_on(&mut self, model: &Model, listener: &mut dyn Listener) {
        let (budget, coverage) = (&self.budget, &self.coverage);
        for incident in self.incidents.moved() {
            quietly(
                incident,
                Stage::Progress,
                model,
                (budget, coverage),
                listener,
            );
        }
    }

    /// Tells that incidents without a packet since `before` are over.
    fn close(&mut self, model: &Model, before: u64, listener: &mut dyn Listener) {
        for incident in self.incidents.close(before) {
            let (budget, coverage) = (&self.budget, &self.coverage);
            quietly(&incident, Stage::Over, model, (budget, coverage), listener);
        }
    }
}
