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
mod peer;
#[cfg(target_os = "linux")]
mod sys;

#[cfg(target_os = "linux")]
use peer::{Constant, MapSize, Peer};
#[cfg(not(target_os = "linux"))]
type Peer = String;
#[cfg(not(target_os = "linux"))]
type Constant = String;
#[cfg(not(target_os = "linux"))]
type MapSize = String;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Measure this program too: an object file and a program in it, XDP or TC
    #[arg(long, value_name = "OBJECT:PROGRAM")]
    peer: Vec<Peer>,
    /// Give a constant of the peers' objects another value, with its type: sampling=1u32
    #[arg(long, value_name = "NAME=VALUE", requires = "peer")]
    peer_set: Vec<Constant>,
    /// Give a map of the peers' objects room for so many entries, as its own agent would
    #[arg(long, value_name = "NAME=ENTRIES", requires = "peer")]
    peer_map: Vec<MapSize>,
    /// Runs of each program in a round
    #[arg(long, default_value_t = 100_000)]
    repeat: u32,
    /// Rounds
    #[arg(long, default_value_t = 60)]
    rounds: usize,
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
    /// Net cost of the sensor's program at this hook by this one's.
    ours: Option<f64>,
    #[serde(skip)]
    is_peer: bool,
    /// Of a peer: its maps that hold as many keys as there were flows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    counts_in: Vec<(String, u64)>,
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
        "{:<6}{:>7}  {:<38}{:>8}{:>9}{:>13}{:>11}{:>10}",
        "hook", "flows", "program", "ns", "net ns", "net/minimal", "net/timed", "ours/net"
    );
    for line in lines {
        println!(
            "{:<6}{:>7}  {:<38}{:>8.1}{:>9.1}{:>13.2}{:>11.2}{:>10}",
            line.hook,
            line.flows,
            line.program,
            line.ns,
            line.net_ns,
            line.ratio,
            line.ratio_timed,
            line.ours.map_or(String::new(), |ours| format!("{ours:.2}")),
        );
        if line.is_peer {
            let maps: Vec<String> = line
                .counts_in
                .iter()
                .map(|(name, keys)| format!("{name} ({keys} keys)"))
                .collect();
            match maps.as_slice() {
                [] => println!(
                    "       !  no map of it holds {} keys: does it count flows?",
                    line.flows
                ),
                _ => println!("       counts in {}", maps.join(", ")),
            }
        }
    }
}
