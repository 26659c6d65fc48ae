//! The command line: reads flags and configuration, lets the pipeline do the work, and turns whatever goes wrong
//! into one line and an exit code.

mod alerts;
mod args;
mod configuration;
mod dashboard;
mod doctor;
mod draft;
mod eval;
mod explain;
mod export;
mod extract;
mod fault;
mod fleet;
mod flows;
mod health;
mod intel;
mod labels;
mod live;
mod logs;
mod manual;
mod models;
mod predict;
#[cfg(target_os = "linux")]
mod privilege;
mod replay;
mod report;
mod run;
mod setup;
mod sheet;
mod signals;
mod sinks;
mod stored;
mod swap;
mod train;
mod zeek;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};

use self::{
    args::{Cli, Command, ConfigAction, ModelAction, SinksAction},
    fault::{Fault, code},
};

/// Runs the program; never panics on bad input.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no fault. A reader that went away needs no more help.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(code::USAGE),
            };
        }
    };
    let ended = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Pcap(args) => flows::pcap(&args),
        Command::Features(args) => flows::features(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Live(args) => live::run(&args),
        Command::Dashboard(args) => dashboard::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Explain(args) if !args.replay.is_empty() => replay::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Extract(args) => extract::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Intel { action } => intel::run(&action),
        Command::Zeek { action } => zeek::run(&action),
        Command::Model { action } => match action {
            ModelAction::List(args) => models::list(&args),
            ModelAction::Show(args) => models::show(&args),
            ModelAction::Diff(args) => fleet::diff(&args),
            ModelAction::Merge(args) => fleet::merge(&args),
            ModelAction::Use(args) => models::put_in_use(&args),
            ModelAction::Rollback(args) => models::roll_back(&args),
        },
        Command::Sinks { action } => match action {
            SinksAction::Test(args) => sinks::test(&args),
        },
        Command::Alerts { action } => alerts::run(&action),
        Command::Flows(args) => stored::flows(&args),
        Command::Hosts(args) => stored::hosts(&args),
        Command::Top(args) => stored::top(&args),
        Command::Config { action } => match action {
            ConfigAction::Check(args) => configuration::check(&args),
            ConfigAction::Dump(args) => configuration::dump(&args),
            ConfigAction::Explain(args) => configuration::explain(&args),
        },
        Command::Doctor(args) => doctor::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::pages(&args),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            report(&fault);
            ExitCode::from(fault.code)
        }
    }
}

fn report(fault: &Fault) {
    if !fault.message.is_empty() {
        let line = fault.message.replace(['\n', '\r'], " ");
        eprintln!(
            "anomaly-detect: {}",
            short(&crate::sink::escape::terminal(&line))
        );
    }
}

/// A line that a person can read: of a very long one (the words of the kernel's verifier) the beginning and the end,
/// where the reason stands.
fn short(line: &str) -> String {
    const BEGINNING: usize = 200;
    const END: usize = 300;
    let length = line.chars().count();
    if length <= BEGINNING + END + 100 {
        return line.to_owned();
    }
    let beginning: String = line.chars().take(BEGINNING).collect();
    let end: String = line.chars().skip(length - END).collect();
    format!("{beginning} [...] {end}")
}

/// The grammar, for documentation and tests: the help text of the command with this name, or of the whole.
pub fn help(command: Option<&str>) -> String {
    let mut grammar = Cli::command().term_width(100);
    grammar.build();
    let wanted = match command {
        None => Some(&mut grammar),
        Some(name) => grammar.find_subcommand_mut(name),
    };
    wanted.map_or_else(String::new, |command| {
        command.render_long_help().to_string()
    })
}
