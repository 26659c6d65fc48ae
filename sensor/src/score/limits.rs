//! Rates of one host and of one kind: nobody's noise uses up what others need.

use std::{collections::BTreeMap, net::IpAddr};

use model::Allowance;
use sensor_ebpf::flow::TimeNs;

use super::{Incident, Kind, Rate};

/// Hosts with an allowance of their own that are remembered, at most; one more forgets those that are full again.
const HOSTS: usize = 4096;
/// Share of a rate that is kept for critical incidents.
const KEPT: f64 = 0.25;

/// A rate without a threshold: so many at most.
#[derive(Debug)]
struct Limit {
    per_ns: f64,
    allowance: Allowance,
    since: TimeNs,
}

impl Limit {
    fn new(rate: Rate, now: TimeNs) -> Self {
        let alerts = f64::from(rate.alerts.max(1));
        Self {
            per_ns: alerts / rate.period_ns.max(1) as f64,
            allowance: Allowance::new(alerts, alerts * KEPT),
            since: now,
        }
    }

    /// Whether there is one left, at this moment.
    fn has(&mut self, now: TimeNs, urgent: bool) -> bool {
        let passed = now.saturating_sub(self.since) as f64;
        self.since = self.since.max(now);
        self.allowance.pass(passed * self.per_ns);
        let mut left = self.allowance;
        left.take(urgent)
    }
}

/// The allowances of hosts and kinds.
#[derive(Debug)]
pub(super) struct Limits {
    rates: [Option<Rate>; 2],
    by_host: BTreeMap<IpAddr, Limit>,
    by_kind: BTreeMap<Kind, Limit>,
}

impl Limits {
    pub(super) const fn new(by_host: Option<Rate>, by_kind: Option<Rate>) -> Self {
        Self {
            rates: [by_host, by_kind],
            by_host: BTreeMap::new(),
            by_kind: BTreeMap::new(),
        }
    }

    /// Other rates from now on; one that is the same goes on.
    pub(super) fn adjust(&mut self, by_host: Option<Rate>, by_kind: Option<Rate>) {
        if by_host != self.rates[0] {
            self.by_host.clear();
        }
        if by_kind != self.rates[1] {
            self.by_kind.clear();
        }
        self.rates = [by_host, by_kind];
    }

    /// Whether host and kind of the incident may be told of once more.
    pub(super) fn allow(&mut self, now: TimeNs, incident: &Incident, urgent: bool) -> bool {
        let [by_host, by_kind] = self.rates;
        let host = by_host.is_none_or(|rate| {
            if self.by_host.len() >= HOSTS && !self.by_host.contains_key(&incident.subject.address)
            {
                let fullest = f64::from(rate.alerts.max(1));
                self.by_host.retain(|_, limit| {
                    limit.has(now, true);
                    limit.allowance.left() < fullest
                });
                // All of them told lately: the one with most left begins anew.
                if self.by_host.len() >= HOSTS {
                    let first = self
                        .by_host
                        .iter()
                        .min_by(|a, b| b.1.allowance.left().total_cmp(&a.1.allowance.left()));
                    if let Some(host) = first.map(|(host, _)| *host) {
                        self.by_host.remove(&host);
                    }
                }
            }
            let limit = self.by_host.entry(incident.subject.address);
            limit
                .or_insert_with(|| Limit::new(rate, now))
                .has(now, urgent)
        });
        host && by_kind.is_none_or(|rate| {
            let limit = self.by_kind.entry(incident.kind);
            limit
                .or_insert_with(|| Limit::new(rate, now))
                .has(now, urgent)
        })
    }

    /// Takes what [`Self::allow`] found.
    pub(super) fn take(&mut self, incident: &Incident, urgent: bool) {
        if let Some(limit) = self.by_host.get_mut(&incident.subject.address) {
            limit.allowance.take(urgent);
        }
        if let Some(limit) = self.by_kind.get_mut(&incident.kind) {
            limit.allowance.take(urgent);
        }
    }
}
