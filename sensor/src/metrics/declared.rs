//! Every metric there is: name, kind, labels with the values they may take, and what it means.

use std::fmt::Write as _;

use super::admit::Refusal;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets with these upper ends.
    Histogram(&'static [f64]),
}

/// A label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may be; empty where the configuration or the build decides (an interface, a hash), never traffic.
    pub values: &'static [&'static str],
}

/// One line of [`METRICS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [Label],
    /// What it means.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident, $name:literal, $kind:expr, [$($label:literal: $values:expr),*], $help:literal;)*) => {
        /// A metric by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Id {
            $(#[doc = $help] $id),*
        }

        /// Every metric, in the order of [`Id`].
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: $kind,
            labels: &[$(Label { name: $label, values: $values }),*],
            help: $help,
        }),*];
    };
}

use Kind::{Counter, Gauge, Histogram};

const VERDICTS: &[&str] = &[
    "counted",
    "overflow_full",
    "overflow_other",
    "sampled_out",
    "not_ip",
    "probe",
    "malformed",
    "lost_at_socket",
    "counted_before",
];
const CAPTURE_MODES: &[&str] = &[
    "af_xdp_zero_copy",
    "af_xdp_copy",
    "xdp_native",
    "xdp_generic",
    "tcx",
    "libpcap",
];
const MALFORMED: &[&str] = &[
    "link_truncated",
    "too_many_tags",
    "ip_truncated",
    "ip_header",
    "ipv6_extensions",
    "transport_truncated",
    "link_type",
    "arp",
];
const END_REASONS: &[&str] = &[
    "idle-timeout",
    "active-timeout",
    "end-of-flow",
    "forced-end",
    "lack-of-resources",
];
const SEVERITIES: &[&str] = &["low", "medium", "high", "critical"];
/// Kinds of flows: the first of all.
const KINDS: &[&str] = ALL_KINDS.split_at(15).0;
const SINKS: &[&str] = &[
    "store",
    "dashboard",
    "csv",
    "eve",
    "ecs",
    "conn_log",
    "parquet",
    "ipfix",
    "syslog",
    "webhook",
    "mail",
    "redis",
];
/// Kinds of flows, of logs, and of the machine itself.
const ALL_KINDS: &[&str] = &[
    "flood",
    "amplification",
    "port scan (vertical)",
    "port scan (horizontal)",
    "host sweep",
    "service probing",
    "password guessing",
    "password spraying",
    "lateral movement",
    "industrial misuse",
    "exfiltration",
    "dns tunnel",
    "suspicious download",
    "beaconing",
    "unusual flow",
    "password guessed",
    "log cleared",
    "defences impaired",
    "service installed",
    "suspicious process",
    "remote administration",
    "kerberoasting",
    "directory replication",
    "foreign ticket request",
    "remote execution",
    "remote tool",
    "odd connection",
    "permission change",
    "remote enumeration",
    "processor spike",
    "memory spike",
    "disk read spike",
    "network spike",
];
const PROTOCOLS: &[&str] = &[
    "tcp", "udp", "icmp", "icmpv6", "sctp", "gre", "esp", "arp", "other",
];
const INTEL_LOSSES: &[&str] = &[
    "reserved",
    "own",
    "too_wide",
    "unreadable",
    "too_long",
    "expired",
    "revoked",
    "not_for_detection",
    "pattern",
    "other_kind",
    "duplicate",
    "no_room",
];
const RESOURCES: &[&str] = &["cpu", "memory", "disk_read", "network"];
const SECONDS: &[f64] = &[
    1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0,
];
const SCORES: &[f64] = &[
    0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1.0,
];

