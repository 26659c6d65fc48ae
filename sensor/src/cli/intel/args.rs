//! The grammar of `intel`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::args::{Common, Printed, table_or_json};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum IntelAction {
    /// Read threat lists and say what is in them, and what of it is not used and why
    Check(IntelCheck),
    /// Say what lists say of addresses or domains
    Lookup(IntelLookup),
}

#[derive(Args, Debug)]
#[command(
    after_help = "A list is a file with an entry in each line, a CSV table, a STIX 2.1 bundle or a MISP event, also .gz, or a folder of\n\
        MISP events. Ends with code 66 or 77 if a list is not there or not to be read, 1 if one is unusable.\n\n\
        Examples:\n  \
        anomaly-detect intel check drop.txt threatfox.csv bundle.json\n  \
        anomaly-detect intel check --config /etc/anomaly-detect/config.toml"
)]
#[command(mut_arg("format", table_or_json))]
pub(in crate::cli) struct IntelCheck {
    /// Lists [default: intel.lists of the configuration]
    #[arg(value_name = "LIST")]
    pub(super) lists: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) printed: Printed,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect intel lookup 203.0.113.9 --list drop.txt\n  \
        anomaly-detect intel lookup www.evil.example 2001:db8::7")]
#[command(mut_arg("format", table_or_json))]
pub(in crate::cli) struct IntelLookup {
    /// Addresses, domains, or fingerprints
    #[arg(required = true, value_name = "ADDRESS")]
    pub(super) subjects: Vec<String>,
    /// List to look in; may be given more than once [default: intel.lists of the configuration]
    #[arg(short, long = "list", value_name = "LIST")]
    pub(super) lists: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) printed: Printed,
    #[command(flatten)]
    pub(super) common: Common,
}
