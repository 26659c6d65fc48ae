//! `cargo xtask bench`: builds the bench crate as it is shipped and hands the arguments on.

use crate::process::{Failure, cargo, run as run_program};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed to the bench program; `-- --help` lists what it can do
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds in release mode and runs.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    run_program(
        cargo()
            .args(["run", "--release", "--quiet", "--package", "bench", "--"])
            .args(&args.arguments),
    )
}
