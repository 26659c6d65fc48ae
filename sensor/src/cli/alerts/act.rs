//! `alerts ack`, `close`, `reopen`.

use super::{
    super::{
        fault::{Fault, code},
        sheet,
    },
    args::Act,
    filter, whole,
};
use crate::sink::store::{Actions, IncidentFilter, State};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Acknowledge,
    Close,
    Reopen,
}

impl Deed {
    /// States that it changes.
    const fn from(self) -> &'static [State] {
        match self {
            Self::Acknowledge => &[State::Open],
            Self::Close => &[State::Open, State::Acknowledged, State::Suppressed],
            Self::Reopen => &[State::Acknowledged, State::Closed],
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledged",
            Self::Close => "closed",
            Self::Reopen => "open again",
        }
    }
}

pub(super) fn run(args: &Act, deed: Deed) -> Result<u8, Fault> {
    let (setup, reader) = sheet::open(&args.common, None)?;
    let which = &args.which;
    let chosen = which.host.is_some()
        || which.kind.is_some()
        || which.severity.is_some()
        || !which.state.is_empty()
        || which.since.is_some()
        || which.until.is_some()
        || which.technique.is_some();
    let ids = match (args.ids.is_empty(), chosen) {
        (true, false) => {
            return Err(Fault::new(
                code::USAGE,
                "which incidents? Name ids (`anomaly-detect alerts list`), or choose by --host, --kind, --severity or --since",
            ));
        }
        (false, true) => {
            return Err(Fault::new(
                code::USAGE,
                "ids and a choice by --host, --kind and so on: name either",
            ));
        }
        (false, false) => whole(&reader, &args.ids)?,
        (true, true) => {
            let wanted = IncidentFilter {
                limit: u32::MAX,
                ..filter(&reader, which, deed.from())?
            };
            let found = reader.incidents(&wanted)?;
            found.into_iter().map(|entry| entry.alert.id).collect()
        }
    };
    drop(reader);
    let mut actions = Actions::open(&setup.store_path())?;
    let who = args.who.name();
    let changed = match deed {
        Deed::Acknowledge => actions.acknowledge(&ids, &who, &args.note)?,
        Deed::Close => actions.close(&ids, &who, &args.note)?,
        Deed::Reopen => actions.reopen(&ids, &who, &args.note)?,
    };
    let others = ids.len() as u64 - changed;
    let rest = match (others, deed) {
        (0, _) => String::new(),
        (_, Deed::Close) => format!("; {others} were closed before"),
        (_, Deed::Acknowledge) => format!("; {others} were not open"),
        (_, Deed::Reopen) => format!("; {others} were neither acknowledged nor closed"),
    };
    setup.note(&format!("{changed} {}{rest}", deed.done()));
    Ok(0)
}
