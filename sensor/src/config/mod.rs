//! Configuration in layers: defaults, then a file, then `conf.d/*.toml` beside it, then the environment, then flags.
//! A later layer wins. Raw values become the checked [`Config`] once; whatever is wrong names the key and its place.
//!
//! A leaf: the settings of the stages are built from it where the stages are put together.

mod alerts;
mod budget;
mod checked;
mod dashboard;
mod endpoint;
mod fault;
mod flow_files;
mod grade;
mod intel;
mod ipfix;
mod keys;
mod layers;
mod limits;
mod lines;
mod mail;
mod redis;
mod resources;
mod running;
mod spool;
mod store;
mod syslog;
mod value;
mod webhook;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use self::{
    alerts::Alerts,
    budget::{AlertBudget, AlertRate},
    dashboard::Dashboard,
    endpoint::Endpoint,
    fault::{ConfigError, Origin},
    flow_files::{ConnLog, Parquet},
    grade::Grade,
    intel::Intel,
    ipfix::{Collector, Ipfix, Transport},
    keys::{KEYS, Key, Kind},
    layers::{Layers, named},
    limits::Limits,
    lines::Lines,
    mail::{Mail, Security},
    redis::Redis,
    resources::Resources,
    spool::Spool,
    store::Store,
    syslog::{Syslog, SyslogTransport},
    value::Value,
    webhook::{Target, Template, Webhook},
};

/// Everything that can be configured, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where packets come from.
    pub capture: Capture,
    /// When flows end, and how many may live.
    pub flow: Flow,
    /// How much is remembered around flows.
    pub context: Context,
    /// How much of both, in all.
    pub limits: Limits,
    /// How the model is trained.
    pub model: Model,
    /// What is told.
    pub score: Score,
    /// What is told beside that.
    pub alerts: Alerts,
    /// What is kept of incidents, flows and hosts.
    pub store: Store,
    /// What is kept of alerts.
    pub evidence: Evidence,
    /// How a live sensor gets its model.
    pub live: Live,
    /// Where results go.
    pub output: Output,
    /// Flows to a collector.
    pub ipfix: Ipfix,
    /// Flows in Parquet files.
    pub parquet: Parquet,
    /// Flows as Zeek writes them.
    pub conn_log: ConnLog,
    /// Which threat lists there are.
    pub intel: Intel,
    /// What is watched of the box itself.
    pub resources: Resources,
    /// Where the dashboard is served, and to whom.
    pub dashboard: Dashboard,
    /// Where metrics are served.
    pub metrics: Metrics,
    /// Who is told over HTTP.
    pub webhook: Webhook,
    /// Who is told by mail.
    pub mail: Mail,
    /// Which Redis is told.
    pub redis: Redis,
    /// EVE JSON.
    pub eve: Lines,
    /// ECS JSON.
    pub ecs: Lines,
    /// Who is told by syslog.
    pub syslog: Syslog,
    /// What waits for receivers.
    pub spool: Spool,
}

/// Section `capture`.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// Interfaces to listen on.
    pub interfaces: Vec<String>,
    /// Mirror ports among them, or beside them: what arrives there is other people's, and never reaches the stack.
    pub taps: Vec<String>,
    /// How.
    pub mode: CaptureMode,
    /// Frames of memory for each receive queue of a tap.
    pub frames: u32,
    /// Whether AF_XDP drives the driver, and never sleeps.
    pub busy_poll: bool,
    /// Whether flows are those inside of tunnels.
    pub decap: bool,
    /// Which flow later fragments count in, where packets come to user space.
    pub fragments: FragmentsBy,
    /// How often a packet counts that is forwarded.
    pub count: Count,
    /// Flows counted in one epoch; packets of further ones go to the overflow counters.
    pub epoch_flows: u32,
    /// Bytes that the kernel's flow tables may take; nothing for what suits the machine.
    pub table_bytes: Option<u64>,
}

impl Capture {
    /// Every interface to listen on, once.
    pub fn all_interfaces(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for interface in self.interfaces.iter().chain(&self.taps) {
            if !all.contains(interface) {
                all.push(interface.clone());
            }
        }
        all
    }
}

/// How often a packet counts that is forwarded between two interfaces, and so is seen twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Count {
    /// Once, where it arrives.
    FirstHook,
    /// Where it arrives and where it leaves, in one flow.
    Both,
    /// Where it arrives and where it leaves, in a flow for each interface.
    PerInterface,
}

/// Which flow the later fragments of a packet count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentsBy {
    /// One of their own between the two addresses, as in the kernel.
    Pair,
    /// That of their first fragment.
    Follow,
}

/// How packets are taken from an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CaptureMode {
    /// The best there is: AF_XDP on taps, XDP, TCX, libpcap where it is built in.
    Auto,
    /// eBPF programs at XDP and TC count; a tap's packets are dropped after that.
    Xdp,
    /// AF_XDP on taps, or not at all.
    AfXdp,
    /// libpcap.
    Libpcap,
}

