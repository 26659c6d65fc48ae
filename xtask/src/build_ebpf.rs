//! Builds the BPF object.

use std::process::ExitCode;

use crate::process::Failure;

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

/// Why the object cannot be rebuilt here, for `cargo xtask test`; `None` when it can.
pub(crate) fn missing_toolchain() -> Option<String> {
    Some("build-ebpf is not there yet".to_owned())
}

/// Gate B: rebuilds and compares with the committed object.
pub(crate) fn check() -> Result<(), Failure> {
    Err(Failure::Check("build-ebpf is not there yet".to_owned()))
}
