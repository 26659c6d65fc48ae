//! The grammar of `alerts`.

use clap::{Args, Subcommand, ValueEnum};

use super::super::{
    args::{Common, Grave, Output, Printed, table_or_json},
    sheet::{host, moment},
};
use crate::{
    config::Format,
    score::HostMatch,
    sink::store::{IncidentOrder, State},
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AlertsAction {
    /// List incidents: those that nobody has dealt with, unless others are asked for
    List(List),
    /// Say all that is known of incidents: why, what happened to them, where the evidence is
    Show(Show),
    /// Acknowledge incidents: somebody deals with them; they are not told again unless they become graver
    Ack(Act),
    /// Close incidents: somebody has dealt with them
    Close(Act),
    /// Open incidents again that were acknowledged or closed
    Reopen(Act),
    /// Say nothing of a host, a prefix or a kind from now on, and of what is stored; or list what is suppressed
    Suppress(Suppress),
    /// Remove suppressions: what they suppressed is heard of again
    Unsuppress(Unsuppress),
    /// Write incidents with everything that is known of them, for other programs
    Export(Export),
}

/// States on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum StateArg {
    Open,
    Acknowledged,
    Closed,
    Suppressed,
    /// What the alert budget kept back
    Untold,
    All,
}

impl StateArg {
    /// The states that are meant.
    pub(super) fn states(given: &[Self], default: &[State]) -> Vec<State> {
        if given.is_empty() {
            return default.to_vec();
        }
        if given.contains(&Self::All) {
            return State::ALL.to_vec();
        }
        let state = |given: &Self| match given {
            Self::Open | Self::All => State::Open,
            Self::Acknowledged => State::Acknowledged,
            Self::Closed => State::Closed,
            Self::Suppressed => State::Suppressed,
            Self::Untold => State::Untold,
        };
        given.iter().map(state).collect()
    }
}

/// Which incidents.
#[derive(Args, Debug, Default)]
pub(in crate::cli) struct Which {
    /// In this state; may be given more than once
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    pub(super) state: Vec<StateArg>,
    /// At least this severe
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub(super) severity: Option<Grave>,
    /// Of this kind, for example beaconing or port-scan-vertical
    #[arg(long, value_name = "KIND")]
    pub(super) kind: Option<String>,
    /// About this host: an address, a prefix or a name
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub(super) host: Option<HostMatch>,
    /// With a packet since: so long ago (2h, 7d), a date, or a time in UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) since: Option<u64>,
    /// Begun before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) until: Option<u64>,
    /// Evidence of this ATT&CK technique, for example T1046
    #[arg(long, value_name = "ID")]
    pub(super) technique: Option<String>,
}

/// Who does it.
#[derive(Args, Debug, Default)]
pub(in crate::cli) struct Who {
    /// Who says so [default: the user of this shell]
    #[arg(id = "by", long, value_name = "NAME")]
    pub(super) named: Option<String>,
}

