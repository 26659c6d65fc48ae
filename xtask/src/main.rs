//! Project automation: `cargo xtask <task>`. Everything that a contributor or the CI runs is a task here, so that
//! both run the same thing.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod build_ebpf;
mod dist;
mod process;
mod record_demo;
mod tally;
mod test;

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
    /// Check everything that can be checked on this machine: format, lints, docs, tests, tidy, object, kernel
    Test(test::Args),
    /// Build the BPF object from source, or check that the committed one is what the sources give
    BuildEbpf(build_ebpf::Args),
    /// Measure: replay against softflowd, nfpcapd and nfstream; `bench kernel`; `bench scoring`
    Bench(bench::Args),
    /// Make what is handed to people: Debian package, tar archive, bill of materials, checksums
    Dist(dist::Args),
    /// Record `demo/` with real programs between network namespaces (root; about seven minutes)
    RecordDemo(record_demo::Args),
}

fn main() -> ExitCode {
    match Cli::parse().task {
        Task::BuildEbpf(args) => build_ebpf::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => finish(bench::run(&args)),
        Task::Dist(args) => finish(dist::run(&args)),
        Task::RecordDemo(args) => finish(record_demo::run(&args)),
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
