//! The configuration read again while a sensor watches (SIGHUP), on a thread of its own: the kernel programs stay where they are,
//! and no packet waits.
//!
//! All layers are read and checked first, and so are the files that they name. What is wrong changes nothing. What is right is
//! taken as far as it can be while watching ([`crate::config::Key::is_taken_running`]); which keys want a restart is said.

use std::{collections::BTreeMap, fs::File, io::Read as _, sync::mpsc::Sender, time::Duration};

use sha2::{Digest as _, Sha256};

use super::{
    beside::{self, Intel},
    outlets,
    writers::take_stdout,
};
use crate::{
    cli::{
        args::Common,
        fault::{Fault, code},
        setup::{Flags, Setup, layers},
    },
    config::{Config, Key, Layers, Value},
    metrics::{Id, Metrics},
    pipeline::{Adjustment, Post},
    resources::Watch,
    score::MuteBoard,
    serve::Access,
    sink::{escape, outlet::Outlets, store::RuleBook},
    time,
};

/// How long receivers of sinks that are begun anew may take for what they have; what they do not take is on disk, and goes on
/// from there.
const HAND_OVER: Duration = Duration::from_secs(2);
/// Bytes read of a file that a key names, at most.
const FILE_BYTES: u64 = 1 << 20;

/// What takes other settings while a sensor watches.
pub(in crate::cli) struct Parts {
    /// Nothing goes to a folder.
    pub(in crate::cli) to_stdout: bool,
    pub(in crate::cli) metrics: Metrics,
    /// The watch itself.
    pub(in crate::cli) watch: Sender<Adjustment>,
    pub(in crate::cli) post: Post,
    pub(in crate::cli) outlets: Outlets,
    /// The store's writer, or, where there is none, what nobody is told of.
    pub(in crate::cli) rules: Result<RuleBook, MuteBoard>,
    /// Where a dashboard is served.
    pub(in crate::cli) access: Option<Access>,
    pub(in crate::cli) resources: Option<Watch>,
    pub(in crate::cli) intel: Intel,
}

/// The configuration in force, and how to come to another.
pub(in crate::cli) struct Reload {
    common: Common,
    flags: Flags,
    setup: Setup,
    prints: Prints,
    parts: Parts,
}

/// What came of reading it again.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// In force now.
    taken: Vec<&'static str>,
    /// In force after a restart.
    waiting: Vec<&'static str>,
    /// What could not be put in force although it was right.
    trouble: Vec<String>,
}

impl Reload {
    /// `setup` is in force in all parts.
    pub(super) fn new(common: &Common, flags: Flags, setup: Setup, parts: Parts) -> Self {
        let metrics = &parts.metrics;
        metrics.set(Id::ConfigLastReloadSuccessful, &[], 1.0);
        let now = time::now() as f64 / 1e9;
        metrics.set(Id::ConfigLastReloadTimestampSeconds, &[], now);
        metrics.set(Id::ConfigKeysAwaitingRestart, &[], 0.0);
        Self {
            prints: Prints::of(&setup.layers),
            common: common.clone(),
            flags,
            setup,
            parts,
        }
    }

    /// Reads it again, takes what can be taken, and says what came of it.
    pub(in crate::cli) fn read(&mut self) {
        let result = self.take();
        let metrics = &self.parts.metrics;
        let (label, line) = match &result {
            Ok(outcome) => {
                let waiting = outcome.waiting.len() as f64;
                metrics.set(Id::ConfigKeysAwaitingRestart, &[], waiting);
                ("taken", outcome.to_string())
            }
            Err(fault) => (
                "refused",
                format!("warning: configuration not taken, the one before stays: {fault}"),
            ),
        };
        metrics.add(Id::ConfigReloadsTotal, &[label], 1.0);
        let is_well = result
            .as_ref()
            .is_ok_and(|outcome| outcome.trouble.is_empty());
        metrics.set(
            Id::ConfigLastReloadSuccessful,
            &[],
            f64::from(u8::from(is_well)),
        );
        let now = time::now() as f64 / 1e9;
        metrics.set(Id::ConfigLastReloadTimestampSeconds, &[], now);
        if !is_well || !self.setup.quiet {
            eprintln!("{}", escape::terminal(&line));
        }
    }

    /// The sinks; everything else is let go of.
    pub(super) fn into_outlets(self) -> Outlets {
        self.parts.outlets
    }