/// Section `flow`. `None` switches a timeout off.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// A flow without a packet for this long has ended.
    pub idle_timeout: Option<Duration>,
    /// A longer flow is cut into records.
    pub active_timeout: Option<Duration>,
    /// How long a closed TCP connection waits for stragglers.
    pub close_linger: Option<Duration>,
    /// Flows that may live at once.
    pub capacity: u32,
    /// Share of the capacity from which half-open flows are a flood; 0 for never.
    pub half_open_share: f64,
    /// Idle timeout of half-open flows in a flood.
    pub emergency_timeout: Duration,
}

/// Section `context`.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// Hosts in each role.
    pub hosts: u32,
    /// Conversations.
    pub conversations: u32,
}

/// Section `model`.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Trees.
    pub trees: usize,
    /// Rows drawn for each tree.
    pub subsample: usize,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Form of the trees.
    pub shape: Shape,
    /// Share of splits that choose the feature by its range.
    pub range_share: f32,
    /// Share of trees cut along ranks.
    pub rank_share: f32,
    /// Chance of cuts beyond all values seen.
    pub beyond: f32,
    /// Share of the baseline that is called anomalous.
    pub contamination: f64,
    /// Share of the rows held out for calibration.
    pub holdout: f64,
    /// Weight of an autoencoder beside the forest; 0 for none.
    pub autoencoder: f32,
    /// Share of the rows, the most anomalous, that it does not learn from.
    pub trim: f32,
    /// Weight of how odd a flow is among its peers; 0 forms no groups.
    pub peers: f32,
    /// Threads to train with; 0 for all.
    pub threads: usize,
    /// Rows sampled for training, at most.
    pub sample_rows: usize,
    /// Whether flows that behaviour alone tells to be attacks are learned from like the others.
    pub trusting: bool,
}

/// Form of the trees; see [`model::Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One feature for each level.
    LevelShared,
    /// One feature for each node.
    Ordinary,
}

/// Section `score`.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Whether the share of flows that are called anomalous is kept near the promised one.
    pub hold_rate: bool,
    /// How many incidents to tell; nothing tells all of them.
    pub alert_budget: Option<AlertBudget>,
}

/// Section `evidence`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Alerts that a bundle is kept of; 0 keeps none.
    pub alerts: usize,
    /// Bytes of packets kept of one alert.
    pub bytes_per_alert: u64,
    /// Bytes of all bundles of a live sensor.
    pub bytes_in_all: u64,
    /// Bytes of packets in memory.
    pub memory_bytes: usize,
    /// Bytes copied of a packet; 0 for none.
    pub packet_bytes: u32,
    /// Packets copied of each flow and epoch.
    pub first_packets: u32,
    /// Flows as rare as this are watched.
    pub watch_p_value: f64,
    /// Packets copied of a watched flow.
    pub watch_packets: u32,
}

/// Section `live`.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// Flow records to learn a baseline from when no model is given.
    pub learn_flows: usize,
    /// How often to train anew on the traffic that is watched; `None` for never.
    pub retrain_every: Option<Duration>,
    /// Share of the features that moved at which to train anew before that.
    pub retrain_drift: f64,
    /// Longest time to learn; `None` for as long as it takes.
    pub learn_time: Option<Duration>,
}

/// Section `output`.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Folder for files.
    pub folder: PathBuf,
    /// Form of what is printed.
    pub format: Format,
    /// Incidents and flows printed.
    pub top: usize,
    /// Bytes of the log of flows; 0 for none.
    pub log_bytes: u64,
}

/// Form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For spreadsheets.
    Csv,
    /// For programs.
    Json,
}

/// Section `metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Address to serve on; `None` serves none.
    pub listen: Option<SocketAddr>,
}

