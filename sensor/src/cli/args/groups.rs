//! What several commands understand.

use std::path::PathBuf;

use clap::Args;

use crate::config::Format;

/// What every command understands.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Common {
    /// Configuration file; conf.d/*.toml beside it is read too
    #[arg(short, long, value_name = "FILE", env = "ANOMALY_DETECT_CONFIG")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Set any configuration key, for example --set model.trees=200
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(in crate::cli) settings: Vec<String>,
    /// Say nothing but errors on standard error
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,
}

impl Common {
    /// The same, with this configuration.
    pub(in crate::cli) fn with(&self, config: Option<PathBuf>) -> Self {
        Self {
            config,
            settings: self.settings.clone(),
            quiet: self.quiet,
        }
    }
}

/// Which flows there are, and when they end.
#[derive(Args, Debug)]
pub(in crate::cli) struct Timeouts {
    /// End a flow without a packet for this long, for example 120s; 0 for never
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) idle_timeout: Option<String>,
    /// Cut longer flows into records of this length, for example 30m; 0 for never
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) active_timeout: Option<String>,
    /// Look inside tunnels: GRE, VXLAN, Geneve, GTP-U, IP in IP, MPLS, PPPoE
    #[arg(long)]
    pub(in crate::cli) decap: bool,
}

/// How a model is trained.
#[derive(Args, Debug)]
pub(in crate::cli) struct Training {
    /// Seed of everything drawn
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) seed: Option<u64>,
    /// Trees in the forest
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) trees: Option<u32>,
    /// Share of the traffic that is called anomalous
    #[arg(long, value_name = "SHARE")]
    pub(in crate::cli) contamination: Option<f64>,
    /// Weight of an autoencoder beside the forest, up to 0.9, for example 0.3: finds more over a baseline without attacks
    #[arg(long, value_name = "WEIGHT")]
    pub(in crate::cli) autoencoder: Option<f64>,
}

/// How many incidents are told.
#[derive(Args, Debug)]
pub(in crate::cli) struct Alerts {
    /// Tell about so many incidents, the strongest: 20/day, 5/hour, or apart: critical=10/day, 5/day
    #[arg(long, value_name = "RATE")]
    pub(in crate::cli) alert_budget: Option<String>,
}

/// Where what a command says goes, and in which form.
#[derive(Args, Debug)]
pub(in crate::cli) struct Printed {
    /// Output file, or -
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(in crate::cli) output: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, value_name = "FORM")]
    pub(in crate::cli) format: Option<Format>,
}

/// Severities to fail on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum FailOn {
    Low,
    Medium,
    High,
    Critical,
}
