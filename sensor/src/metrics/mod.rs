//! Metrics for Prometheus: declared in one table, fed by numbers, served over HTTP. A leaf: no stage is named here.

mod admit;
mod declared;
mod process;
mod pulse;
mod runbooks;
mod serve;

use prometheus::{
    CounterVec, Encoder, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry, TextEncoder,
};

use self::admit::{Admitted, Labels, Refusal};
pub use self::{
    admit::MOST_SERIES,
    declared::{Id, Kind, METRICS, Metric, markdown},
    pulse::Pulse,
    runbooks::RUNBOOKS,
    serve::router,
};

/// All metrics with their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    families: Vec<Family>,
    /// By family, as `families`.
    admitted: Vec<Admitted>,
}

#[derive(Clone, Debug)]
enum Family {
    Counter(CounterVec),
    Gauge(GaugeVec),
    Histogram(HistogramVec),
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything that is declared, at zero.
    ///
    /// # Panics
    /// If the table declares a name twice or a name that Prometheus does not take; a test sees to that.
    pub fn new() -> Self {
        let registry = Registry::new();
        let families = METRICS
            .iter()
            .map(|metric| {
                let labels: Vec<&str> = metric.labels.iter().map(|label| label.name).collect();
                let sound = "declared metrics are sound";
                let family = match metric.kind {
                    Kind::Counter => {
                        let family = CounterVec::new(Opts::new(metric.name, metric.help), &labels);
                        Family::Counter(family.expect(sound))
                    }
                    Kind::Gauge => {
                        let family = GaugeVec::new(Opts::new(metric.name, metric.help), &labels);
                        Family::Gauge(family.expect(sound))
                    }
                    Kind::Histogram(buckets) => {
                        let options = HistogramOpts::new(metric.name, metric.help);
                        let options = options.buckets(buckets.to_vec());
                        Family::Histogram(HistogramVec::new(options, &labels).expect(sound))
                    }
                };
                let registered = match &family {
                    Family::Counter(family) => registry.register(Box::new(family.clone())),
                    Family::Gauge(family) => registry.register(Box::new(family.clone())),
                    Family::Histogram(family) => registry.register(Box::new(family.clone())),
                };
                registered.expect(sound);
                family
            })
            .collect();
        let admitted = METRICS.iter().map(Admitted::new).collect();
        let metrics = Self {
            registry,
            families,
            admitted,
        };
        metrics.begin();
        metrics
    }

    /// A counter that may never move is there from the beginning, for rates and alerts to be right: what appears with
    /// its first event has no rate at that event.
    fn begin(&self) {
        for (metric, family) in METRICS.iter().zip(&self.families) {
            if let Family::Counter(family) = family {
                for labels in metric.closed_series() {
                    drop(family.with_label_values(&labels));
                }
            }
        }
    }

