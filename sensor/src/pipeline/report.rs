//! What a live sensor knows of itself, as metrics.

use hdrhistogram::Histogram;
use sensor_ebpf::{flow::EPOCH_SHIFT, frame::Malformed, maps::Ledger};

use super::{Health, Stages};
use crate::{
    capture::{Epoch, FragmentCounts},
    flow::{self, FlowEndReason},
    metrics::{Id, Metrics},
    score::{Budget, Incidents, Kind, Severity},
};

/// What the flow table and the context hold, and what became of flows.
pub(super) fn report_stages(metrics: &Metrics, stages: &Stages) {
    let flows = stages.flow_stats();
    metrics.total(Id::FlowsBegunTotal, &[], flows.begun as f64);
    metrics.total(Id::FlowCheckpointsTotal, &[], flows.checkpoints as f64);
    for reason in FlowEndReason::ALL {
        metrics.total(
            Id::FlowsEndedTotal,
            &[reason.name()],
            flows.ended(reason) as f64,
        );
    }
    let (live, capacity) = stages.live_flows();
    metrics.set(Id::FlowTableFlows, &[], live as f64);
    metrics.set(Id::FlowTableCapacity, &[], f64::from(capacity));
    report_pressure(metrics, &flows, stages.pressure());
    let context = stages.context_stats();
    for (table, entries) in [
        ("sources", context.sources),
        ("destinations", context.destinations),
        ("conversations", context.conversations),
    ] {
        metrics.set(Id::ContextEntries, &[table], f64::from(entries));
    }
    metrics.total(
        Id::ContextEvictedTotal,
        &["newcomer"],
        context.evicted_newcomers as f64,
    );
    metrics.total(
        Id::ContextEvictedTotal,
        &["resident"],
        context.evicted_residents as f64,
    );
}

/// What the flow table does against a flood.
fn report_pressure(metrics: &Metrics, flows: &flow::Stats, pressure: (bool, u32)) {
    let (is_pressed, half_open) = pressure;
    metrics.set(Id::FlowTableHalfOpen, &[], f64::from(half_open));
    let state = f64::from(u8::from(is_pressed));
    metrics.set(Id::FlowTablePressed, &[], state);
    metrics.total(Id::FlowTablePressedTotal, &[], flows.pressed as f64);
    metrics.total(Id::FlowsHurriedTotal, &[], flows.hurried as f64);
    let aggregated = flows.aggregated;
    metrics.total(Id::FlowsAggregatedTotal, &[], aggregated.flows as f64);
    metrics.total(Id::PacketsAggregatedTotal, &[], aggregated.packets as f64);
    metrics.total(Id::BytesAggregatedTotal, &[], aggregated.ip_bytes as f64);
}

/// What became of the candidates for an alert.
pub(super) fn report_budget(metrics: &Metrics, budget: &Budget) {
    let stats = budget.stats();
    for (state, number) in [
        ("told", stats.alerts),
        ("told_again", stats.again),
        ("below_threshold", stats.below),
        ("withheld", stats.withheld),
        ("suppressed", stats.muted),
        ("handled", stats.handled),
        ("limited", stats.limited),
    ] {
        metrics.total(Id::AlertsTotal, &[state], number as f64);
    }
    let labels = ["incidents", "left_out"];
    metrics.total(Id::StoreRowsTotal, &labels, stats.unkept as f64);
    for severity in &Severity::ALL[1..] {
        if let Some(threshold) = budget.threshold(*severity) {
            metrics.set(Id::AlertThreshold, &[severity.name()], threshold);
        }
    }
    metrics.set(Id::AlertsWaiting, &[], budget.waiting() as f64);
}

/// Adds the ledger of one epoch.
pub(super) fn report_ledger(metrics: &Metrics, ledger: &Ledger) {
    metrics.add(Id::PacketsSeenTotal, &[], ledger.seen as f64);
    for (verdict, packets) in [
        ("counted", ledger.counted),
        ("overflow_full", ledger.overflow_full),
        ("overflow_other", ledger.overflow_other),
        ("sampled_out", ledger.sampled_out),
        ("not_ip", ledger.not_ip),
        ("probe", ledger.probe),
        ("malformed", ledger.malformed.iter().sum()),
        // Once AF_XDP has taken out what it accounts for itself.
        ("lost_at_socket", ledger.handed_over),
        ("counted_before", ledger.counted_before),
    ] {
        metrics.add(Id::PacketsTotal, &[verdict], packets as f64);
    }
    let inside = ledger.inside_tunnels as f64;
    metrics.add(Id::TunnelPacketsTotal, &[], inside);
    for reason in Malformed::ALL {
        let packets = ledger.malformed[reason as usize] as f64;
        metrics.add(Id::MalformedPacketsTotal, &[reason.name()], packets);
    }
    metrics.add(Id::OverflowBytesTotal, &[], ledger.overflow_bytes as f64);
    let unaccounted = ledger.unaccounted().unsigned_abs() as f64;
    metrics.add(Id::UnaccountedPacketsTotal, &[], unaccounted);
}

