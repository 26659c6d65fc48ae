//! Cost of the BPF programs under `BPF_PROG_TEST_RUN`.

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
    eprintln!("bench: kernel (json: {}) is not there yet", args.json);
    ExitCode::FAILURE
}
