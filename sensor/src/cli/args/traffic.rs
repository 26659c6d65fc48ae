//! Commands that read packets, flows or logs: `run`, `pcap`, `features`, `logs`, `live`, `extract`.

use std::path::PathBuf;

use clap::Args;

use super::groups::{
    Alerts, Captures, Common, FlowTable, Grave, Inputs, ModelNamed, Summary, Timeouts, Training,
    table_or_json,
};
use crate::config::{CaptureMode, Count, Format};

#[derive(Args, Debug)]
#[command(
    after_help = "Files in the output folder: pcap_features.csv, predictions.csv, model_outputs/, reports/report.html.\n\n\
        Examples:\n  \
        anomaly-detect run office.pcap.zst                       learn from it and score it\n  \
        anomaly-detect run today.pcap -m office.model -o today   score it with another model\n  \
        anomaly-detect run today.pcap --logs Security.evtx       with Windows event logs of the same time\n  \
        anomaly-detect run upload/*.pcap -q --fail-on high       in a script: code 3 if something is found\n  \
        tcpdump -w - | anomaly-detect run -                      standard input, until tcpdump is ended"
)]
#[command(mut_arg("model", |model| ModelNamed::otherwise(model, "one trained on these captures")))]
pub(in crate::cli) struct Run {
    #[command(flatten)]
    pub(in crate::cli) captures: Captures,
    /// Output folder [default: anomaly-out]; - prints the predictions and writes no file
    #[arg(short, long, value_name = "FOLDER")]
    pub(in crate::cli) output: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) model: ModelNamed,
    #[command(flatten)]
    pub(in crate::cli) summary: Summary,
    /// Incidents and flows in the summary [default: 10]
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) top: Option<usize>,
    /// End with code 3 if an incident is at least this severe
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub(in crate::cli) fail_on: Option<Grave>,
    /// Windows event logs of the same time, or folders of them: adds what they say to the flows, and their incidents
    #[arg(long, value_name = "LOG", num_args = 1..)]
    pub(in crate::cli) logs: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) alerts: Alerts,
    #[command(flatten)]
    pub(in crate::cli) timeouts: Timeouts,
    #[command(flatten)]
    pub(in crate::cli) training: Training,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect pcap office.pcap.zst                           flows and features, as CSV\n  \
        anomaly-detect pcap office.pcap --conn-log conn.log -o -      also as a conn.log of Zeek\n  \
        anomaly-detect pcap monday.pcap tuesday.pcap -o flows.parquet several captures, merged by time")]
