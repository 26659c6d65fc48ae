//! The grammar of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, builder::styling::Styles};

use crate::config::{CaptureMode, Count, Format};

/// Finds anomalous flows in network traffic, and says why.
#[derive(Debug, Parser)]
#[command(
    name = "anomaly-detect",
    version,
    styles = Styles::plain(),
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        anomaly-detect run office.pcap.zst           learn, score and explain a capture\n  \
        tcpdump -w - | anomaly-detect run -          the same from standard input\n  \
        anomaly-detect train monday.pcap             keep a model of ordinary traffic\n  \
        anomaly-detect predict tuesday.pcap -o -     score other traffic with it\n  \
        sudo anomaly-detect live -i eth0             watch an interface\n\n\
        Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 found what --fail-on names, 66 no input,\n\
        69 cannot capture, 77 no permission, 78 wrong configuration."
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Learn from captures, score them, and report what stands out
    Run(Run),
    /// Write the flows of captures, with their features, as a table
    Pcap(Flows),
    /// Join captures and flow tables into one table of features
    Features(Flows),
    /// Read Windows event logs: features of each event, and what they add up to
    Logs(Logs),
    /// Train a model on captures or tables of features
    Train(Train),
    /// Score captures or tables of features with a model
    Predict(Predict),
    /// Watch interfaces: score flows as they happen
    Live(Live),
    /// List incidents, say why, acknowledge, close and suppress them
    Alerts {
        #[command(subcommand)]
        action: super::alerts::AlertsAction,
    },
    /// Show telling flows of the store: of an incident, a host, a service
    Flows(super::stored::StoredFlows),
    /// Show hosts and what is usual for them
    Hosts(super::stored::Hosts),
    /// Rank hosts, pairs, services by what they move
    Top(super::stored::TopArgs),
    /// Show what was stored in a browser: incidents, traffic, hosts, and why
    Dashboard(super::dashboard::Dashboard),
    /// Write what was found as one page that needs no network, and as JSON beside it
    Report(ReportArgs),
    /// Say why flows are anomalous
    Explain(Explain),
    /// Cut the packets of a flow or an alert out of captures
    Extract(Extract),
    /// Measure a model against known labels
    Eval(Eval),
    /// Learn from and score Zeek's connection logs, or watch a folder of them
    Zeek {
        #[command(subcommand)]
        action: super::zeek::ZeekAction,
    },
    /// Read threat lists, and look addresses up in them
    Intel {
        #[command(subcommand)]
        action: super::intel::IntelAction,
    },
    /// Manage the models that were trained
    Model {
        #[command(subcommand)]
        action: ModelAction,
    },
    /// Try whether alerts reach those who are to be told
    Sinks {
        #[command(subcommand)]
        action: SinksAction,
    },
    /// Check, print or explain the configuration
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Check whether this machine can do what the sensor needs
    Doctor(Doctor),
    /// Ask the sensor that runs here how it is
    Health(Health),
    /// Print what a shell needs to complete our commands
    #[command(hide = true)]
    Completions(Completions),
    /// Write manual pages, one for each command
    #[command(hide = true)]
    Man(Man),
}

#[derive(Args, Debug)]
#[command(
    after_help = "Prints a line (watching, or how far it has learned) and ends with 0 if the sensor is ready, with 1\n\
        if it is not or nobody answers: for health checks of container engines and for scripts. It asks\n\
        the address of metrics.listen."
)]
pub(super) struct Health {
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(super) shell: clap_complete::Shell,
    /// Output file, or -
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct Man {
    /// Folder for them
    #[arg(short, long, value_name = "FOLDER")]
    pub(super) output: PathBuf,
}

/// What every command understands.
#[derive(Args, Debug)]
pub(super) struct Common {
    /// Configuration file; conf.d/*.toml beside it is read too
    #[arg(short, long, value_name = "FILE", env = "ANOMALY_DETECT_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Set any configuration key, for example --set model.trees=200
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) settings: Vec<String>,
    /// Say nothing but errors on standard error
    #[arg(short, long)]
    pub(super) quiet: bool,
}

impl Common {
    /// The same, with this configuration.
    pub(super) fn with(&self, config: Option<PathBuf>) -> Self {
        Self {
            config,
            settings: self.settings.clone(),
            quiet: self.quiet,
        }
    }
}