/// Adds what became of later fragments in one epoch.
pub(super) fn report_fragments(metrics: &Metrics, counts: &FragmentCounts) {
    for (counted, packets) in [
        ("followed", counts.followed),
        ("without_first", counts.without_first),
        ("inside_tunnels", counts.inside_tunnels),
    ] {
        metrics.add(Id::LaterFragmentsTotal, &[counted], packets as f64);
    }
    let pushed_out = counts.pushed_out as f64;
    metrics.add(Id::FragmentsPushedOutTotal, &[], pushed_out);
}

/// How an epoch was drained and gone through.
pub(super) fn report_drain(
    metrics: &Metrics,
    health: &Health,
    lateness_ns: u64,
    processing_ns: u64,
) {
    let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
    metrics.add(Id::DrainsTotal, &[], 1.0);
    metrics.add(Id::EarlyDrainsTotal, &[], f64::from(health.early));
    metrics.observe(Id::DrainSeconds, seconds(lateness_ns));
    metrics.observe(Id::EpochSeconds, seconds(processing_ns));
    if lateness_ns > 1 << (EPOCH_SHIFT - 1) {
        metrics.add(Id::LateEpochsTotal, &[], 1.0);
    }
    if !health.fill.is_nan() {
        metrics.set(Id::DrainFillRatio, &[], health.fill);
    }
    metrics.add(Id::UnaccountedPacketsTotal, &[], health.unaccounted as f64);
    for (reason, lost) in ["ring_full", "no_frame", "other"]
        .into_iter()
        .zip(health.socket_losses)
    {
        metrics.total(Id::SocketLossesTotal, &[reason], lost as f64);
    }
    for (by, dropped) in ["kernel", "interface"].into_iter().zip(health.dropped) {
        metrics.total(Id::DroppedPacketsTotal, &[by], dropped as f64);
    }
}

/// Time from the end of an epoch to its last verdict; the histogram is in microseconds.
pub(super) fn report_latency(metrics: &Metrics, latency: &Histogram<u64>) {
    for (name, quantile) in [
        ("0.5", 0.5),
        ("0.9", 0.9),
        ("0.99", 0.99),
        ("0.999", 0.999),
        ("1", 1.0),
    ] {
        let value = latency.value_at_quantile(quantile) as f64 / 1e6;
        metrics.set(Id::LatencySeconds, &[name], value);
    }
}

/// Incidents that go on, by kind, and what is called an anomaly.
pub(super) fn report_incidents(metrics: &Metrics, incidents: &Incidents) {
    for (kind, number) in Kind::ALL.into_iter().zip(incidents.by_kind()) {
        metrics.set(Id::Incidents, &[kind.name()], number as f64);
    }
    if let Some(quantile) = incidents.quantile() {
        metrics.set(Id::AnomalyLimit, &[], quantile.limit());
    }
    let forgotten = incidents.forgotten() as f64;
    metrics.total(Id::IncidentsForgottenTotal, &[], forgotten);
}

/// Adds the packets of one epoch, by what they carry.
pub(super) fn report_traffic(metrics: &Metrics, epoch: &Epoch) {
    const PROTOCOLS: [&str; 9] = [
        "icmp", "tcp", "udp", "gre", "esp", "icmpv6", "sctp", "arp", "other",
    ];
    let mut sums = [[0_u64; 2]; PROTOCOLS.len()];
    for (key, counters) in &epoch.flows {
        // IANA, Assigned Internet Protocol Numbers.
        let place = match key.protocol {
            _ if key.is_arp() => 7,
            1 => 0,
            6 => 1,
            17 => 2,
            47 => 3,
            50 => 4,
            58 => 5,
            132 => 6,
            _ => 8,
        };
        let bytes: u64 = counters.halves.iter().map(|half| half.ip_bytes).sum();
        sums[place][0] += counters.packets();
        sums[place][1] += bytes;
    }
    for (protocol, [packets, bytes]) in PROTOCOLS.into_iter().zip(sums) {
        if packets > 0 {
            metrics.add(Id::IpPacketsTotal, &[protocol], packets as f64);
            metrics.add(Id::IpBytesTotal, &[protocol], bytes as f64);
        }
    }
}
