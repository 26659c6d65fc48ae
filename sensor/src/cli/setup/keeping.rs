//! The store as it is configured.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{Fault, Setup};
use crate::{
    config::{AlertBudget, AlertRate},
    score, sink,
};

impl Setup {
    /// How many incidents of files to tell, if that is bounded at all.
    pub(in crate::cli) fn alerts(&self) -> Option<score::BudgetSettings> {
        self.alerts_by(self.config.score.alert_budget)
    }

    /// How many incidents a watch is to tell.
    pub(in crate::cli) fn budget_of_watch(&self) -> AlertBudget {
        let asked = self.config.score.alert_budget;
        asked.unwrap_or(AlertBudget::OF_A_WATCH)
    }

    /// The same, with the rates of hosts and kinds.
    pub(in crate::cli) fn alerts_of_watch(&self) -> score::BudgetSettings {
        self.alerts_by(Some(self.budget_of_watch()))
            .unwrap_or_default()
    }

    fn alerts_by(&self, budget: Option<AlertBudget>) -> Option<score::BudgetSettings> {
        let rate = |rate: AlertRate| score::Rate {
            alerts: rate.alerts,
            period_ns: rate.period_seconds * 1_000_000_000,
        };
        let alerts = &self.config.alerts;
        let is_bounded = budget.is_some() || alerts.per_host.is_some() || alerts.per_kind.is_some();
        is_bounded.then(|| {
            let budget = budget.unwrap_or_default();
            score::BudgetSettings {
                shared: budget.shared.map(rate),
                by_severity: budget.by_severity.map(|own| own.map(rate)),
                by_host: alerts.per_host.map(rate),
                by_kind: alerts.per_kind.map(rate),
            }
        })
    }

    /// What nobody is to be told of: by the store, if there is one, and by maintenance windows.
    pub(in crate::cli) fn mutes(&self, has_store: bool) -> Result<Arc<score::Mutes>, Fault> {
        let windows = &self.config.alerts.maintenance;
        let path = self.store_path();
        Ok(Arc::new(if has_store && path.exists() {
            let store = sink::store::Store::open(&path, self.store_limits())?;
            store.mutes(windows)?
        } else {
            self.windows()
        }))
    }

    /// File of the store.
    pub(in crate::cli) fn store_path(&self) -> PathBuf {
        match &self.config.store.path {
            Some(path) => path.clone(),
            None => sink::store::path_in(self.folder()),
        }
    }

    /// How much the store may keep.
    pub(in crate::cli) fn store_limits(&self) -> sink::store::Limits {
        let store = &self.config.store;
        let age = |age: Option<Duration>| {
            age.map_or(u64::MAX, |age| {
                u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)
            })
        };
        sink::store::Limits {
            flows: store.max_flows,
            age_ns: age(store.max_flow_age),
            incidents: store.max_incidents,
            history_ns: age(store.max_age),
            hosts: store.max_hosts,
            bytes: store.max_bytes,
            ..sink::store::Limits::default()
        }
    }

    /// What of the store's writer can be set anew while it runs.
    pub(in crate::cli) fn store_rules(&self) -> sink::store::Rules {
        sink::store::Rules {
            limits: self.store_limits(),
            share: self.store_share(),
            windows: self.config.alerts.maintenance.clone(),
        }
    }

    /// What is muted where there is no store: maintenance windows.
    pub(in crate::cli) fn windows(&self) -> score::Mutes {
        let windows = self.config.alerts.maintenance.iter();
        let windows = windows.map(|window| score::Mute {
            weekly: Some(*window),
            ..score::Mute::default()
        });
        score::Mutes {
            mutes: windows.collect(),
            ..score::Mutes::default()
        }
    }

    /// Which flows the store keeps.
    pub(in crate::cli) fn store_share(&self) -> sink::store::Share {
        let store = &self.config.store;
        sink::store::Share {
            p_value: store.flow_share,
            score: store.flow_score.map_or(f32::INFINITY, |score| score as f32),
            per_second: store.flows_per_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn asked(budget: &str) -> Setup {
        let mut layers = Layers::default();
        layers
            .flag("score.alert_budget", budget, "--alert-budget")
            .expect("a budget");
        Setup::of(layers, true).expect("a configuration")
    }

    #[test]
    fn a_watch_has_a_budget_where_nobody_says_otherwise_and_files_have_none() {
        let untold = asked("");
        assert_eq!(untold.alerts(), None);
        let day = 86_400_000_000_000;
        let rate = |alerts, period_ns| Some(score::Rate { alerts, period_ns });
        assert_eq!(untold.alerts_of_watch().shared, rate(100, day));
        for (budget, shared) in [("20/day", rate(20, day)), ("all", None)] {
            let setup = asked(budget);
            assert_eq!(setup.alerts_of_watch().shared, shared, "{budget}");
            assert_eq!(setup.alerts().map(|alerts| alerts.shared), Some(shared));
        }
    }
}