#[command(mut_arg("output", |output| FlowTable::by_default(output, "anomaly-out/pcap_features.csv")))]
pub(in crate::cli) struct Pcap {
    #[command(flatten)]
    pub(in crate::cli) captures: Captures,
    #[command(flatten)]
    pub(in crate::cli) flows: Flows,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect features monday.csv tuesday.csv -o week.csv  tables of flows become one\n  \
        anomaly-detect features office.pcap --logs winlogbeat/      flows with what event logs say")]
#[command(mut_arg("output", |output| FlowTable::by_default(output, "anomaly-out/features.csv")))]
pub(in crate::cli) struct Features {
    #[command(flatten)]
    pub(in crate::cli) inputs: Inputs,
    #[command(flatten)]
    pub(in crate::cli) flows: Flows,
}

/// Which flows are written, with what beside them, and where to.
#[derive(Args, Debug)]
pub(in crate::cli) struct Flows {
    #[command(flatten)]
    pub(in crate::cli) table: FlowTable,
    /// Also write flows while they live, as the model sees them (end_reason is empty)
    #[arg(long)]
    pub(in crate::cli) checkpoints: bool,
    /// Windows event logs of the same time, or folders of them: adds what they say to the flows
    #[arg(long, value_name = "LOG", num_args = 1..)]
    pub(in crate::cli) logs: Vec<PathBuf>,
    /// Also write the flows as Zeek would, as a conn.log
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) conn_log: Option<PathBuf>,
    /// Also send the flows to a collector as IPFIX, for example udp://10.0.0.9:4739 or tcp://collector:4739
    #[arg(long, value_name = "COLLECTOR", value_parser = crate::config::Collector::parse)]
    pub(in crate::cli) ipfix: Option<crate::config::Collector>,
    #[command(flatten)]
    pub(in crate::cli) timeouts: Timeouts,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Reads EVTX, JSON lines (Winlogbeat, nxlog, Sentinel) and CSV (Event Viewer, Export-Csv), also .gz and .zst.\n\n\
        Examples:\n  \
        anomaly-detect logs Security.evtx\n  \
        anomaly-detect logs winlogbeat/ -o - > events.csv\n  \
        anomaly-detect logs --follow /var/log/winlogbeat/"
)]
#[command(mut_arg("format", table_or_json))]
pub(in crate::cli) struct Logs {
    /// Event logs, or folders of them
    #[arg(required = true, value_name = "LOG")]
    pub(in crate::cli) inputs: Vec<PathBuf>,
    /// Table of events with their features [default: anomaly-out/logs.csv], or -
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) summary: Summary,
    /// Incidents in the summary
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub(in crate::cli) top: usize,
    /// Go on as the logs grow, and tell incidents as they come; rotated files are read to their end
    #[arg(short, long)]
    pub(in crate::cli) follow: bool,
    /// With --follow: time between two looks
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::time::parse_duration)]
    pub(in crate::cli) interval: std::time::Duration,
    /// With --follow: end after this time
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse_duration, requires = "follow")]
    pub(in crate::cli) duration: Option<std::time::Duration>,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON for XDP, CAP_NET_RAW for libpcap, or root.\n\n\
        Examples:\n  \
        anomaly-detect live -i eth0                             learn what is usual, then watch\n  \
        anomaly-detect live -i eth0 -m office.model --duration 10m\n  \
        anomaly-detect live --tap mirror0 --alert-budget 20/day a mirror port\n  \
        anomaly-detect live -i eth0 -o - | grep 10.0.0.9        flows as they end, as CSV"
)]
#[command(mut_arg("model", |model| ModelNamed::otherwise(model, "a baseline learned first, or gone on with")))]
#[command(mut_arg("format", table_or_json))]
pub(in crate::cli) struct Live {
    /// Interface to watch; may be given more than once
    #[arg(short, long = "iface", value_name = "NAME")]
    pub(in crate::cli) interfaces: Vec<String>,
    /// Mirror port to watch: what arrives there is counted and never reaches the stack; may be given more than once
    #[arg(long = "tap", value_name = "NAME")]
    pub(in crate::cli) taps: Vec<String>,
    /// How to capture
    #[arg(long, value_enum, value_name = "HOW")]
    pub(in crate::cli) capture: Option<CaptureMode>,
    /// How often a packet counts that is forwarded between two of the interfaces [default: first-hook]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(in crate::cli) count: Option<Count>,
    #[command(flatten)]
    pub(in crate::cli) model: ModelNamed,
    /// Learn a baseline from the beginning, though there is one of an earlier watch in the output folder
    #[arg(long, conflicts_with = "model")]
    pub(in crate::cli) anew: bool,
    /// Train anew on the traffic that is watched, for example 6h; 0 keeps the first model [default: 24h]
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) retrain_every: Option<String>,
    /// Stop after this long, for example 10m
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) duration: Option<String>,
    /// Switch off what hides packets (VLAN stripping, large receive offload) until the end (Linux)
    #[arg(long)]
    pub(in crate::cli) fix: bool,
    /// User to become once the capture has begun, by name or number (Linux, as root)
    #[arg(long, value_name = "USER")]
    pub(in crate::cli) user: Option<String>,
    /// Output folder [default: anomaly-out] for live_capture_log.csv; - prints it and writes no file
    #[arg(short, long, value_name = "FOLDER")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Form of what is printed: a line for each anomaly, or JSON
    #[arg(long, value_enum, value_name = "FORM")]
    pub(in crate::cli) format: Option<Format>,
    #[command(flatten)]
    pub(in crate::cli) alerts: Alerts,
    #[command(flatten)]
    pub(in crate::cli) timeouts: Timeouts,
    #[command(flatten)]
    pub(in crate::cli) training: Training,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect extract office.pcap.zst --flow 1:Rzxbay2Tce7oerZt5LxOW0FY//A= -o flow.pcapng\n  \
        anomaly-detect extract office.pcap.zst --alert 3f9a1c2b4d5e6f70")]
pub(in crate::cli) struct Extract {
    #[command(flatten)]
    pub(in crate::cli) captures: Captures,
    /// Flow, by its community_id; of ARP, arp/ASKER/ASKED
    #[arg(long, value_name = "COMMUNITY_ID", conflicts_with = "alert")]
    pub(in crate::cli) flow: Option<String>,
    /// Alert, by its name in evidence/ of the output folder, or its folder: all packets of its most anomalous flow
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) alert: Option<String>,
    /// pcapng file to write, or -
    #[arg(short, long, value_name = "FILE", default_value = "extract.pcapng")]
    pub(in crate::cli) output: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}
