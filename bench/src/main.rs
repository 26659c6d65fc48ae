//! Benchmarks: the whole path on one core beside its peers (`replay`), the BPF programs under
//! `BPF_PROG_TEST_RUN` (`kernel`), the live path under load (`live`, which `traffic` sends), the forest's cost (`scoring`),
//! what is found in labelled data (`quality`).

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[cfg(target_os = "linux")]
mod clang;
mod kernel;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
#[path = "../../sensor/tests/kernel_capture/netns.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod netns;
mod quality;
mod replay;
mod scoring;
#[cfg(target_os = "linux")]
mod traffic;

#[derive(Parser)]
#[command(name = "bench", about = "Benchmarks of anomaly-detect")]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    replay: replay::Args,
}

#[derive(Subcommand)]
enum What {
    /// Cost of the BPF programs beside a minimal C packet counter (root)
    Kernel(kernel::Args),
    /// Send seeded traffic through a veth at millions of packets a second (root)
    #[cfg(target_os = "linux")]
    Traffic(traffic::Args),
    /// The live path under load: what arrives, what is counted, what is lost and where, beside empty programs (root)
    #[cfg(target_os = "linux")]
    Live(live::Args),
    /// Cost of scoring a row, and of training
    Scoring(scoring::Args),
    /// What is found in labelled data, beside the usual tools on the same rows
    Quality(quality::Args),
    /// Make a large capture out of a small one
    Enlarge(replay::Enlarge),
    /// One measured run of our stages; the replay benchmark starts these
    #[command(hide = true)]
    Stage(replay::stages::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.what {
        None => replay::run(&cli.replay),
        Some(What::Kernel(args)) => kernel::run(&args),
        #[cfg(target_os = "linux")]
        Some(What::Traffic(args)) => traffic::run(&args),
        #[cfg(target_os = "linux")]
        Some(What::Live(args)) => live::run(&args),
        Some(What::Scoring(args)) => scoring::run(&args),
        Some(What::Quality(args)) => quality::run(&args),
        Some(What::Enlarge(args)) => replay::enlarge(&args),
        Some(What::Stage(args)) => replay::stages::run(&args),
    }
}
