//! The grammar of `model`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::groups::{Common, Printed, table_or_json};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ModelAction {
    /// List the models in the store
    #[command(after_help = "Example:\n  \
        anomaly-detect model list")]
    List(ModelList),
    /// Show what is known of a model
    #[command(after_help = "Examples:\n  \
        anomaly-detect model show\n  \
        anomaly-detect model show office.model --format json")]
    Show(ModelShow),
    /// Say how the baselines of two models differ
    Diff(ModelDiff),
    /// Put a model in use
    #[command(after_help = "Example:\n  \
        anomaly-detect model use 3")]
    Use(ModelUse),
    /// Put the model in use that was in use before
    #[command(after_help = "Example:\n  \
        anomaly-detect model rollback")]
    Rollback(ModelList),
    /// Make one model of several that boxes of one fleet learned
    Merge(ModelMerge),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect model diff 1 2\n  \
        anomaly-detect model diff monday.model tuesday.model --format csv -o moved.csv")]
pub(in crate::cli) struct ModelDiff {
    /// Model file, or name from `model list`
    #[arg(value_name = "OLD")]
    pub(in crate::cli) old: String,
    /// Another
    #[arg(value_name = "NEW")]
    pub(in crate::cli) new: String,
    /// Features to show, those that moved farthest
    #[arg(long, value_name = "NUMBER", default_value_t = 15)]
    pub(in crate::cli) top: usize,
    #[command(flatten)]
    pub(in crate::cli) printed: Printed,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "The trees of all are put together, so all need one schema and one shape of tree. The result is calibrated on\n\
        --calibrate-on, or on what a sensor that learns in the output folder remembers.\n\n\
        Examples:\n  \
        anomaly-detect model merge berlin.model lyon.model -o fleet.model --calibrate-on monday.pcap\n  \
        anomaly-detect model merge 3 lyon.model && anomaly-detect model use 4"
)]
pub(in crate::cli) struct ModelMerge {
    /// Model files, or names from `model list`
    #[arg(required = true, num_args = 2.., value_name = "MODEL")]
    pub(in crate::cli) models: Vec<String>,
    /// Ordinary traffic of this place to calibrate on: captures, or tables of features
    #[arg(long, value_name = "INPUT", num_args = 1..)]
    pub(in crate::cli) calibrate_on: Vec<PathBuf>,
    /// Output file, or - [default: kept beside the other models, not put in use]
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ModelList {
    #[command(flatten)]
    pub(in crate::cli) printed: Printed,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(mut_arg("format", table_or_json))]
pub(in crate::cli) struct ModelShow {
    /// Model file, or name from `model list` [default: the model in use]
    #[arg(value_name = "MODEL")]
    pub(in crate::cli) model: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) printed: Printed,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ModelUse {
    /// Name, number or beginning of the digest, as in `model list`
    #[arg(value_name = "MODEL")]
    pub(in crate::cli) model: String,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}