impl Config {
    /// Checks the merged layers.
    ///
    /// # Errors
    /// The first value that is not what its key wants.
    pub fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let limits = Limits::from_layers(layers)?;
        let config = Self {
            capture: Capture {
                interfaces: layers.list("capture.interfaces")?,
                taps: layers.list("capture.taps")?,
                frames: layers.integer("capture.frames", 64, 1 << 20)? as u32,
                busy_poll: layers.flag_of("capture.busy_poll")?,
                decap: layers.flag_of("capture.decap")?,
                fragments: layers.choice(
                    "capture.fragments",
                    &[("pair", FragmentsBy::Pair), ("follow", FragmentsBy::Follow)],
                )?,
                epoch_flows: limits.epoch_flows,
                table_bytes: limits.table_bytes,
                count: layers.choice(
                    "capture.count",
                    &[
                        ("first-hook", Count::FirstHook),
                        ("both", Count::Both),
                        ("per-interface", Count::PerInterface),
                    ],
                )?,
                mode: layers.choice(
                    "capture.mode",
                    &[
                        ("auto", CaptureMode::Auto),
                        ("xdp", CaptureMode::Xdp),
                        ("af-xdp", CaptureMode::AfXdp),
                        ("libpcap", CaptureMode::Libpcap),
                    ],
                )?,
            },
            flow: Flow {
                idle_timeout: layers.duration("flow.idle_timeout")?,
                active_timeout: layers.duration("flow.active_timeout")?,
                close_linger: layers.duration("flow.close_linger")?,
                capacity: limits.flows,
                half_open_share: layers.float("flow.half_open_share", 0.0, 0.5)?,
                emergency_timeout: layers
                    .duration("flow.emergency_timeout")?
                    .unwrap_or(Duration::ZERO),
            },
            context: Context {
                hosts: limits.hosts,
                conversations: limits.conversations,
            },
            limits,
            model: Model {
                trees: layers.integer("model.trees", 1, 4096)? as usize,
                subsample: layers.integer("model.subsample", 2, 65_536)? as usize,
                seed: layers.integer("model.seed", 0, i64::MAX)? as u64,
                shape: layers.choice(
                    "model.shape",
                    &[
                        ("ordinary", Shape::Ordinary),
                        ("level-shared", Shape::LevelShared),
                    ],
                )?,
                range_share: layers.float("model.range_share", 0.0, 1.0)? as f32,
                rank_share: layers.float("model.rank_share", 0.0, 1.0)? as f32,
                beyond: layers.float("model.beyond", 0.0, 1.0)? as f32,
                contamination: layers.float("model.contamination", 1e-9, 0.5)?,
                holdout: layers.float("model.holdout", 0.0, 0.9)?,
                autoencoder: layers.float("model.autoencoder", 0.0, 0.9)? as f32,
                trim: layers.float("model.trim", 0.0, 0.5)? as f32,
                peers: layers.float("model.peers", 0.0, 0.9)? as f32,
                threads: layers.integer("model.threads", 0, 4096)? as usize,
                sample_rows: layers.integer("model.sample_rows", 2, 100_000_000)? as usize,
                trusting: layers.flag_of("model.trusting")?,
            },
            score: Score {
                hold_rate: layers.flag_of("score.hold_rate")?,
                alert_budget: layers.budget("score.alert_budget")?,
            },
            alerts: Alerts::from_layers(layers)?,
            store: Store::from_layers(layers)?,
            evidence: Evidence {
                alerts: layers.integer("evidence.alerts", 0, 10_000)? as usize,
                bytes_per_alert: layers.integer("evidence.bytes_per_alert", 4096, 1 << 40)? as u64,
                bytes_in_all: layers.integer("evidence.bytes_in_all", 4096, 1 << 50)? as u64,
                memory_bytes: layers.integer("evidence.memory_bytes", 0, 1 << 40)? as usize,
                packet_bytes: layers.integer("evidence.packet_bytes", 0, 2048)? as u32,
                first_packets: layers.integer("evidence.first_packets", 0, 1 << 20)? as u32,
                watch_p_value: layers.float("evidence.watch_p_value", 0.0, 1.0)?,
                watch_packets: layers.integer("evidence.watch_packets", 0, 1 << 20)? as u32,
            },
            live: Live {
                learn_flows: layers.integer("live.learn_flows", 10, 100_000_000)? as usize,
                retrain_every: layers.duration("live.retrain_every")?,
                retrain_drift: layers.float("live.retrain_drift", 0.01, 1.0)?,
                learn_time: layers.duration("live.learn_time")?,
            },
            output: Output {
                folder: layers.text("output.folder")?.into(),
                format: layers.choice(
                    "output.format",
                    &[
                        ("table", Format::Table),
                        ("csv", Format::Csv),
                        ("json", Format::Json),
                    ],
                )?,
                top: layers.integer("output.top", 0, 100_000)? as usize,
                log_bytes: layers.integer("output.log_bytes", 0, 1 << 50)? as u64,
            },
            ipfix: Ipfix::from_layers(layers)?,
            parquet: Parquet::from_layers(layers)?,
            conn_log: ConnLog::from_layers(layers)?,
            intel: Intel::from_layers(layers)?,
            resources: Resources::from_layers(layers)?,
            dashboard: Dashboard::from_layers(layers)?,
            metrics: Metrics {
                listen: layers.address("metrics.listen")?,
            },
            webhook: Webhook::from_layers(layers)?,
            mail: Mail::from_layers(layers)?,
            redis: Redis::from_layers(layers)?,
            eve: Lines::eve(layers)?,
            ecs: Lines::ecs(layers)?,
            syslog: Syslog::from_layers(layers)?,
            spool: Spool::from_layers(layers)?,
        };
        Ok(config)
    }
}
