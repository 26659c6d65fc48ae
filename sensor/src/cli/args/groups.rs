//! What several commands understand, each said once.

use std::path::{Path, PathBuf};

use clap::{
    Arg, Args, ValueEnum as _,
    builder::{PossibleValuesParser, TypedValueParser as _},
};

use super::super::{
    fault::{Fault, code},
    setup::stdout,
};
use crate::{config::Format, pipeline::is_table, score::Severity, sink::parquet};

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

/// Captures to read.
#[derive(Args, Debug)]
pub(in crate::cli) struct Captures {
    /// Captures (pcap, pcapng, also .gz and .zst), folders of captures, or - for standard input
    #[arg(required = true, value_name = "CAPTURE")]
    pub(in crate::cli) paths: Vec<PathBuf>,
}

/// Flows to read, as packets or with their features.
#[derive(Args, Debug)]
pub(in crate::cli) struct Inputs {
    /// Captures, folders of captures, - for standard input, or tables of features this program wrote
    #[arg(id = "inputs", required = true, value_name = "INPUT")]
    pub(in crate::cli) paths: Vec<PathBuf>,
}

impl Inputs {
    /// Whether all of them are tables, or none is.
    pub(in crate::cli) fn are_tables(&self) -> Result<bool, Fault> {
        let tables = self.paths.iter().filter(|path| is_table(path)).count();
        if tables > 0 && tables < self.paths.len() {
            return Err(Fault::new(
                code::USAGE,
                "captures and tables in one call: give one kind",
            ));
        }
        Ok(tables > 0)
    }
}

/// Which model.
#[derive(Args, Debug)]
pub(in crate::cli) struct ModelNamed {
    /// Model file, or name from `model list` [default: the model in use]
    #[arg(id = "model", short, long, value_name = "MODEL")]
    pub(in crate::cli) name: Option<String>,
}

impl ModelNamed {
    /// For commands that do something else where no model is named.
    pub(super) fn otherwise(model: Arg, default: &str) -> Arg {
        model.help(format!(
            "Model file, or name from `model list` [default: {default}]"
        ))
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
    /// Tell about so many incidents, the strongest: 20/day, 5/hour, or apart: critical=10/day, 5/day; or all
    #[arg(long, value_name = "RATE")]
    pub(in crate::cli) alert_budget: Option<String>,
}

/// Where what a command says goes.
#[derive(Args, Debug)]
pub(in crate::cli) struct Output {
    /// Output file, or -
    #[arg(id = "output", short, long, value_name = "FILE", default_value = "-")]
    pub(in crate::cli) path: PathBuf,
}

/// Where what a command says goes, and in which form.
#[derive(Args, Debug)]
pub(in crate::cli) struct Printed {
    #[command(flatten)]
    pub(in crate::cli) output: Output,
    /// Form of the output
    #[arg(long, value_enum, value_name = "FORM")]
    pub(in crate::cli) format: Option<Format>,
}

/// Where a table of flows goes, and in which form.
#[derive(Args, Debug)]
pub(in crate::cli) struct FlowTable {
    /// Output file, or -; one that ends in .parquet is written as Parquet [default: in anomaly-out/]
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Form of the output: csv, json (a line each), or table
    #[arg(long, value_enum, value_name = "FORM")]
    pub(in crate::cli) format: Option<Format>,
}

impl FlowTable {
    /// The form that is asked for.
    pub(in crate::cli) fn form(&self) -> Format {
        self.format.unwrap_or(Format::Csv)
    }

    /// Where it goes: where it was said, to the terminal, or to a file of this name in the folder.
    pub(in crate::cli) fn path(&self, folder: &Path, name: &str) -> PathBuf {
        let default = || match self.form() {
            Format::Table => stdout(),
            Format::Csv => folder.join(name).with_extension("csv"),
            Format::Json => folder.join(name).with_extension("jsonl"),
        };
        self.output.clone().unwrap_or_else(default)
    }

    /// Whether it is written as Parquet there: by the name of the file, where no other form is asked for.
    pub(in crate::cli) fn is_columnar(&self, path: &Path) -> bool {
        self.format.is_none() && parquet::is_named(path)
    }

    /// The file of a command unless another is named.
    pub(super) fn by_default(output: Arg, file: &str) -> Arg {
        output.help(format!(
            "Output file, or -; one that ends in .parquet is written as Parquet [default: {file}]"
        ))
    }
}

/// In which form a command sums up what it did.
#[derive(Args, Debug)]
pub(in crate::cli) struct Summary {
    /// Form of the summary [default: table]
    #[arg(long, value_enum, value_name = "FORM")]
    pub(in crate::cli) format: Option<Format>,
}

/// `--format` of commands that have no rows to write as CSV: what they cannot write they refuse.
pub(in crate::cli) fn table_or_json(form: Arg) -> Arg {
    let forms = [Format::Table, Format::Json].map(|form| form.to_possible_value());
    form.value_parser(
        PossibleValuesParser::new(forms.into_iter().flatten())
            .try_map(|name| Format::from_str(&name, false)),
    )
}

/// A severity from which on something counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Grave {
    Low,
    Medium,
    High,
    Critical,
}

impl From<Grave> for Severity {
    fn from(grave: Grave) -> Self {
        match grave {
            Grave::Low => Self::Low,
            Grave::Medium => Self::Medium,
            Grave::High => Self::High,
            Grave::Critical => Self::Critical,
        }
    }
}
