//! Every sink that is configured.

use std::{sync::Arc, time::Duration};

use super::{exports, senders, writers};
use crate::{
    cli::{
        fault::{Fault, code},
        setup::Setup,
    },
    metrics::Metrics,
    pipeline::Subscriptions,
    sink::outlet::{Bounds, OutletSpec, Outlets, Settings},
};

/// How long receivers may take at the end; with what else there is to do, the program ends within five seconds.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// Sections of the configuration that each make sinks of that name.
pub(super) const SECTIONS: [&str; 9] = [
    "eve", "ecs", "syslog", "webhook", "mail", "redis", "ipfix", "parquet", "conn_log",
];

/// What the configuration asks for, ready to start.
pub(in crate::cli) fn configured(setup: &Setup) -> Result<Vec<OutletSpec>, Fault> {
    configured_of(setup, &SECTIONS)
}

/// The same, of some sections: files of secrets that others name are not read.
pub(super) fn configured_of(setup: &Setup, sections: &[&str]) -> Result<Vec<OutletSpec>, Fault> {
    let mut specs = Vec::new();
    for section in sections {
        match *section {
            "eve" | "ecs" | "syslog" => specs.extend(writers::configured(setup, section)?),
            "webhook" | "mail" | "redis" => specs.extend(senders::configured(setup, section)?),
            _ => specs.extend(exports::configured(setup, section)),
        }
    }
    Ok(specs)
}

/// What all of them have in common; without a folder for results, nothing is kept on disk unless it was asked for.
pub(in crate::cli) fn settings(setup: &Setup, has_folder: bool) -> Settings {
    let spool = &setup.config.spool;
    let in_results = has_folder.then(|| setup.folder().join("spool"));
    Settings {
        folder: spool.folder.clone().or(in_results),
        bounds: Bounds {
            memory_bytes: spool.memory_bytes,
            disk_bytes: spool.bytes,
        },
        dead_letter_bytes: spool.dead_letter_bytes,
        first_retry: spool.first_retry,
        longest_retry: spool.longest_retry,
    }
}

/// Starts them all.
pub(super) fn start(
    setup: &Setup,
    specs: Vec<OutletSpec>,
    has_folder: bool,
    metrics: &Metrics,
    subscriptions: &mut Subscriptions,
) -> Result<Outlets, Fault> {
    let quiet = setup.quiet;
    let say = Arc::new(move |line: &str| {
        if !quiet {
            eprintln!("{line}");
        }
    });
    let mut outlets = Outlets::new(settings(setup, has_folder), metrics, say);
    for spec in specs {
        setup.note(&format!("{} to {}", spec.folder, spec.target));
        let inbox = subscriptions.subscribe(spec.name, spec.wants);
        outlets
            .start(spec, inbox)
            .map_err(|error| Fault::new(code::FAILED, error.to_string()))?;
    }
    Ok(outlets)
}

/// Ends them all, and says what is left for the next start.
pub(super) fn stop(setup: &Setup, outlets: Outlets) {
    for left in outlets.stop(LAST_WORDS) {
        if left.waiting > 0 {
            setup.note(&format!(
                "{}: {} undelivered, kept for the next start",
                left.name, left.waiting
            ));
        }
    }
}
