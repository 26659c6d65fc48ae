//! Cost of the BPF programs under `BPF_PROG_TEST_RUN`, beside a minimal packet counter in C.
//!
//! `BPF_PROG_TEST_RUN` repeats one frame. To get many flows, each run goes through a small program that rewrites the
//! source address and tail-calls the program under test; it does so for the empty program too, so what is printed as *net*
//! is the program alone. Programs take turns, in many short rounds; each is judged by the faster quarter of its rounds, so that what
//! else runs on the machine falls out.

use std::{error::Error, process::ExitCode};

#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod sys;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Measure this program too: an object file and a program in it, XDP or TC
    #[arg(long, value_name = "OBJECT:PROGRAM")]
    peer: Vec<Peer>,
    /// Runs of each program in a round
    #[arg(long, default_value_t = 100_000)]
    repeat: u32,
    /// Rounds
    #[arg(long, default_value_t = 60)]
    rounds: usize,
}

/// A program of somebody else's.
#[derive(Clone, Debug)]
struct Peer {
    object: std::path::PathBuf,
    program: String,
}

impl std::str::FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once(':') {
            Some((object, program)) if !object.is_empty() && !program.is_empty() => Ok(Self {
                object: object.into(),
                program: program.to_owned(),
            }),
            _ => Err("expected OBJECT:PROGRAM".to_owned()),
        }
    }
}

/// One program in one setting.
#[derive(Debug, serde::Serialize)]
struct Line {
    hook: &'static str,
    flows: u32,
    program: String,
    /// ns per packet, the harness included: mean of the faster quarter of the rounds.
    ns: f64,
    /// The same less the empty program's.
    net_ns: f64,
    /// Net cost by that of the minimal counter, which reads no clock.
    ratio: f64,
    /// Net cost by that of the same counter with first and last time, as every flow has them.
    ratio_timed: f64,
}

/// Runs and prints.
pub(crate) fn run(args: &Args) -> ExitCode {
    match lines(args) {
        Ok(lines) => {
            print(args, &lines);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
fn lines(args: &Args) -> Result<Vec<Line>, Box<dyn Error>> {
    measure::all(args)
}

#[cfg(not(target_os = "linux"))]
fn lines(_: &Args) -> Result<Vec<Line>, Box<dyn Error>> {
    Err("BPF programs run on Linux only".into())
}

fn print(args: &Args, lines: &[Line]) {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if args.json {
        let report = serde_json::json!({
            "kernel": kernel.trim(), "repeat": args.repeat, "rounds": args.rounds, "results": lines,
        });
        println!("{report}");
        return;
    }
    println!(
        "Linux {}, {} rounds of {} packets each",
        kernel.trim(),
        args.rounds,
        args.repeat
    );
    println!(
        "{:<6}{:>7}  {:<28}{:>8}{:>9}{:>13}{:>11}",
        "hook", "flows", "program", "ns", "net ns", "net/minimal", "net/timed"
    );
    for Line {
        hook,
        flows,
        program,
        ns,
        net_ns,
        ratio,
        ratio_timed,
    } in lines
    {
        println!(
            "{hook:<6}{flows:>7}  {program:<28}{ns:>8.1}{net_ns:>9.1}{ratio:>13.2}{ratio_timed:>11.2}"
        );
    }
}
