//! Cost of scoring and training.

use std::process::ExitCode;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// Runs and prints.
pub(crate) fn run(args: &Args) -> ExitCode {
    eprintln!("bench: scoring (json: {}) is not there yet", args.json);
    ExitCode::FAILURE
}
