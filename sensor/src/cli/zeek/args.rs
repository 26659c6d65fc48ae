//! The grammar of `zeek`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::args::{Common, Output, Training};
use crate::config::Format;

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
        anomaly-detect zeek train /opt/zeek/logs/2026-11-20          learn from a day of ordinary traffic\n  \
        anomaly-detect zeek score conn.log.gz                        what stands out in a log\n  \
        anomaly-detect zeek score logs/ --format csv -o scores.csv   every connection with its score\n  \
        anomaly-detect zeek watch /opt/zeek/logs/current             score each file as it rotates")]
pub(in crate::cli) enum ZeekAction {
    /// Train a model on connection logs of ordinary traffic
    Train(ZeekTrain),
    /// Score connection logs
    Score(ZeekScore),
    /// Watch a folder: score each log when Zeek has rotated it, and keep the most anomalous connections
    Watch(ZeekWatch),
}

/// Logs to read.
#[derive(Args, Debug)]
pub(in crate::cli) struct ConnLogs {
    /// Logs (conn.log, TSV or JSON, also .gz and .zst), or folders of them; of one network, in the order of time
    #[arg(required = true, value_name = "LOG")]
    pub(in crate::cli) paths: Vec<PathBuf>,
}

/// Which model.
#[derive(Args, Debug)]
pub(in crate::cli) struct ZeekModel {
    /// Model file [default: anomaly-out/zeek.model]
    #[arg(id = "model", short, long, value_name = "FILE")]
    pub(in crate::cli) path: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ZeekTrain {
    #[command(flatten)]
    pub(in crate::cli) logs: ConnLogs,
    /// Model file to write, or - [default: anomaly-out/zeek.model]
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) training: Training,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ZeekScore {
    #[command(flatten)]
    pub(in crate::cli) logs: ConnLogs,
    #[command(flatten)]
    pub(in crate::cli) model: ZeekModel,
    #[command(flatten)]
    pub(in crate::cli) output: Output,
    /// Form of the output: table (the most anomalous), csv or json (a line for each connection)
    #[arg(long, value_enum, value_name = "FORM", default_value = "table")]
    pub(in crate::cli) format: Format,
    /// Connections in the table
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub(in crate::cli) top: usize,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ZeekWatch {
    /// Folder that Zeek writes to
    #[arg(value_name = "FOLDER")]
    pub(in crate::cli) folder: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) model: ZeekModel,
    /// SQLite file that keeps the most anomalous connections [default: anomaly-out/anomaly.sqlite]
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) store: Option<PathBuf>,
    /// Share of each file's connections to keep, the most anomalous ones
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    pub(in crate::cli) keep: f64,
    /// Time between two looks at the folder; a file is taken when two looks found it alike
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = crate::time::parse_duration)]
    pub(in crate::cli) interval: std::time::Duration,
    /// Forget connections this much older than the newest
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = crate::time::parse_duration)]
    pub(in crate::cli) max_age: std::time::Duration,
    /// Keep this many connections at most
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
    pub(in crate::cli) max_rows: u64,
    /// Take in what is complete now, and end
    #[arg(long)]
    pub(in crate::cli) once: bool,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share from 0 to 1, for example 0.05".to_owned()),
    }
}
