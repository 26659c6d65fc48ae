//! The grammar of the command line. Commands with a folder of their own keep their grammar there.

mod groups;
mod models;
mod scoring;
mod traffic;
mod upkeep;

use clap::{Parser, Subcommand, builder::styling::Styles};

pub(super) use self::{
    groups::{Alerts, Common, Grave, Output, Printed, Timeouts, Training, table_or_json},
    models::{ModelAction, ModelDiff, ModelList, ModelMerge, ModelShow, ModelUse},
    scoring::{Eval, Explain, Predict, ReportArgs, Train},
    traffic::{Extract, Features, Flows, Live, Logs, Pcap, Run},
    upkeep::{
        Completions, ConfigAction, ConfigArgs, Doctor, Dump, ExplainKeys, Health, Man, SinksAction,
        SinksTest,
    },
};

/// Finds anomalous flows in network traffic, and says why.
#[derive(Debug, Parser)]
#[command(
    name = "anomaly-detect",
    version,
    styles = Styles::plain(),
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        anomaly-detect run office.pcap.zst           learn, score and explain a capture\n  \
        tcpdump -w - | anomaly-detect run -          the same from standard input\n  \
        anomaly-detect train monday.pcap             keep a model of ordinary traffic\n  \
        anomaly-detect predict tuesday.pcap -o -     score other traffic with it\n  \
        sudo anomaly-detect live -i eth0             watch an interface\n\n\
        Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 found what --fail-on names, 66 no input,\n\
        69 cannot capture, 77 no permission, 78 wrong configuration, 130 interrupted (what was read until\n\
        then is used)."
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Learn from captures, score them, and report what stands out
    Run(Run),
    /// Write the flows of captures, with their features, as a table
    Pcap(Pcap),
    /// Join captures and flow tables into one table of features
    Features(Features),
    /// Read Windows event logs: features of each event, and what they add up to
    Logs(Logs),
    /// Train a model on captures or tables of features
    Train(Train),
    /// Score captures or tables of features with a model
    Predict(Predict),
    /// Watch interfaces: score flows as they happen
    Live(Live),
    /// List incidents, say why, acknowledge, close and suppress them
    Alerts {
        #[command(subcommand)]
        action: super::alerts::AlertsAction,
    },
    /// Show telling flows of the store: of an incident, a host, a service
    Flows(super::stored::StoredFlows),
    /// Show hosts and what is usual for them
    Hosts(super::stored::Hosts),
    /// Rank hosts, pairs, services by what they move
    Top(super::stored::TopArgs),
    /// Show what was stored in a browser: incidents, traffic, hosts, and why
    Dashboard(super::dashboard::Dashboard),
    /// Write what was found as one page that needs no network, and as JSON beside it
    Report(ReportArgs),
    /// Say why flows are anomalous
    Explain(Explain),
    /// Cut the packets of a flow or an alert out of captures
    Extract(Extract),
    /// Measure a model against known labels
    Eval(Eval),
    /// Learn from and score Zeek's connection logs, or watch a folder of them
    Zeek {
        #[command(subcommand)]
        action: super::zeek::ZeekAction,
    },
    /// Read threat lists, and look addresses up in them
    Intel {
        #[command(subcommand)]
        action: super::intel::IntelAction,
    },
    /// Manage the models that were trained
    Model {
        #[command(subcommand)]
        action: ModelAction,
    },
    /// Try whether alerts reach those who are to be told
    Sinks {
        #[command(subcommand)]
        action: SinksAction,
    },
    /// Check, print or explain the configuration
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Check whether this machine can do what the sensor needs
    Doctor(Doctor),
    /// Ask the sensor that runs here how it is
    Health(Health),
    /// Print what a shell needs to complete our commands
    #[command(hide = true)]
    Completions(Completions),
    /// Write manual pages, one for each command
    #[command(hide = true)]
    Man(Man),
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory as _};

    use super::Cli;

    /// Names of commands of which neither their own help nor that of one above them shows how they are used.
    fn without_example(command: &Command, is_shown: bool, names: &mut Vec<String>) {
        let after = command.get_after_help().map(ToString::to_string);
        let is_shown = is_shown || after.is_some_and(|after| after.contains("Example"));
        if !is_shown && !command.has_subcommands() && !command.is_hide_set() {
            names.push(command.get_name().to_owned());
        }
        for inner in command.get_subcommands() {
            without_example(inner, is_shown, names);
        }
    }

    #[test]
    fn each_command_shows_how_it_is_used() {
        let mut names = Vec::new();
        // The examples of the whole are no help to whoever asks for that of one.
        for command in Cli::command().get_subcommands() {
            without_example(command, false, &mut names);
        }
        assert!(names.is_empty(), "no example in the help of {names:?}");
    }
}
