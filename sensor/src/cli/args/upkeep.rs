//! Commands about the sensor itself: `sinks`, `config`, `doctor`, `health`, completions and manual pages.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::groups::{Common, Output, Printed, table_or_json};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SinksAction {
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
#[command(mut_arg("format", table_or_json))]
pub(in crate::cli) struct SinksTest {
    /// Only this one: webhook, mail, redis, ..., or the folder of one in spool/
    #[arg(value_name = "SINK")]
    pub(in crate::cli) sink: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) printed: Printed,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigAction {
    /// Read every layer, say whether it is valid, and what each key that is set means
    #[command(after_help = "Example:\n  \
        anomaly-detect config check /etc/anomaly-detect/config.toml")]
    Check(ConfigArgs),
    /// Print every key with its value and where that came from, as TOML
    #[command(after_help = "Examples:\n  \
        anomaly-detect config dump                                 what holds now, and by whom\n  \
        anomaly-detect config dump --commented -o config.toml      a file to begin with")]
    Dump(Dump),
    /// Say what keys are for, what they take, and what they are now
    #[command(after_help = "Examples:\n  \
        anomaly-detect config explain flow.idle_timeout\n  \
        anomaly-detect config explain evidence       every key of the section")]
    Explain(ExplainKeys),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Dump {
    /// A file to begin with: every key explained, at its default and commented out; what is set, set
    #[arg(long)]
    pub(in crate::cli) commented: bool,
    #[command(flatten)]
    pub(in crate::cli) config: ConfigArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ExplainKeys {
    /// Keys, or sections; by default all
    #[arg(value_name = "KEY")]
    pub(in crate::cli) keys: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) output: Output,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ConfigArgs {
    /// Configuration file (the same as --config)
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) output: Output,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect doctor                      the machine\n  \
        anomaly-detect doctor -i eth0              and whether a program runs on that interface\n  \
        anomaly-detect doctor -i eth0 --fix        the same with what hides packets switched off meanwhile")]
#[command(mut_arg("format", table_or_json))]
pub(in crate::cli) struct Doctor {
    /// Interface to look at; may be given more than once
    #[arg(short, long = "iface", value_name = "NAME")]
    pub(in crate::cli) interfaces: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) printed: Printed,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(in crate::cli) json: bool,
    /// Switch off what hides packets (VLAN stripping, large receive offload) for the self-test, and on again after
    #[arg(long)]
    pub(in crate::cli) fix: bool,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Prints a line (watching, or how far it has learned) and ends with 0 if the sensor is ready, with 1\n\
        if it is not or nobody answers: for health checks of container engines and for scripts. It asks\n\
        the address of metrics.listen.\n\n\
        Example:\n  \
        anomaly-detect health -c /etc/anomaly-detect/config.toml || systemctl restart anomaly-detect"
)]
pub(in crate::cli) struct Health {
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(in crate::cli) shell: clap_complete::Shell,
    #[command(flatten)]
    pub(in crate::cli) output: Output,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Man {
    /// Folder for them
    #[arg(short, long, value_name = "FOLDER")]
    pub(in crate::cli) output: PathBuf,
}