/// Which flows there are, and when they end.
#[derive(Args, Debug)]
pub(super) struct Timeouts {
    /// End a flow without a packet for this long, for example 120s; 0 for never
    #[arg(long, value_name = "TIME")]
    pub(super) idle_timeout: Option<String>,
    /// Cut longer flows into records of this length, for example 30m; 0 for never
    #[arg(long, value_name = "TIME")]
    pub(super) active_timeout: Option<String>,
    /// Look inside tunnels: GRE, VXLAN, Geneve, GTP-U, IP in IP, MPLS, PPPoE
    #[arg(long)]
    pub(super) decap: bool,
}

/// How a model is trained.
#[derive(Args, Debug)]
pub(super) struct Training {
    /// Seed of everything drawn
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,
    /// Trees in the forest
    #[arg(long, value_name = "NUMBER")]
    pub(super) trees: Option<u32>,
    /// Share of the traffic that is called anomalous
    #[arg(long, value_name = "SHARE")]
    pub(super) contamination: Option<f64>,
    /// Weight of an autoencoder beside the forest, up to 0.9, for example 0.3: finds more over a baseline without attacks
    #[arg(long, value_name = "WEIGHT")]
    pub(super) autoencoder: Option<f64>,
}

/// How many incidents are told.
#[derive(Args, Debug)]
pub(super) struct Alerts {
    /// Tell about so many incidents, the strongest: 20/day, 5/hour, or apart: critical=10/day, 5/day
    #[arg(long, value_name = "RATE")]
    pub(super) alert_budget: Option<String>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Files in the output folder: pcap_features.csv, predictions.csv, model_outputs/, reports/report.html."
)]
pub(super) struct Run {
    /// Captures (pcap, pcapng, also .gz and .zst), folders of captures, or - for standard input
    #[arg(required = true, value_name = "CAPTURE")]
    pub(super) inputs: Vec<PathBuf>,
    /// Output folder [default: anomaly-out]; - prints the predictions and writes no file
    #[arg(short, long, value_name = "FOLDER")]
    pub(super) output: Option<PathBuf>,
    /// Score with this model (a file, or a name from `model list`) and do not train
    #[arg(short, long, value_name = "MODEL")]
    pub(super) model: Option<String>,
    /// Form of the summary [default: table]
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    /// Incidents and flows in the summary [default: 10]
    #[arg(long, value_name = "NUMBER")]
    pub(super) top: Option<usize>,
    /// End with code 3 if an incident is at least this severe
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub(super) fail_on: Option<FailOn>,
    /// Windows event logs of the same time, or folders of them: adds what they say to the flows, and their incidents
    #[arg(long, value_name = "LOG", num_args = 1..)]
    pub(super) logs: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) alerts: Alerts,
    #[command(flatten)]
    pub(super) timeouts: Timeouts,
    #[command(flatten)]
    pub(super) training: Training,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Severities to fail on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FailOn {
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Args, Debug)]
pub(super) struct Flows {
    /// Captures, folders of captures, - for standard input; `features` also takes tables this program wrote
    #[arg(required = true, value_name = "INPUT")]
    pub(super) inputs: Vec<PathBuf>,
    /// Output file [default: anomaly-out/pcap_features.csv or anomaly-out/features.csv], or -; one that ends in .parquet is
    /// written as Parquet
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Form of the output: csv, json (a line each), or table
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    /// Also write flows while they live, as the model sees them (end_reason is empty)
    #[arg(long)]
    pub(super) checkpoints: bool,
    /// Windows event logs of the same time, or folders of them: adds what they say to the flows
    #[arg(long, value_name = "LOG", num_args = 1..)]
    pub(super) logs: Vec<PathBuf>,
    /// Also write the flows as Zeek would, as a conn.log
    #[arg(long, value_name = "FILE")]
    pub(super) conn_log: Option<PathBuf>,
    /// Also send the flows to a collector as IPFIX, for example udp://10.0.0.9:4739 or tcp://collector:4739
    #[arg(long, value_name = "COLLECTOR", value_parser = crate::config::Collector::parse)]
    pub(super) ipfix: Option<crate::config::Collector>,
    #[command(flatten)]
    pub(super) timeouts: Timeouts,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Reads EVTX, JSON lines (Winlogbeat, nxlog, Sentinel) and CSV (Event Viewer, Export-Csv), also .gz and .zst.\n\n\
        Examples:\n  \
        anomaly-detect logs Security.evtx\n  \
        anomaly-detect logs winlogbeat/ -o - > events.csv\n  \
        anomaly-detect logs --follow /var/log/winlogbeat/"
)]
pub(super) struct Logs {
    /// Event logs, or folders of them
    #[arg(required = true, value_name = "LOG")]
    pub(super) inputs: Vec<PathBuf>,
    /// Table of events with their features [default: anomaly-out/logs.csv], or -
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Form of the summary: table or json
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    /// Incidents in the summary
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub(super) top: usize,
    /// Go on as the logs grow, and tell incidents as they come; rotated files are read to their end
    #[arg(short, long)]
    pub(super) follow: bool,
    /// With --follow: time between two looks
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::time::parse_duration)]
    pub(super) interval: std::time::Duration,
    /// With --follow: end after this time
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse_duration, requires = "follow")]
    pub(super) duration: Option<std::time::Duration>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "With --labels or --rules a classifier (boosted trees) is trained instead of a forest, from tables of any columns: features\n\
        of this program, CIC-IDS-2017, UNSW-NB15, KDD99 and NSL-KDD (these without a header: their label is `class`), plain, .gz or .xz.\n\n\
        Examples:\n  \
        anomaly-detect train monday.pcap -o office.model\n  \
        anomaly-detect train --labels Label cic/*.csv.xz -o cic.model\n  \
        anomaly-detect train --rules attacks.toml features.csv -o mine.model\n  \
        anomaly-detect predict -m cic.model other.csv"
)]
pub(super) struct Train {
    /// Captures, or tables of features this program wrote
    #[arg(required = true, value_name = "INPUT")]
    pub(super) inputs: Vec<PathBuf>,
    /// Model file to write, or - [default: the next version in anomaly-out/model_outputs/; a classifier goes to
    /// anomaly-out/classifier.model]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Learn to tell attacks by the labels in this column
    #[arg(short, long, value_name = "COLUMN")]
    pub(super) labels: Option<String>,
    /// Learn to tell attacks by rules on addresses and times (see `eval --help`)
    #[arg(short, long, value_name = "FILE")]
    pub(super) rules: Option<PathBuf>,
    /// With labels: a column not to learn from; may be given more than once
    #[arg(long = "ignore", value_name = "COLUMN")]
    pub(super) ignored: Vec<String>,
    /// With labels: tell attacks from ordinary rows, and not one kind of attack from another
    #[arg(long)]
    pub(super) two_classes: bool,
    /// Form of the summary: table or json
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) timeouts: Timeouts,
    #[command(flatten)]
    pub(super) training: Training,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