    /// The labels as they may be, if the series may be at all; a refused one is counted.
    fn admit<'l>(&self, id: Id, labels: &[&'l str]) -> Option<Labels<'l>> {
        match self.admitted[id as usize].admit(&METRICS[id as usize], labels) {
            Ok(labels) => Some(labels),
            Err(refusal) => {
                debug_assert!(
                    refusal != Refusal::Undeclared,
                    "{labels:?} of {}",
                    METRICS[id as usize].name
                );
                if let Family::Counter(refused) = &self.families[Id::SeriesRefusedTotal as usize] {
                    refused.with_label_values(&[refusal.name()]).inc();
                }
                None
            }
        }
    }

    /// Adds to a counter. Less than nothing is nothing: counters do not go back.
    pub fn add(&self, id: Id, labels: &[&str], amount: f64) {
        if let Family::Counter(family) = &self.families[id as usize]
            && let Some(labels) = self.admit(id, labels)
        {
            family.with_label_values(&labels).inc_by(amount.max(0.0));
        }
    }

    /// Brings a counter to a running total kept elsewhere.
    pub fn total(&self, id: Id, labels: &[&str], total: f64) {
        if let Family::Counter(family) = &self.families[id as usize]
            && let Some(labels) = self.admit(id, labels)
        {
            let counter = family.with_label_values(&labels);
            counter.inc_by((total - counter.get()).max(0.0));
        }
    }

    /// Sets a gauge.
    pub fn set(&self, id: Id, labels: &[&str], value: f64) {
        if let Family::Gauge(family) = &self.families[id as usize]
            && let Some(labels) = self.admit(id, labels)
        {
            family.with_label_values(&labels).set(value);
        }
    }

    /// A counter or gauge as it stands; 0 where it was never told, and for histograms.
    pub fn value(&self, id: Id, labels: &[&str]) -> f64 {
        let Some(labels) = self.admit(id, labels) else {
            return 0.0;
        };
        match &self.families[id as usize] {
            Family::Counter(family) => family.with_label_values(&labels).get(),
            Family::Gauge(family) => family.with_label_values(&labels).get(),
            Family::Histogram(_) => 0.0,
        }
    }

    /// Sets a gauge to 1 and forgets its other series: an info metric has one.
    pub fn info(&self, id: Id, labels: &[&str]) {
        if let Family::Gauge(family) = &self.families[id as usize] {
            family.reset();
            self.admitted[id as usize].forget();
        }
        self.set(id, labels, 1.0);
    }

    /// Adds an observation to a histogram.
    pub fn observe(&self, id: Id, value: f64) {
        if let Family::Histogram(family) = &self.families[id as usize] {
            family.with_label_values::<&str>(&[]).observe(value);
        }
    }

    /// The text exposition format, version 0.0.4.
    pub fn text(&self) -> String {
        process::update(self);
        let mut text = Vec::new();
        // A string in memory takes everything; what cannot be encoded is left out rather than failing the scrape.
        if TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .is_err()
        {
            text.clear();
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn names_are_prometheus_names_and_unique() {
        let mut names = BTreeSet::new();
        for metric in METRICS {
            assert!(names.insert(metric.name), "{} twice", metric.name);
            let own =
                metric.name.starts_with("anomaly_detect_") || metric.name.starts_with("process_");
            assert!(own, "{}", metric.name);
            let counter = metric.kind == Kind::Counter;
            assert_eq!(metric.name.ends_with("_total"), counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }

    /// Every line is a comment or `name{labels} number`, each family is announced before its samples, and histograms
    /// are cumulative and end with +Inf.
    #[test]
    fn the_exposition_is_valid() {
        let metrics = Metrics::new();
        metrics.add(Id::PacketsTotal, &["counted"], 3.0);
        metrics.set(Id::ModelInfo, &["0123", "current"], 1.0);
        metrics.observe(Id::Score, 0.42);
        metrics.observe(Id::Score, 0.9);
        let text = metrics.text();
        let mut announced = BTreeSet::new();
        let mut buckets = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                announced.insert(rest.split(' ').next().unwrap().to_owned());
                continue;
            }
            if line.starts_with('#') {
                continue;
            }
            let (series, number) = line.rsplit_once(' ').unwrap();
            number.parse::<f64>().unwrap();
            let name = series.split('{').next().unwrap();
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|base| announced.contains(*base))
                .unwrap_or(name);
            assert!(announced.contains(base), "{name} is not announced");
            if name == "anomaly_detect_score_bucket" {
                buckets.push(number.parse::<f64>().unwrap());
            }
        }
        assert!(
            buckets.is_sorted() && buckets.last() == Some(&2.0),
            "{buckets:?}"
        );
        assert!(text.contains("anomaly_detect_packets_total{verdict=\"counted\"} 3"));
        assert!(text.contains("anomaly_detect_unaccounted_packets_total 0"));
    }

    /// Series of `name` in the exposition.
    fn series(text: &str, name: &str) -> usize {
        let begin = format!("{name}{{");
        text.lines().filter(|line| line.starts_with(&begin)).count()
    }

    /// A program that names itself anew each second must not fill the Prometheus that looks at it.
    #[test]
    fn series_of_free_labels_are_bounded_and_refusals_counted() {
        let metrics = Metrics::new();
        for at in 0..1000 {
            metrics.set(Id::DriftIndex, &[&format!("feature {at}")], 1.0);
        }
        // What was there first goes on.
        metrics.set(Id::DriftIndex, &["feature 7"], 2.0);
        let text = metrics.text();
        assert_eq!(series(&text, "anomaly_detect_drift_index"), MOST_SERIES);
        assert!(text.contains("anomaly_detect_drift_index{feature=\"feature 7\"} 2"));
        assert!(!text.contains("feature 999"));
        let refused = 1000 - MOST_SERIES;
        let line =
            format!("anomaly_detect_series_refused_total{{reason=\"too_many\"}} {refused}\n");
        assert!(text.contains(&line), "{line}");
    }

    #[test]
    fn an_info_metric_never_runs_out_of_series() {
        let metrics = Metrics::new();
        for at in 0..1000 {
            metrics.info(Id::ModelInfo, &[&format!("{at:016x}"), "current"]);
        }
        let text = metrics.text();
        assert_eq!(series(&text, "anomaly_detect_model_info"), 1);
        assert!(text.contains("0003e7"), "the last one is it");
        assert!(text.contains("anomaly_detect_series_refused_total{reason=\"too_many\"} 0\n"));
    }

    /// Whatever the program does, and whatever the traffic: the sum that docs/prometheus.md quotes.
    #[test]
    fn all_series_together_are_bounded() {
        let most: usize = METRICS.iter().map(Metric::most_series).sum();
        assert!(most <= 4000, "{most} series");
        let at_once = Metrics::new()
            .text()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .count();
        assert!(at_once <= most, "{at_once} of {most}");
    }

    /// `increase()` of a series that appears with its first event is 0: an alert on it would miss that event.
    #[test]
    fn counters_of_closed_sets_are_there_before_anything_happens() {
        let text = Metrics::new().text();
        for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter) {
            let expected: usize = metric
                .labels
                .iter()
                .map(|label| label.values.len())
                .product();
            let found = match metric.labels {
                [] => text
                    .lines()
                    .filter(|line| *line == format!("{} 0", metric.name))
                    .count(),
                _ => series(&text, metric.name),
            };
            let process = metric.name.starts_with("process_");
            assert!(
                found == expected || process,
                "{}: {found} of {expected}",
                metric.name
            );
        }
    }

    #[test]
    fn totals_only_grow() {
        let metrics = Metrics::new();
        metrics.total(Id::PacketsSeenTotal, &[], 5.0);
        metrics.total(Id::PacketsSeenTotal, &[], 3.0);
        metrics.total(Id::PacketsSeenTotal, &[], 9.0);
        assert!(
            metrics
                .text()
                .contains("anomaly_detect_packets_seen_total 9")
        );
    }

    #[test]
    fn metrics_doc_is_generated_from_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page == markdown(),
            "docs/metrics.md is not what the table says; rewrite it with:\n  UPDATE=1 cargo test -p sensor --lib metrics_doc"
        );
    }
}
