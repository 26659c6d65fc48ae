//! Project automation: `cargo xtask <task>`. Everything that a contributor or the CI runs is a task here, so that
//! both run the same thing.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod build_ebpf;
mod process;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Project automation of anomaly-detect",
    version
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the BPF object from source, or check that the committed one is what the sources give
    BuildEbpf(build_ebpf::Args),
    /// Measure: replay against softflowd, nfpcapd and nfstream; `bench kernel`; `bench scoring`
    Bench(bench::Args),
}

fn main() -> ExitCode {
    match Cli::parse().task {
        Task::BuildEbpf(args) => build_ebpf::run(&args),
        Task::Bench(args) => finish(bench::run(&args)),
    }
}

/// One line for the reader, one code for the caller.
fn finish(result: Result<(), process::Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
