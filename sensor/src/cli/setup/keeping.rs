//! The store as it is configured.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{Fault, Setup};
use crate::{config::AlertRate, pipeline, score, sink};

impl Setup {
    /// How many incidents to tell, if that is bounded at all.
    pub(in crate::cli) fn alerts(&self) -> Option<score::BudgetSettings> {
        let rate = |rate: AlertRate| score::Rate {
            alerts: rate.alerts,
            period_ns: rate.period_seconds * 1_000_000_000,
        };
        let alerts = &self.config.alerts;
        let budget = self.config.score.alert_budget;
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

    /// Settings of the stages, with what nobody is to be told of if there is a store.
    pub(in crate::cli) fn muted_stages(
        &self,
        has_store: bool,
    ) -> Result<pipeline::Settings, Fault> {
        let mut settings = self.stages();
        let windows = &self.config.alerts.maintenance;
        let path = self.store_path();
        settings.mutes = if has_store && path.exists() {
            let store = sink::store::Store::open(&path, self.store_limits())?;
            Arc::new(store.mutes(windows)?)
        } else {
            Arc::new(self.windows())
        };
        Ok(settings)
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