impl Who {
    /// The name that is kept beside what was done.
    pub(super) fn name(&self) -> String {
        let user = ["SUDO_USER", "USER", "LOGNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
        (self.named.clone())
            .or(user)
            .unwrap_or_else(|| "somebody".to_owned())
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    anomaly-detect alerts list\n  \
    anomaly-detect alerts list --severity high --since 24h\n  \
    anomaly-detect alerts list --state all --host 10.0.0.0/8 --sort evidence\n  \
    anomaly-detect alerts list --state untold --sort evidence     what the alert budget kept back\n  \
    anomaly-detect alerts list --format json | jq '.[].sentence'")]
pub(in crate::cli) struct List {
    #[command(flatten)]
    pub(super) which: Which,
    /// Order
    #[arg(long, value_enum, value_name = "ORDER", default_value = "last")]
    pub(super) sort: IncidentOrder,
    /// Incidents at most
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub(super) limit: u32,
    #[command(flatten)]
    pub(super) printed: Printed,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    anomaly-detect alerts show 3f2a\n  \
    anomaly-detect alerts show 3f2a --format json")]
#[command(mut_arg("format", table_or_json))]
pub(in crate::cli) struct Show {
    /// Ids, or the beginning of them
    #[arg(required = true, value_name = "ID")]
    pub(super) ids: Vec<String>,
    #[command(flatten)]
    pub(super) printed: Printed,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    anomaly-detect alerts ack 3f2a -m \"asked the owner of the machine\"\n  \
    anomaly-detect alerts close 3f2a 99c1 -m \"backup moved to port 8443\"\n  \
    anomaly-detect alerts close --kind beaconing --host 10.0.0.0/24")]
pub(in crate::cli) struct Act {
    /// Ids, or the beginning of them; or choose by --host, --kind, --severity, --state, --since
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
    #[command(flatten)]
    pub(super) which: Which,
    /// What others should know
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "")]
    pub(super) note: String,
    #[command(flatten)]
    pub(super) who: Who,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "What is suppressed is kept and counted, and nobody is told: it takes nothing from the alert budget. A sensor that\n\
        watches notices within a second. --from and --until make a maintenance window of it; windows that come again every\n\
        week are in the configuration (alerts.maintenance).\n\n\
        Examples:\n  \
        anomaly-detect alerts suppress --host 10.0.0.9 --kind port-scan-vertical --reason \"our scanner\"\n  \
        anomaly-detect alerts suppress 3f2a --for 30d --reason \"known backup\"    as that incident: its host and its kind\n  \
        anomaly-detect alerts suppress --host 192.0.2.0/24 --until 2026-12-31 --reason \"lab\"\n  \
        anomaly-detect alerts suppress --everything --from 2026-11-22T02:00:00Z --for 2h --reason \"core switch update\"\n  \
        anomaly-detect alerts suppress --list"
)]
pub(in crate::cli) struct Suppress {
    /// An incident whose host and kind are meant: its id, or the beginning of it
    #[arg(value_name = "ID", conflicts_with_all = ["host", "kind", "everything", "list"])]
    pub(super) id: Option<String>,
    /// Incidents about this host: an address, a prefix or a name
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub(super) host: Option<HostMatch>,
    /// Incidents of this kind
    #[arg(long, value_name = "KIND")]
    pub(super) kind: Option<String>,
    /// All incidents: for a maintenance window
    #[arg(long, conflicts_with_all = ["host", "kind"])]
    pub(super) everything: bool,
    /// Why, for those who ask in half a year
    #[arg(long, value_name = "TEXT", required_unless_present = "list")]
    pub(super) reason: Option<String>,
    /// Begin then, in UTC [default: all that is stored, and from now on]
    #[arg(long, value_name = "TIME")]
    pub(super) from: Option<String>,
    /// End after this time, for example 30d [default: never]
    #[arg(long = "for", value_name = "TIME", value_parser = crate::time::parse_duration, conflicts_with = "until")]
    pub(super) lasting: Option<std::time::Duration>,
    /// End then, in UTC
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
    #[command(flatten)]
    pub(super) who: Who,
    /// List the suppressions in force, with what they suppressed
    #[arg(long)]
    pub(super) list: bool,
    /// With --list: also those that are over or were removed
    #[arg(long, requires = "list")]
    pub(super) past: bool,
    /// Form of the output
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
    anomaly-detect alerts unsuppress 3    the number is that of `alerts suppress --list`")]
pub(in crate::cli) struct Unsuppress {
    /// Numbers of suppressions
    #[arg(required = true, value_name = "NUMBER")]
    pub(super) numbers: Vec<i64>,
    #[command(flatten)]
    pub(super) who: Who,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "JSON is one object a line, with what happened to the incident under `life`.\n\n\
    Examples:\n  \
    anomaly-detect alerts export -o incidents.jsonl\n  \
    anomaly-detect alerts export --since 2026-11-01 --until 2026-12-01 --format csv -o november.csv"
)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    pub(super) which: Which,
    #[command(flatten)]
    pub(super) output: Output,
    /// Form of the output: json (a line each) or csv
    #[arg(long, value_enum, value_name = "FORM", default_value = "json")]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) common: Common,
}
