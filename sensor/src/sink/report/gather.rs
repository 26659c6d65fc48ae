//! From what a run found to a report.

use super::{
    Tally,
    data::{ModelFacts, Report, TopFlow, ledger_rows},
};
use crate::{
    score::{Scored, count},
    sink::{alert::Alert, flows, summary::Findings},
};

/// Incidents in a report, at least.
const LISTED: usize = 50;

impl Report {
    /// What a run found. The incidents are those of the findings, as the outside sees them.
    pub fn of(
        findings: &Findings<'_>,
        tally: &Tally,
        alerts: Vec<Alert>,
        facts: Vec<(String, String)>,
    ) -> Self {
        let listed = findings.shown.max(LISTED);
        let more = alerts.len().saturating_sub(listed) as u64;
        let [services, talkers, pairs] = tally.most();
        let top = |scored: &Scored| TopFlow {
            id: format!("{:016x}", scored.record.id),
            community_id: scored.record.community_id(),
            cells: flows::scored_cells(scored),
            reasons: scored.reasons.iter().map(ToString::to_string).collect(),
        };
        let threshold = f64::from(findings.threshold);
        let listed: Vec<Alert> = alerts.into_iter().take(listed).collect();
        let mut summary = vec![format!("{}.", findings.read()), findings.learned.clone()];
        summary.extend(words(&listed));
        Self {
            created_by: concat!("anomaly-detect ", env!("CARGO_PKG_VERSION")).to_owned(),
            source: "run".to_owned(),
            inputs: findings.inputs.clone(),
            headline: findings.verdict(),
            summary,
            warnings: findings.damage.clone(),
            window_ns: tally.window(),
            seconds: findings.seconds,
            flows: findings.flows,
            anomalous: findings.anomalous,
            bytes: tally.bytes(),
            incidents: listed,
            incidents_more: more,
            timeline: tally.timeline(),
            scores: findings.histogram.to_vec(),
            threshold: threshold.is_finite().then_some(threshold),
            services,
            talkers,
            pairs,
            top: findings.top.iter().map(top).collect(),
            ledger: ledger_rows(&findings.ledger),
            packets: findings.ledger.seen,
            unaccounted: findings.ledger.unaccounted(),
            completeness: findings.completeness(),
            missing: tally.missing(),
            logs: findings.logs.clone(),
            model: ModelFacts {
                digest: findings.model.clone(),
                learned: findings.learned.clone(),
                facts,
            },
        }
    }
}

/// What the gravest incidents are, in a sentence; nothing where there are none.
pub(super) fn words(alerts: &[Alert]) -> Option<String> {
    let first = alerts.first()?;
    let grave = alerts
        .iter()
        .filter(|alert| alert.severity >= crate::score::Severity::High)
        .count();
    let listed = alerts
        .iter()
        .filter(|alert| !alert.intel.is_empty())
        .count();
    let mut text = format!("The gravest: {}.", first.sentence.trim_end_matches('.'));
    if grave > 1 {
        text.push_str(&format!(
            " {} of them are high or critical.",
            count(grave as f64)
        ));
    }
    if listed > 0 {
        text.push_str(&format!(
            " Threat lists name hosts of {}.",
            count(listed as f64)
        ));
    }
    Some(text)
}

/// What a person wants to know of a model.
pub fn facts(model: &model::Model) -> Vec<(String, String)> {
    let info = model.info();
    [
        ("flow records learned from", count(info.rows as f64)),
        ("held out for calibration", count(info.held_out as f64)),
        ("trees", info.settings.trees.to_string()),
        ("features used", info.columns_used.to_string()),
        ("seed", info.settings.seed.to_string()),
        ("made by", info.created_by.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}
