//! A challenger beside the champion: both score the same flows, and a rule decides.

use model::{Model, Scratch};

use super::reservoir::Values;

/// When a challenger takes over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Flows that both must have scored.
    pub rows: u64,
    /// Most alarms of the challenger, as a multiple of the share its calibration promises.
    pub alarms: f64,
    /// Least share of the flows that are ordinary to the champion and to the challenger too.
    pub agreement: f64,
    /// Most canaries that the challenger may miss of those the champion finds, as a share.
    pub canaries_lost: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            rows: 1000,
            alarms: 3.0,
            agreement: 0.95,
            canaries_lost: 0.02,
        }
    }
}

/// Why a challenger does not take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// It raises more alarms than it promises.
    Alarms,
    /// It calls odd what the champion finds ordinary.
    Disagreement,
    /// It no longer finds attacks that the champion finds.
    Canaries,
}

impl Refusal {
    /// Name for people and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alarms => "alarms",
            Self::Disagreement => "disagreement",
            Self::Canaries => "canaries",
        }
    }
}

/// What is known of a challenger.
#[derive(Debug)]
pub struct Shadow {
    model: Model,
    scratch: Scratch,
    rows: u64,
    alarms: u64,
    ordinary: u64,
    agreed: u64,
}

impl Shadow {
    /// Nothing scored yet.
    pub fn new(model: Model) -> Self {
        Self {
            model,
            scratch: Scratch::default(),
            rows: 0,
            alarms: 0,
            ordinary: 0,
            agreed: 0,
        }
    }

    /// Scores a flow that the champion has scored.
    pub fn see(&mut self, values: &Values, champion_unusual: bool) {
        let mut score = [0.0];
        self.model.score_with(&mut self.scratch, values, &mut score);
        let anomalous = score[0] >= self.model.threshold();
        self.rows += 1;
        self.alarms += u64::from(anomalous);
        if !champion_unusual {
            self.ordinary += 1;
            self.agreed += u64::from(!anomalous);
        }
    }

    /// The verdict, once enough was seen.
    pub fn verdict(
        &self,
        champion: &Model,
        canaries: &[Values],
        rules: &Rules,
    ) -> Option<Result<(), Refusal>> {
        if self.rows < rules.rows {
            return None;
        }
        let promised = self.model.info().settings.contamination * self.rows as f64;
        if self.alarms as f64 > rules.alarms * promised.max(1.0) {
            return Some(Err(Refusal::Alarms));
        }
        if (self.agreed as f64) < rules.agreement * self.ordinary as f64 {
            return Some(Err(Refusal::Disagreement));
        }
        let found = found(champion, canaries);
        let lost = found
            .iter()
            .zip(self::found(&self.model, canaries))
            .filter(|(before, now)| **before && !now)
            .count();
        let most = rules.canaries_lost * found.iter().filter(|found| **found).count() as f64;
        Some(if lost as f64 > most {
            Err(Refusal::Canaries)
        } else {
            Ok(())
        })
    }

    /// The challenger.
    pub fn into_model(self) -> Model {
        self.model
    }
}

fn found(model: &Model, canaries: &[Values]) -> Vec<bool> {
    let mut scratch = Scratch::default();
    let mut score = [0.0];
    let each = canaries.iter().map(|values| {
        model.score_with(&mut scratch, &values[..], &mut score);
        score[0] >= model.threshold()
    });
    each.collect()
}
