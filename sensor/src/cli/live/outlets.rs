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

/// What the configuration asks for, ready to start.
pub(in crate::cli) fn configured(setup: &Setup) -> Result<Vec<OutletSpec>, Fault> {
    let mut specs = writers::configured(setup)?;
    specs.extend(senders::configured(setup)?);
    specs.extend(exports::configured(setup));
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
