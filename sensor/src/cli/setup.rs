//! From flags to what the stages want.

mod ending;
mod evidence;
mod files;
mod keeping;
mod typed;

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sha2::{Digest as _, Sha256};

pub(super) use self::{
    files::{is_stdout, make_folder, make_folder_of, output, stdout, style, write_model},
    typed::word,
};
use super::{
    args::{Alerts, Common, Timeouts, Training},
    fault::{Fault, code},
};
use crate::{
    capture::Stop,
    config::{AlertBudget, Config, FragmentsBy, Layers, Shape},
    context, features, flow, pipeline,
    score::{
        self,
        store::{self, Store},
    },
    sink,
};

/// What is said of a model with an infinite threshold.
pub(super) const TOO_FEW: &str = "warning: so few flow records that no single flow can be called anomalous; \
    behaviour (scans, floods, guessing) is told all the same";

/// Where the package puts the configuration of the service.
const INSTALLED: &str = "/etc/anomaly-detect/config.toml";

/// The configuration and what a command needs around it.
pub(super) struct Setup {
    pub(super) config: Config,
    /// What it was made of.
    pub(super) layers: Layers,
    pub(super) quiet: bool,
    /// Of the configuration.
    pub(super) digest: String,
    /// Ends passes over captures early, where the command can use what was read until then.
    pub(super) stop: Option<Stop>,
}

/// Flags that are configuration keys by another name.
#[derive(Clone, Default)]
pub(super) struct Flags(Vec<(&'static str, String, &'static str)>);

impl Flags {
    pub(super) fn add(
        mut self,
        key: &'static str,
        value: Option<impl ToString>,
        flag: &'static str,
    ) -> Self {
        if let Some(value) = value {
            self.0.push((key, value.to_string(), flag));
        }
        self
    }

    pub(super) fn timeouts(self, timeouts: &Timeouts) -> Self {
        self.add(
            "flow.idle_timeout",
            timeouts.idle_timeout.as_ref(),
            "--idle-timeout",
        )
        .add(
            "flow.active_timeout",
            timeouts.active_timeout.as_ref(),
            "--active-timeout",
        )
        .add("capture.decap", timeouts.decap.then_some(true), "--decap")
    }

    pub(super) fn training(self, training: &Training) -> Self {
        self.add("model.seed", training.seed, "--seed")
            .add("model.trees", training.trees, "--trees")
            .add(
                "model.contamination",
                training.contamination,
                "--contamination",
            )
            .add("model.autoencoder", training.autoencoder, "--autoencoder")
    }

    pub(super) fn alerts(self, alerts: &Alerts) -> Self {
        self.add(
            "score.alert_budget",
            alerts.alert_budget.as_ref(),
            "--alert-budget",
        )
    }

    pub(super) fn format(self, format: Option<crate::config::Format>) -> Self {
        let name = format.and_then(|format| {
            clap::ValueEnum::to_possible_value(&format).map(|value| value.get_name().to_owned())
        });
        self.add("output.format", name, "--format")
    }
}

/// All layers, merged.
pub(super) fn layers(common: &Common, flags: &Flags) -> Result<Layers, Fault> {
    let mut layers = Layers::default();
    if let Some(path) = &common.config {
        layers.read(path)?;
    }
    // A variable that is not Unicode is none of ours: our names and values are plain.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    layers.environment(variables)?;
    for (key, value, flag) in &flags.0 {
        layers.flag(key, value, flag)?;
    }
    for setting in &common.settings {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Fault::new(
                code::USAGE,
                format!("--set {setting}: write KEY=VALUE, for example --set model.trees=200"),
            ));
        };
        layers.flag(key.trim(), value.trim(), "--set")?;
    }
    Ok(layers)
}

impl Setup {
    pub(super) fn new(common: &Common, flags: &Flags) -> Result<Self, Fault> {
        Self::of(layers(common, flags)?, common.quiet)
    }

    /// Of layers that are merged already.
    pub(super) fn of(layers: Layers, quiet: bool) -> Result<Self, Fault> {
        Ok(Self {
            config: Config::from_layers(&layers)?,
            digest: digest(&layers),
            layers,
            quiet,
            stop: None,
        })
    }

    /// As [`Self::new`], for commands that ask of the sensor that runs here: where no configuration is named and this folder
    /// has no output of its own, the configuration of the installed service.
    pub(super) fn of_sensor(common: &Common, flags: &Flags) -> Result<Self, Fault> {
        let elsewhere = common.config.is_some()
            || Path::new("anomaly-out").exists()
            || (common.settings.iter()).any(|set| set.trim_start().starts_with("output.folder"));
        let installed = Path::new(INSTALLED);
        if elsewhere || !installed.is_file() {
            return Self::new(common, flags);
        }
        Self::new(&common.with(Some(installed.to_owned())), flags)
    }

    /// Settings of the stages before the model.
    pub(super) fn stages(&self) -> pipeline::Settings {
        let Config { flow, context, .. } = &self.config;
        pipeline::Settings {
            flow: flow::Settings {
                idle_timeout: flow.idle_timeout,
                active_timeout: flow.active_timeout,
                close_linger: flow.idle_timeout.and(flow.close_linger),
                capacity: flow.capacity,
                checkpoints: true,
                emergency: (flow.half_open_share > 0.0).then(|| flow::Emergency {
                    half_open: (f64::from(flow.capacity) * flow.half_open_share) as u32,
                    idle_timeout: flow.emergency_timeout,
                }),
            },
            context: context::Settings {
                hosts: context.hosts,
                conversations: context.conversations,
            },
            inside_tunnels: self.config.capture.decap,
            follow_fragments: self.config.capture.fragments == FragmentsBy::Follow,
            epoch_flows: self.config.limits.epoch_flows as usize,
            hold_rate: self.config.score.hold_rate,
            alerts: self.alerts(),
            mutes: Arc::default(),
            stop: self.stop.clone(),
            epochs: u64::MAX,
        }
    }