pub(super) struct Predict {
    /// Captures, or tables of features this program wrote
    #[arg(required = true, value_name = "INPUT")]
    pub(super) inputs: Vec<PathBuf>,
    /// Output file [default: anomaly-out/predictions.csv], or -; one that ends in .parquet is written as Parquet
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Model file, or name from `model list` [default: the model in use]
    #[arg(short, long, value_name = "MODEL")]
    pub(super) model: Option<String>,
    /// Form of the output: csv, json (a line each), or table
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) alerts: Alerts,
    #[command(flatten)]
    pub(super) timeouts: Timeouts,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON for XDP, CAP_NET_RAW for libpcap, or root."
)]
pub(super) struct Live {
    /// Interface to watch; may be given more than once
    #[arg(short, long = "iface", value_name = "NAME")]
    pub(super) interfaces: Vec<String>,
    /// Mirror port to watch: what arrives there is counted and never reaches the stack; may be given more than once
    #[arg(long = "tap", value_name = "NAME")]
    pub(super) taps: Vec<String>,
    /// How to capture
    #[arg(long, value_enum, value_name = "HOW")]
    pub(super) capture: Option<CaptureMode>,
    /// How often a packet counts that is forwarded between two of the interfaces [default: first-hook]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(super) count: Option<Count>,
    /// Model file, or name from `model list`; without one a baseline is learned first, or gone on with
    #[arg(short, long, value_name = "MODEL")]
    pub(super) model: Option<String>,
    /// Learn a baseline from the beginning, though there is one of an earlier watch in the output folder
    #[arg(long, conflicts_with = "model")]
    pub(super) anew: bool,
    /// Train anew on the traffic that is watched, for example 6h; 0 keeps the first model [default: 24h]
    #[arg(long, value_name = "TIME")]
    pub(super) retrain_every: Option<String>,
    /// Stop after this long, for example 10m
    #[arg(long, value_name = "TIME")]
    pub(super) duration: Option<String>,
    /// Switch off what hides packets (VLAN stripping, large receive offload) until the end (Linux)
    #[arg(long)]
    pub(super) fix: bool,
    /// User to become once the capture has begun, by name or number (Linux, as root)
    #[arg(long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// Output folder [default: anomaly-out] for live_capture_log.csv; - prints it and writes no file
    #[arg(short, long, value_name = "FOLDER")]
    pub(super) output: Option<PathBuf>,
    /// Form of what is printed: table (a line for each anomaly) or json
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) alerts: Alerts,
    #[command(flatten)]
    pub(super) timeouts: Timeouts,
    #[command(flatten)]
    pub(super) training: Training,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect report                                   # of the output folder\n  \
        anomaly-detect report /var/lib/anomaly-detect --last 24h -o yesterday.html\n  \
        anomaly-detect report monday/reports/report.json -o -")]
