//! Commands around a model's judgement: `train`, `predict`, `explain`, `eval`, `report`.

use std::path::PathBuf;

use clap::Args;

use super::groups::{
    Alerts, Common, FlowTable, Inputs, ModelNamed, Printed, Summary, Timeouts, Training,
    table_or_json,
};

#[derive(Args, Debug)]
#[command(
    after_help = "With --labels or --rules a classifier (boosted trees) is trained instead of a forest, from tables of any columns: features\n\
        of this program, CIC-IDS-2017, UNSW-NB15, KDD99 and NSL-KDD (these without a header: their label is `class`), plain, .gz or .xz.\n\n\
        Examples:\n  \
        anomaly-detect train monday.pcap -o office.model\n  \
        anomaly-detect train --labels Label cic/*.csv.xz -o cic.model\n  \
        anomaly-detect train --rules attacks.toml features.csv -o mine.model\n  \
        anomaly-detect predict -m cic.model other.csv"
)]
#[command(mut_arg("format", table_or_json))]
pub(in crate::cli) struct Train {
    #[command(flatten)]
    pub(in crate::cli) inputs: Inputs,
    /// Model file to write, or - [default: the next version in anomaly-out/model_outputs/; a classifier goes to
    /// anomaly-out/classifier.model]
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Learn to tell attacks by the labels in this column
    #[arg(short, long, value_name = "COLUMN")]
    pub(in crate::cli) labels: Option<String>,
    /// Learn to tell attacks by rules on addresses and times (see `eval --help`)
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) rules: Option<PathBuf>,
    /// With labels: a column not to learn from; may be given more than once
    #[arg(long = "ignore", value_name = "COLUMN")]
    pub(in crate::cli) ignored: Vec<String>,
    /// With labels: tell attacks from ordinary rows, and not one kind of attack from another
    #[arg(long)]
    pub(in crate::cli) two_classes: bool,
    #[command(flatten)]
    pub(in crate::cli) summary: Summary,
    #[command(flatten)]
    pub(in crate::cli) timeouts: Timeouts,
    #[command(flatten)]
    pub(in crate::cli) training: Training,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect predict tuesday.pcap -m office.model     every flow with its score and why\n  \
        anomaly-detect predict features.csv -o - | head         tables of features, too\n  \
        anomaly-detect predict tuesday.pcap --format json -o flows.json")]
#[command(mut_arg("output", |output| FlowTable::by_default(output, "anomaly-out/predictions.csv")))]
pub(in crate::cli) struct Predict {
    #[command(flatten)]
    pub(in crate::cli) inputs: Inputs,
    #[command(flatten)]
    pub(in crate::cli) model: ModelNamed,
    #[command(flatten)]
    pub(in crate::cli) table: FlowTable,
    #[command(flatten)]
    pub(in crate::cli) alerts: Alerts,
    #[command(flatten)]
    pub(in crate::cli) timeouts: Timeouts,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect explain anomaly-out/predictions.csv --flow 050054f125279a28\n  \
        anomaly-detect explain --replay anomaly-out/evidence/*      # whether the evidence holds, bit by bit")]
#[command(mut_arg("format", table_or_json))]
#[command(mut_arg("inputs", |inputs| inputs.required(false).required_unless_present("replay")))]
pub(in crate::cli) struct Explain {
    #[command(flatten)]
    pub(in crate::cli) inputs: Inputs,
    /// Bundles of evidence: recompute their scores, and fail where one does not come out again
    #[arg(long, value_name = "BUNDLE", num_args = 1.., conflicts_with = "inputs")]
    pub(in crate::cli) replay: Vec<PathBuf>,
    /// Flow to explain, by flow_id or community_id [default: the most anomalous ones]
    #[arg(short, long, value_name = "ID")]
    pub(in crate::cli) flow: Option<String>,
    /// Flows to explain when none is named
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    pub(in crate::cli) top: usize,
    #[command(flatten)]
    pub(in crate::cli) model: ModelNamed,
    #[command(flatten)]
    pub(in crate::cli) printed: Printed,
    #[command(flatten)]
    pub(in crate::cli) timeouts: Timeouts,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Labels: a column (--label) whose values 0, false, no, benign, normal, background, - and nothing mean\n\
        ordinary; or a rule file (--rules) with entries such as\n\n  \
        [[attack]]\n  \
        actor = \"192.168.20.24\"            # either role; any of these may be left out\n  \
        victim = \"192.168.20.5\"\n  \
        ports = [22]                       # responder ports; [] for any\n  \
        start = \"2026-11-21T05:36:57Z\"\n  \
        end = \"2026-11-21T05:37:02Z\"\n\n\
        Examples:\n  \
        anomaly-detect eval anomaly-out/predictions.csv --rules attacks.toml\n  \
        anomaly-detect eval -m cic.model tuesday.csv --label Label --report tuesday.html"
)]
#[command(mut_arg("inputs", |inputs| {
    inputs.help("Predictions, tables of features, or captures; with a classifier, tables as it was trained on")
}))]
#[command(mut_arg("model", |model| {
    ModelNamed::otherwise(model, "the scores in the table, else the model in use")
}))]
pub(in crate::cli) struct Eval {
    #[command(flatten)]
    pub(in crate::cli) inputs: Inputs,
    /// Column that holds the label [default: label, if there is one]
    #[arg(short, long, value_name = "COLUMN")]
    pub(in crate::cli) label: Option<String>,
    /// File of rules that tell which flows are attacks
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) rules: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) model: ModelNamed,
    /// Threshold of the score [default: the predictions in the table, else the model's]
    #[arg(short, long, value_name = "SCORE")]
    pub(in crate::cli) threshold: Option<f64>,
    /// Also write a report with plots
    #[arg(long, value_name = "FILE.html")]
    pub(in crate::cli) report: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) printed: Printed,
    #[command(flatten)]
    pub(in crate::cli) timeouts: Timeouts,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        anomaly-detect report                                   # of the output folder\n  \
        anomaly-detect report /var/lib/anomaly-detect --last 24h -o yesterday.html\n  \
        anomaly-detect report monday/reports/report.json -o -")]
pub(in crate::cli) struct ReportArgs {
    /// Output folder of a run or a sensor, a store, or the JSON of a report [default: anomaly-out]
    #[arg(value_name = "FOLDER")]
    pub(in crate::cli) folder: Option<PathBuf>,
    /// Only of so much traffic time before the newest, for example 24h
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse_duration)]
    pub(in crate::cli) last: Option<std::time::Duration>,
    /// Page to write, with the JSON beside it, or - for the page alone [default: reports/report.html of the output folder]
    #[arg(short, long, value_name = "FILE.html")]
    pub(in crate::cli) output: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}