    fn take(&mut self) -> Result<Outcome, Fault> {
        let wanted = layers(&self.common, &self.flags)?;
        Config::from_layers(&wanted)?;
        let mut merged = self.setup.layers.clone();
        let differing = wanted.differing(&merged);
        for (key, _, _) in wanted.all().filter(|(key, _, _)| key.is_taken_running()) {
            merged.adopt(key, &wanted);
        }
        let setup = Setup::of(merged, self.setup.quiet)?;
        if self.parts.to_stdout && take_stdout(&setup.config) {
            return Err(Fault::new(
                code::CONFIG,
                "standard output takes flows already (--output -): eve.stdout and ecs.stdout want a restart",
            ));
        }
        let prints = Prints::of(&setup.layers);
        let changed = self.prints.differing(&prints);
        let sinks: Vec<&str> = if changed.contains(&"spool") {
            outlets::SECTIONS.to_vec()
        } else {
            let sections = outlets::SECTIONS.into_iter();
            sections
                .filter(|section| changed.contains(section))
                .collect()
        };
        let specs = outlets::configured_of(&setup, &sinks)?;
        let wanted = &setup.config.dashboard;
        let access = match (&self.parts.access, wanted.listen) {
            (Some(_), Some(address)) if changed.contains(&"dashboard") => Some(Access::new(
                address,
                wanted.token_file.as_deref(),
                &wanted.hosts,
            )?),
            _ => None,
        };
        // Everything is right: from here on nothing is refused.
        let is_taken = |key: &&&Key| key.is_taken_running();
        let paths = |keys: Vec<&&'static Key>| keys.into_iter().map(|key| key.path).collect();
        let mut outcome = Outcome {
            taken: paths(differing.iter().filter(is_taken).collect()),
            waiting: paths(
                differing
                    .iter()
                    .filter(|key| !key.is_taken_running())
                    .collect(),
            ),
            trouble: Vec::new(),
        };
        // A file that says something else under the same name.
        for section in changed {
            if !outcome
                .taken
                .iter()
                .any(|path| path.split('.').next() == Some(section))
            {
                outcome.taken.push(section);
            }
        }
        if let (Some(served), Some(access)) = (&self.parts.access, access) {
            served.adopt(&access);
        }
        self.adjust(&setup, &mut outcome);
        if !sinks.is_empty() {
            self.put_in_place(&setup, &sinks, specs, &mut outcome);
        }
        (self.setup, self.prints) = (setup, prints);
        Ok(outcome)
    }

    /// Everything but the sinks.
    fn adjust(&mut self, setup: &Setup, outcome: &mut Outcome) {
        let parts = &mut self.parts;
        // A watch that has ended takes nothing any more.
        let _ = parts.watch.send(Adjustment {
            alerts: setup.alerts_of_watch(),
            evidence: setup.evidence(),
        });
        match &parts.rules {
            Ok(rules) => rules.put(setup.store_rules()),
            Err(mutes) => mutes.set(setup.windows()),
        }
        let intel = setup.config.intel != self.setup.config.intel;
        parts.intel.read(setup, intel);
        if setup.config.resources == self.setup.config.resources {
            return;
        }
        match &parts.resources {
            Some(watch) if setup.config.resources.enabled => watch.adjust(beside::spikes(setup)),
            Some(_) => parts.resources = None,
            None => match beside::resources(setup, &parts.post, &parts.metrics, parts.to_stdout) {
                Ok(watch) => parts.resources = watch,
                Err(fault) => outcome.trouble.push(fault.to_string()),
            },
        }
    }

    /// Begins the sinks of some sections anew. What comes meanwhile waits in their inboxes, and what the receivers have not taken
    /// of what came before is on disk, where they go on.
    fn put_in_place(
        &mut self,
        setup: &Setup,
        sections: &[&str],
        specs: Vec<crate::sink::outlet::OutletSpec>,
        outcome: &mut Outcome,
    ) {
        let parts = &mut self.parts;
        let is_meant = |name: &str| sections.contains(&name);
        let joining = specs.iter().map(|spec| (spec.name, spec.wants));
        let inboxes = parts.post.replace(is_meant, joining);
        parts.outlets.end(is_meant, HAND_OVER);
        let settings = outlets::settings(setup, !parts.to_stdout);
        parts.outlets.adjust(settings);
        for (spec, inbox) in specs.into_iter().zip(inboxes) {
            setup.note(&format!("{} to {}", spec.folder, spec.target));
            if let Err(error) = parts.outlets.start(spec, inbox) {
                outcome.trouble.push(error.to_string());
            }
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.trouble.is_empty() {
            write!(f, "warning: ")?;
        }
        write!(f, "configuration read again: ")?;
        match self.taken.as_slice() {
            [] => write!(f, "nothing else in force")?,
            taken => write!(f, "in force now: {}", taken.join(", "))?,
        }
        if !self.waiting.is_empty() {
            write!(f, "; only after a restart: {}", self.waiting.join(", "))?;
        }
        for trouble in &self.trouble {
            write!(f, "; {trouble}")?;
        }
        Ok(())
    }
}

/// What sections say, with what the files say that they name: a password that was changed is another one, whatever its file
/// is called.
#[derive(Debug, Default)]
struct Prints(BTreeMap<&'static str, [u8; 32]>);

impl Prints {
    fn of(layers: &Layers) -> Self {
        let mut texts: BTreeMap<&'static str, Sha256> = BTreeMap::new();
        for (key, value, _) in layers.all() {
            let text = texts.entry(key.section()).or_default();
            text.update(format!("{}={value}\n", key.path));
            let mut file = |path: &str| {
                let mut read = Vec::new();
                // One that cannot be read is told of where it is needed.
                if let Ok(file) = File::open(path)
                    && file.take(FILE_BYTES).read_to_end(&mut read).is_ok()
                {
                    text.update(&read);
                }
                text.update([0]);
                String::from_utf8_lossy(&read).into_owned()
            };
            let told = match value {
                Value::Text(path) if key.name().ends_with("_file") && !path.is_empty() => {
                    file(path)
                }
                Value::List(items) => items.join("\n"),
                _ => continue,
            };
            // Addresses of webhooks, in the list and in a file, name files of their own.
            for word in told.split_whitespace() {
                if let Some((_, path)) = word.split_once("_file=") {
                    file(path);
                }
            }
        }
        let done = texts.into_iter();
        Self(
            done.map(|(section, text)| (section, text.finalize().into()))
                .collect(),
        )
    }

    /// Sections in which something is other, there.
    fn differing(&self, other: &Self) -> Vec<&'static str> {
        let differs = |section: &&'static str| self.0.get(section) != other.0.get(section);
        other.0.keys().copied().filter(differs).collect()
    }
}

#[cfg(test)]
mod tests;