metrics! {
    BuildInfo, "anomaly_detect_build_info", Gauge, ["version": &[]], "1, with the version of the program.";
    CaptureInfo, "anomaly_detect_capture_info", Gauge, ["interface": &[], "ingress": &[], "egress": &[]], "1 for each interface, with how packets are seen that arrive and that leave.";
    CaptureModeInfo, "anomaly_detect_capture_mode_info", Gauge, ["interface": &[], "mode": CAPTURE_MODES, "reason": &[]], "1 for the way arriving packets are taken from an interface, 0 for each better one that could not be had, with the reason.";
    ConfigReloadsTotal, "anomaly_detect_config_reloads_total", Counter, ["result": &["taken", "refused"]], "Times that the configuration was read again while watching (SIGHUP), by whether it could be used; the one before stays where it could not.";
    ConfigLastReloadSuccessful, "anomaly_detect_config_last_reload_successful", Gauge, [], "1 unless the configuration was refused when it was read last.";
    ConfigLastReloadTimestampSeconds, "anomaly_detect_config_last_reload_timestamp_seconds", Gauge, [], "When the configuration was read last, at the start or after it, seconds since 1970.";
    ConfigKeysAwaitingRestart, "anomaly_detect_config_keys_awaiting_restart", Gauge, [], "Keys that were changed since the start and are taken at the next one only.";
    ModelInfo, "anomaly_detect_model_info", Gauge, ["hash": &[], "slot": &["current"]], "1, with the first digits of the digest of the model in use.";
    ModelThreshold, "anomaly_detect_model_threshold", Gauge, [], "Score from which a flow is anomalous; 0 while learning.";
    ModelLoadsTotal, "anomaly_detect_model_loads_total", Counter, ["result": &["read", "refused"]], "Models that a person chose while watching (model use, SIGHUP), by whether they could be used.";
    LearningRatio, "anomaly_detect_learning_ratio", Gauge, [], "How far the baseline is learned, 0 to 1.";

    PacketsSeenTotal, "anomaly_detect_packets_seen_total", Counter, [], "Packets at the hooks.";
    PacketsTotal, "anomaly_detect_packets_total", Counter, ["verdict": VERDICTS], "Packets by where they went; the verdicts add up to the packets seen.";
    MalformedPacketsTotal, "anomaly_detect_malformed_packets_total", Counter, ["reason": MALFORMED], "Malformed packets by reason.";
    UnaccountedPacketsTotal, "anomaly_detect_unaccounted_packets_total", Counter, [], "Packets that are in no counter: 0, or a defect.";
    IpPacketsTotal, "anomaly_detect_ip_packets_total", Counter, ["protocol": PROTOCOLS], "Packets counted in flows, by IP protocol, or ARP.";
    IpBytesTotal, "anomaly_detect_ip_bytes_total", Counter, ["protocol": PROTOCOLS], "IP bytes counted in flows, by IP protocol, or of ARP packets.";
    OverflowBytesTotal, "anomaly_detect_overflow_bytes_total", Counter, [], "IP bytes of packets that found no room in a table.";
    SocketLossesTotal, "anomaly_detect_socket_lost_packets_total", Counter, ["reason": &["ring_full", "no_frame", "other"]], "Packets that AF_XDP sockets lost, by the kernel's own counters; together the packets with verdict lost_at_socket.";
    LaterFragmentsTotal, "anomaly_detect_later_fragments_total", Counter, ["counted": &["followed", "without_first", "inside_tunnels"]], "Later fragments, where they are followed (capture.fragments): counted in the flow of their first, or by address pair because that was not seen or stands inside of a tunnel.";
    FragmentsPushedOutTotal, "anomaly_detect_fragments_pushed_out_total", Counter, [], "First fragments forgotten before their time, because too many came.";
    TunnelPacketsTotal, "anomaly_detect_tunnel_packets_total", Counter, [], "Packets found inside of a tunnel and counted there (capture.decap).";
    DroppedPacketsTotal, "anomaly_detect_dropped_packets_total", Counter, ["by": &["kernel", "interface"]], "Packets lost before libpcap could hand them over.";

    DrainsTotal, "anomaly_detect_drains_total", Counter, [], "Epochs drained from the kernel.";
    EarlyDrainsTotal, "anomaly_detect_early_drains_total", Counter, [], "Times the kernel's flow tables were emptied before their epoch was over, because they filled.";
    DrainSeconds, "anomaly_detect_drain_seconds", Histogram(SECONDS), [], "Time from the end of an epoch until it was drained and handed over.";
    DrainFillRatio, "anomaly_detect_drain_fill_ratio", Gauge, [], "Fill of the fullest table of the last drain, 0 to 1.";
    LateEpochsTotal, "anomaly_detect_late_epochs_total", Counter, [], "Epochs handed over more than half an epoch late.";

    FlowsBegunTotal, "anomaly_detect_flows_begun_total", Counter, [], "Flow records begun.";
    FlowsEndedTotal, "anomaly_detect_flows_ended_total", Counter, ["reason": END_REASONS], "Flow records ended, by reason (IPFIX flowEndReason).";
    FlowCheckpointsTotal, "anomaly_detect_flow_checkpoints_total", Counter, [], "Flows scored while they lived.";
    FlowTableFlows, "anomaly_detect_flow_table_flows", Gauge, [], "Flows that live now.";
    FlowTableCapacity, "anomaly_detect_flow_table_capacity", Gauge, [], "Flows that may live at once.";
    FlowTableHalfOpen, "anomaly_detect_flow_table_half_open", Gauge, [], "Flows in the table that were never completed.";
    FlowTablePressed, "anomaly_detect_flow_table_pressed", Gauge, [], "1 while half-open flows pour in: they expire sooner, and not each gets a record.";
    FlowTablePressedTotal, "anomaly_detect_flow_table_pressed_total", Counter, [], "Times that the flow table came under pressure.";
    FlowsHurriedTotal, "anomaly_detect_flows_hurried_total", Counter, [], "Half-open flows ended sooner than usual, because the table was pressed.";
    FlowsAggregatedTotal, "anomaly_detect_aggregated_flows_total", Counter, [], "Half-open flows accounted by prefix only, because the table was pressed; one that goes on in a later epoch counts again.";
    PacketsAggregatedTotal, "anomaly_detect_aggregated_packets_total", Counter, [], "Packets of these flows; they are among the packets counted.";
    BytesAggregatedTotal, "anomaly_detect_aggregated_bytes_total", Counter, [], "IP bytes of these flows.";
    ContextEntries, "anomaly_detect_context_entries", Gauge, ["table": &["sources", "destinations", "conversations"]], "Entries of the context.";
    ContextEvictedTotal, "anomaly_detect_context_evicted_total", Counter, ["who": &["newcomer", "resident"]], "Entries forgotten for want of room.";

    FlowsScoredTotal, "anomaly_detect_flows_scored_total", Counter, [], "Flow records scored, checkpoints included.";
    UnusualFlowsTotal, "anomaly_detect_unusual_flows_total", Counter, [], "Flow records as rare as model.contamination by calibration alone, whether or not they are called anomalies.";
    AnomaliesTotal, "anomaly_detect_anomalies_total", Counter, ["severity": SEVERITIES], "Anomalous flow records, by severity.";
    AnomalyLimit, "anomaly_detect_anomaly_limit", Gauge, [], "p-value up to which a flow record is called an anomaly under score.hold_rate: model.contamination, or less while the traffic drifts from the baseline. 0 without.";
    Score, "anomaly_detect_score", Histogram(SCORES), [], "Scores of flow records.";
    Incidents, "anomaly_detect_incidents", Gauge, ["kind": KINDS], "Incidents going on, by kind.";
    IncidentsTotal, "anomaly_detect_incidents_total", Counter, ["kind": KINDS], "Incidents begun, by kind.";
    IncidentsForgottenTotal, "anomaly_detect_incidents_forgotten_total", Counter, [], "Incidents forgotten for want of room.";
    LearnRowsTotal, "anomaly_detect_learn_rows_total", Counter, ["state": &["learned", "waited", "habit", "refused"]], "Flow records by what they may teach a sensor that trains anew.";
    ReservoirSavesTotal, "anomaly_detect_reservoir_saves_total", Counter, ["result": &["written", "failed"]], "Times that what is remembered was written to its file.";
    ReservoirRows, "anomaly_detect_reservoir_rows", Gauge, [], "Flow records remembered to train on.";
    DriftIndex, "anomaly_detect_drift_index", Gauge, ["feature": &[]], "Population stability index of a feature against the baseline of the model in use.";
    DriftMovedRatio, "anomaly_detect_drift_moved_ratio", Gauge, [], "Share of the features whose index is above 0.25.";
    DriftDistance, "anomaly_detect_drift_distance", Gauge, [], "Greatest difference between the distribution of p-values and the uniform one, 0 to 1.";
    ModelDecisionsTotal, "anomaly_detect_model_decisions_total", Counter, ["decision": &["promoted", "refused", "rolled_back"]], "What became of models trained while watching.";
    AlertsToldTotal, "anomaly_detect_alerts_told_total", Counter, ["kind": ALL_KINDS, "severity": SEVERITIES], "Alerts that went out, by kind and severity: incidents told for the first time, and told again because they had grown fourfold or become graver.";
    AlertsTotal, "anomaly_detect_alerts_total", Counter, ["state": &["told", "told_again", "below_threshold", "withheld", "suppressed", "handled", "limited"]], "Incidents new or grown, by what was done with them: told (what an alert budget counts), told again, below its threshold, waited for it in vain, suppressed, dealt with by somebody already, and kept waiting because their host or kind had told enough.";
    AlertThreshold, "anomaly_detect_alert_threshold", Gauge, ["severity": SEVERITIES], "Evidence from which an incident is told, under the alert budget.";
    AlertsWaiting, "anomaly_detect_alerts_waiting", Gauge, [], "Incidents that wait for the alert budget.";

    SinkMessagesTotal, "anomaly_detect_sink_messages_total", Counter, ["sink": SINKS, "state": &["taken", "no_room", "gone"]], "Alerts and flows handed to sinks: taken, lost because the sink's inbox was full, or because the sink is gone.";

    StoreRowsTotal, "anomaly_detect_store_rows_total", Counter, ["table": &["incidents", "flows"], "state": &["written", "left_out", "lost"]], "Incidents and flows for the store: written, left out because an epoch had too many telling ones (of incidents: too many that nobody was told of), and lost because it could not be written for long.";
    StoreBytes, "anomaly_detect_store_bytes", Gauge, [], "Bytes that the store uses.";
    StoreUp, "anomaly_detect_store_up", Gauge, [], "1 while the store can be written.";
    StoreCommitSeconds, "anomaly_detect_store_commit_seconds", Histogram(SECONDS), [], "Time that one transaction of the store took.";
    StoreSuppressions, "anomaly_detect_store_suppressions", Gauge, [], "Suppressions in force.";

    EvidenceBundlesTotal, "anomaly_detect_evidence_bundles_total", Counter, ["state": &["written", "failed", "skipped", "removed"]], "Bundles of evidence: written (again counts again), not written because of an error, not made because too many alerts came at once, and removed to make room.";
    EvidencePacketsTotal, "anomaly_detect_evidence_packets_total", Counter, ["state": &["copied", "lost", "aged_out", "kept", "left_out"]], "Packets for evidence: copied while they passed, lost because the ring was full, left memory for younger ones, written to bundles, and left out of bundles because of their bound.";
    EvidenceWatchedFlows, "anomaly_detect_evidence_watched_flows", Gauge, [], "Flows whose packets are copied because of their score.";
    EvidenceUnwatchedTotal, "anomaly_detect_evidence_unwatched_total", Counter, [], "Flows that were not watched, because the list was full.";
    EvidenceBytes, "anomaly_detect_evidence_bytes", Gauge, ["where": &["disk", "memory"]], "Bytes of bundles, and of packets that wait in memory for an alert.";

    SinkParcelsTotal, "anomaly_detect_sink_parcels_total", Counter, ["sink": SINKS, "state": &["delivered", "dead", "lost"]], "Parcels by what became of them: the receiver has them, refused them for good, or they were lost before it could.";
    SinkLostParcelsTotal, "anomaly_detect_sink_lost_parcels_total", Counter, ["sink": SINKS, "reason": &["full", "disk", "damaged"]], "Parcels lost by reason: the spool was full, the disk did not take them and memory was full, or they were on disk and could not be read.";
    SinkRetriesTotal, "anomaly_detect_sink_retries_total", Counter, ["sink": SINKS], "Deliveries that failed and are tried again.";
    SinkUp, "anomaly_detect_sink_up", Gauge, ["sink": SINKS], "1 unless the last delivery of a sink of this kind failed.";
    SinkLastSuccessTimestampSeconds, "anomaly_detect_sink_last_success_timestamp_seconds", Gauge, ["sink": SINKS], "When the receiver took something last, seconds since 1970.";
    SinkSpoolBytes, "anomaly_detect_sink_spool_bytes", Gauge, ["sink": SINKS, "where": &["memory", "disk"]], "Bytes of what waits for the receiver, in memory and on disk.";
    SinkSpoolParcels, "anomaly_detect_sink_spool_parcels", Gauge, ["sink": SINKS], "Parcels that wait for the receiver.";

    EpochSeconds, "anomaly_detect_epoch_seconds", Histogram(SECONDS), [], "Time from receiving an epoch to its last verdict.";
    LatencySeconds, "anomaly_detect_latency_seconds", Gauge, ["quantile": &["0.5", "0.9", "0.99", "0.999", "1"]], "Quantiles of the time from the end of an epoch to its last verdict, since the start.";
    SeriesRefusedTotal, "anomaly_detect_series_refused_total", Counter, ["reason": Refusal::NAMES], "Changes of a metric that were not made: its family has all the series it may have, or a label is none of those declared.";
    LogRowsTotal, "anomaly_detect_log_rows_total", Counter, ["state": &["written", "lost"]], "Rows of the log of flows.";

    IntelEntries, "anomaly_detect_intel_entries", Gauge, ["list": &[]], "Entries in use of a threat list (intel.lists).";
    IntelUnusedEntries, "anomaly_detect_intel_unused_entries", Gauge, ["reason": INTEL_LOSSES], "Entries of threat lists that are not used, by reason.";
    IntelReloadsTotal, "anomaly_detect_intel_reloads_total", Counter, ["result": &["read", "refused"]], "Times that a threat list was read, by whether it could be used; what it said before stays where it could not.";
    IntelMatchesTotal, "anomaly_detect_intel_matches_total", Counter, ["list": &[]], "Matches of threat lists said beside incidents when these were told first.";
    IntelFlowsTotal, "anomaly_detect_intel_flows_total", Counter, ["list": &[]], "Flows that ended, to or from what is on a threat list; what lists say is no verdict.";

    ResourceCpuRatio, "anomaly_detect_resource_cpu_ratio", Gauge, [], "Processor time of the machine in use by all but this process in the last second, 0 to 1.";
    ResourceMemoryRatio, "anomaly_detect_resource_memory_ratio", Gauge, [], "Memory of the machine that is not available, 0 to 1.";
    ResourceDiskReadBytes, "anomaly_detect_resource_disk_read_bytes_per_second", Gauge, [], "Bytes that the machine read from disks in the last second.";
    ResourceNetworkBytes, "anomaly_detect_resource_network_bytes_per_second", Gauge, [], "Bytes that the machine received and sent in the last second.";
    ResourceThreshold, "anomaly_detect_resource_threshold", Gauge, ["resource": RESOURCES], "Value from which a resource is beyond what is usual, in its own unit; absent while that is being learned.";
    ResourceSpike, "anomaly_detect_resource_spike", Gauge, ["resource": RESOURCES], "1 while a spike goes on.";
    ResourceSpikesTotal, "anomaly_detect_resource_spikes_total", Counter, ["resource": RESOURCES], "Spikes told.";
    ResourceSamplesTotal, "anomaly_detect_resource_samples_total", Counter, ["result": &["read", "unknown"]], "Seconds looked at, by whether anything could be read.";

    ProcessCpuSecondsTotal, "process_cpu_seconds_total", Counter, [], "Processor time of this process, user and system.";
    ProcessResidentMemoryBytes, "process_resident_memory_bytes", Gauge, [], "Resident memory of this process.";
    ProcessOpenFds, "process_open_fds", Gauge, [], "Open files of this process.";
    ProcessStartTimeSeconds, "process_start_time_seconds", Gauge, [], "When this process began to measure, in seconds since 1970.";
}

/// The whole of `docs/metrics.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         <!-- Generated from sensor/src/metrics/declared.rs; a test compares. Rewrite with:\n     \
         UPDATE=1 cargo test -p sensor --lib metrics_doc -->\n\n\
         `anomaly-detect live` serves these at `http://127.0.0.1:9477/metrics` (key `metrics.listen`). Labels come from\n\
         closed sets, from the configuration or from the build; no address or port of the traffic ever is one.\n\n\
         | name | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in METRICS {
        let kind = match metric.kind {
            Counter => "counter",
            Gauge => "gauge",
            Histogram(_) => "histogram",
        };
        let label = |label: &Label| match label.values {
            [] => format!("`{}`", label.name),
            values => format!("`{}`: {}", label.name, values.join(", ")),
        };
        let labels: Vec<_> = metric.labels.iter().map(label).collect();
        let _ = writeln!(
            page,
            "| `{}` | {kind} | {} | {} |",
            metric.name,
            labels.join("; "),
            metric.help
        );
    }
    page
}
