//! Builds the BPF object.

use std::process::ExitCode;

/// Options of `cargo xtask build-ebpf`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Compare with the committed object instead of replacing it
    #[arg(long)]
    check: bool,
}

/// Builds, or with `--check` compares.
pub(crate) fn run(args: &Args) -> ExitCode {
    eprintln!("xtask: build-ebpf (check: {}) is not there yet", args.check);
    ExitCode::FAILURE
}