pub(super) struct ReportArgs {
    /// Output folder of a run or a sensor, a store, or the JSON of a report [default: anomaly-out]
    #[arg(value_name = "FOLDER")]
    pub(super) folder: Option<PathBuf>,
    /// Only of so much traffic time before the newest, for example 24h
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse_duration)]
    pub(super) last: Option<std::time::Duration>,
    /// Page to write, with the JSON beside it, or - for the page alone [default: reports/report.html of the output folder]
    #[arg(short, long, value_name = "FILE.html")]
    pub(super) output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect extract office.pcap.zst --flow 1:Rzxbay2Tce7oerZt5LxOW0FY//A= -o flow.pcapng\n  \
        anomaly-detect extract office.pcap.zst --alert 3f9a1c2b4d5e6f70")]
pub(super) struct Extract {
    /// Captures, folders of captures, or - for standard input
    #[arg(required = true, value_name = "INPUT")]
    pub(super) inputs: Vec<PathBuf>,
    /// Flow, by its community_id
    #[arg(long, value_name = "COMMUNITY_ID", conflicts_with = "alert")]
    pub(super) flow: Option<String>,
    /// Alert, by its name in evidence/ of the output folder, or its folder: all packets of its most anomalous flow
    #[arg(long, value_name = "ID")]
    pub(super) alert: Option<String>,
    /// pcapng file to write, or -
    #[arg(short, long, value_name = "FILE", default_value = "extract.pcapng")]
    pub(super) output: PathBuf,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect explain anomaly-out/predictions.csv --flow 050054f125279a28\n  \
        anomaly-detect explain --replay anomaly-out/evidence/*      # whether the evidence holds, bit by bit")]
pub(super) struct Explain {
    /// Captures, or tables of features this program wrote
    #[arg(required_unless_present = "replay", value_name = "INPUT")]
    pub(super) inputs: Vec<PathBuf>,
    /// Bundles of evidence: recompute their scores, and fail where one does not come out again
    #[arg(long, value_name = "BUNDLE", num_args = 1.., conflicts_with = "inputs")]
    pub(super) replay: Vec<PathBuf>,
    /// Flow to explain, by flow_id or community_id [default: the most anomalous ones]
    #[arg(short, long, value_name = "ID")]
    pub(super) flow: Option<String>,
    /// Flows to explain when none is named
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    pub(super) top: usize,
    /// Output file, or -
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    /// Model file, or name from `model list` [default: the model in use]
    #[arg(short, long, value_name = "MODEL")]
    pub(super) model: Option<String>,
    /// Form of the output: table or json
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) timeouts: Timeouts,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Labels: a column (--label) whose values 0, false, no, benign, normal, background, - and nothing mean\n\
        ordinary; or a rule file (--rules) with entries such as\n\n  \
        [[attack]]\n  \
        actor = \"192.168.20.24\"            # either role; any of these may be left out\n  \
        victim = \"192.168.20.5\"\n  \
        ports = [22]                       # responder ports; [] for any\n  \
        start = \"2026-11-21T05:36:57Z\"\n  \
        end = \"2026-11-21T05:37:02Z\""
)]
pub(super) struct Eval {
    /// Predictions, tables of features, or captures; with a classifier, tables as it was trained on
    #[arg(required = true, value_name = "INPUT")]
    pub(super) inputs: Vec<PathBuf>,
    /// Column that holds the label [default: label, if there is one]
    #[arg(short, long, value_name = "COLUMN")]
    pub(super) label: Option<String>,
    /// File of rules that tell which flows are attacks
    #[arg(short, long, value_name = "FILE")]
    pub(super) rules: Option<PathBuf>,
    /// Score with this model [default: the scores in the table, else the model in use]
    #[arg(short, long, value_name = "MODEL")]
    pub(super) model: Option<String>,
    /// Threshold of the score [default: the predictions in the table, else the model's]
    #[arg(short, long, value_name = "SCORE")]
    pub(super) threshold: Option<f64>,
    /// Also write a report with plots
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    /// Output file, or -
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) timeouts: Timeouts,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum ModelAction {
    /// List the models in the store
    List(ModelList),
    /// Show what is known of a model
    Show(ModelShow),
    /// Say how the baselines of two models differ
    Diff(ModelDiff),
    /// Put a model in use
    Use(ModelUse),
    /// Put the model in use that was in use before
    Rollback(ModelList),
    /// Make one model of several that boxes of one fleet learned
    Merge(ModelMerge),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect model diff 1 2\n  \
        anomaly-detect model diff monday.model tuesday.model --format csv -o moved.csv")]
pub(super) struct ModelDiff {
    /// Model file, or name from `model list`
    #[arg(value_name = "OLD")]
    pub(super) old: String,
    /// Another
    #[arg(value_name = "NEW")]
    pub(super) new: String,
    /// Features to show, those that moved farthest
    #[arg(long, value_name = "NUMBER", default_value_t = 15)]
    pub(super) top: usize,
    /// Output file, or -
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "The trees of all are put together, so all need one schema and one shape of tree. The result is calibrated on\n\
        --calibrate-on, or on what a sensor that learns in the output folder remembers.\n\n\
        Examples:\n  \
        anomaly-detect model merge berlin.model lyon.model -o fleet.model --calibrate-on monday.pcap\n  \
        anomaly-detect model merge 3 lyon.model && anomaly-detect model use 4"
)]
pub(super) struct ModelMerge {
    /// Model files, or names from `model list`
    #[arg(required = true, num_args = 2.., value_name = "MODEL")]
    pub(super) models: Vec<String>,
    /// Ordinary traffic of this place to calibrate on: captures, or tables of features
    #[arg(long, value_name = "INPUT", num_args = 1..)]
    pub(super) calibrate_on: Vec<PathBuf>,
    /// Output file, or - [default: kept beside the other models, not put in use]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
pub(super) struct ModelList {
    /// Output file, or -
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
pub(super) struct ModelShow {
    /// Model file, or name from `model list` [default: the model in use]
    #[arg(value_name = "MODEL")]
    pub(super) model: Option<String>,
    /// Output file, or -
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
pub(super) struct ModelUse {
    /// Name, number or beginning of the digest, as in `model list`
    #[arg(value_name = "MODEL")]
    pub(super) model: String,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum SinksAction {
    /// Send a test alert to every sink that is configured, and print what each receiver said
    Test(SinksTest),
}

#[derive(Args, Debug)]
#[command(
    after_help = "Ends with code 1 if one of them could not be reached, or refused.\n\n\
        Examples:\n  \
        anomaly-detect sinks test -c /etc/anomaly-detect/config.toml\n  \
        anomaly-detect sinks test --set webhook.targets=slack=https://hooks.slack.com/services/..."
)]
pub(super) struct SinksTest {
    /// Only this one: webhook, mail, redis, ..., or the folder of one in spool/
    #[arg(value_name = "SINK")]
    pub(super) sink: Option<String>,
    /// Output file, or -
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    /// Form of the output: table (a line each) or json
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigAction {
    /// Read every layer, say whether it is valid, and what each key that is set means
    Check(ConfigArgs),
    /// Print every key with its value and where that came from, as TOML
    Dump(Dump),
    /// Say what keys are for, what they take, and what they are now
    #[command(after_help = "Examples:\n  \
        anomaly-detect config explain flow.idle_timeout\n  \
        anomaly-detect config explain evidence       every key of the section")]
    Explain(ExplainKeys),
}

#[derive(Args, Debug)]
pub(super) struct Dump {
    /// A file to begin with: every key explained, at its default and commented out; what is set, set
    #[arg(long)]
    pub(super) commented: bool,
    #[command(flatten)]
    pub(super) config: ConfigArgs,
}

#[derive(Args, Debug)]
pub(super) struct ExplainKeys {
    /// Keys, or sections; by default all
    #[arg(value_name = "KEY")]
    pub(super) keys: Vec<String>,
    /// Output file, or -
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    /// Configuration file (the same as --config)
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Output file, or -
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// Interface to look at; may be given more than once
    #[arg(short, long = "iface", value_name = "NAME")]
    pub(super) interfaces: Vec<String>,
    /// Output file, or -
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(super) json: bool,
    /// Switch off what hides packets (VLAN stripping, large receive offload) for the self-test, and on again after
    #[arg(long)]
    pub(super) fix: bool,
    #[command(flatten)]
    pub(super) common: Common,
}