    /// Settings of training.
    pub(super) fn training(&self) -> pipeline::Training {
        let model = &self.config.model;
        pipeline::Training {
            model: model::Settings {
                trees: model.trees,
                subsample: model.subsample,
                seed: model.seed,
                shape: match model.shape {
                    Shape::LevelShared => model::Shape::LevelShared,
                    Shape::Ordinary => model::Shape::Ordinary,
                },
                range_share: model.range_share,
                rank_share: model.rank_share,
                beyond: model.beyond,
                contamination: model.contamination,
                threads: model.threads,
                holdout: model.holdout,
                autoencoder: model.autoencoder,
                trim: model.trim,
                groups: features::PEERS.map(str::to_owned).to_vec(),
                peers: model.peers,
            },
            rows: model.sample_rows,
            trusting: model.trusting,
        }
    }

    /// The folder for files.
    pub(super) fn folder(&self) -> &Path {
        &self.config.output.folder
    }

    /// The models.
    pub(super) fn store(&self) -> Store {
        Store::new(self.folder().join("model_outputs"))
    }

    /// File of a model: given as a file, or by its name in the store; by default the one in use.
    pub(super) fn model_path(&self, wanted: Option<&str>) -> Result<PathBuf, Fault> {
        let store = self.store();
        match wanted {
            None => Ok(store.current_path()?),
            Some(wanted) => {
                let path = PathBuf::from(wanted);
                let is_file = path.exists() || wanted.contains('/') || wanted.ends_with(".model");
                if is_file || store.names()?.is_empty() {
                    Ok(path)
                } else {
                    Ok(store.path(&store.find(wanted)?))
                }
            }
        }
    }

    /// The model itself.
    pub(super) fn model(&self, wanted: Option<&str>) -> Result<model::Model, Fault> {
        Ok(store::load(&self.model_path(wanted)?)?)
    }

    /// Says something on standard error, unless it is to be quiet.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// A progress bar on standard error, where that is a terminal.
    pub(super) fn progress(&self, what: &str, inputs: &[PathBuf]) -> ProgressBar {
        let bar = ProgressBar::new_spinner();
        if self.quiet || !io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
            return bar;
        }
        let template = "{spinner} {prefix}  {msg}  {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let name = match inputs {
            [one] => format!("{what} {}", one.display()),
            many => format!("{what} {} inputs", many.len()),
        };
        bar.set_prefix(sink::escape::terminal(&name).into_owned());
        bar
    }

    /// Says what the alert budget did, where there is one, and what is suppressed.
    pub(super) fn told(&self, summary: &pipeline::Summary) {
        let muted = summary.muted().len();
        if muted > 0 {
            self.note(&format!(
                "{} suppressed; `anomaly-detect alerts list --state suppressed{}` shows them",
                score::several(muted as f64, "incident"),
                self.looking_here()
            ));
        }
        let asked = self.config.score.alert_budget;
        if let Some(budget) = &summary.budget
            && let Some(asked) = asked.filter(AlertBudget::is_bounded)
        {
            let told = summary.told().len();
            self.note(&format!(
                "alert budget {asked}: {told} of {} told, {} of the others wait for it",
                score::several(summary.incidents.ranked().len() as f64, "incident"),
                budget.waiting()
            ));
        }
    }

    /// Says what of the inputs could not be used.
    pub(super) fn damage(&self, pass: &pipeline::Pass) {
        for warning in pass.replay.warnings() {
            self.note(&format!("warning: {warning}"));
        }
        let fragments = pass.replay.fragments;
        if fragments.later() > 0 {
            self.note(&format!(
                "{} later fragments: {} counted in the flow of their first, {} by address pair (capture.fragments)",
                fragments.later(),
                fragments.followed,
                fragments.later() - fragments.followed
            ));
        }
        let aggregated = pass.flows.aggregated;
        if aggregated.packets > 0 {
            self.note(&format!(
                "{} of {} packets are of a flood of half-open flows and were accounted by prefix, without a record for each flow (flow.half_open_share)",
                aggregated.packets, pass.ledger.seen
            ));
        }
        let overflow = pass.ledger.overflow();
        if overflow > 0 {
            self.note(&format!(
                "warning: {overflow} of {} packets belong to no flow: too many flows at once",
                pass.ledger.seen
            ));
        }
    }
}

/// SHA-256 of all keys and their values, in hexadecimal.
fn digest(layers: &Layers) -> String {
    let mut text = String::new();
    for (key, value, _) in layers.all() {
        text.push_str(&format!("{}={value}\n", key.path));
    }
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the logs of hosts, if any are named, and sets their clocks by the captures.
pub(super) fn host_logs(
    setup: &Setup,
    paths: &[PathBuf],
    captures: &[PathBuf],
) -> Result<Option<pipeline::HostLogs>, Fault> {
    if paths.is_empty() {
        return Ok(None);
    }
    let mut logs = pipeline::HostLogs::read(paths)?;
    let bar = setup.progress("comparing clocks with", captures);
    let set = logs.set_clocks(captures, &setup.stages(), &mut |tick| show(&bar, tick));
    bar.finish_and_clear();
    set?;
    Ok(Some(logs))
}

/// Shows how far a pass has come.
pub(super) fn show(bar: &ProgressBar, tick: pipeline::Tick) {
    bar.set_message(format!(
        "{}, {}, {}",
        score::several(tick.packets as f64, "packet"),
        score::bytes(tick.bytes as f64),
        score::several(tick.rows as f64, "flow record"),
    ));
    bar.tick();
}
