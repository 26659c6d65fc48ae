//! `alerts`: what an operator does with incidents.

mod act;
mod args;
mod list;
mod show;
mod suppress;

pub(super) use self::args::AlertsAction;
use self::args::{StateArg, Which};
use super::{
    fault::{Fault, code},
    sheet,
};
use crate::{
    score::Severity,
    sink::store::{IncidentFilter, Reader, State},
};

pub(super) fn run(action: &AlertsAction) -> Result<u8, Fault> {
    match action {
        AlertsAction::List(args) => list::list(args),
        AlertsAction::Show(args) => show::run(args),
        AlertsAction::Ack(args) => act::run(args, act::Deed::Acknowledge),
        AlertsAction::Close(args) => act::run(args, act::Deed::Close),
        AlertsAction::Reopen(args) => act::run(args, act::Deed::Reopen),
        AlertsAction::Suppress(args) if args.list => suppress::list(args),
        AlertsAction::Suppress(args) => suppress::suppress(args),
        AlertsAction::Unsuppress(args) => suppress::unsuppress(args),
        AlertsAction::Export(args) => list::export(args),
    }
}

/// The filter that the flags describe.
fn filter(reader: &Reader, which: &Which, default: &[State]) -> Result<IncidentFilter, Fault> {
    let technique = which.technique.as_ref().map(|id| id.to_uppercase());
    Ok(IncidentFilter {
        states: StateArg::states(&which.state, default),
        least: which.severity.map_or(Severity::Info, Severity::from),
        kind: match &which.kind {
            Some(kind) => Some(sheet::kind(reader, kind)?),
            None => None,
        },
        host: which.host.clone(),
        since_ns: which.since.unwrap_or(0),
        until_ns: which.until,
        technique,
        ..IncidentFilter::default()
    })
}

/// Whole ids of incidents named by their beginning.
fn whole(reader: &Reader, ids: &[String]) -> Result<Vec<String>, Fault> {
    let mut whole = Vec::new();
    for id in ids {
        let found = reader.id_of(&id.to_lowercase())?.ok_or_else(|| {
            Fault::new(
                code::USAGE,
                format!("`{id}`: no incident's id begins so; `anomaly-detect alerts list --state all` lists them"),
            )
        })?;
        if !whole.contains(&found) {
            whole.push(found);
        }
    }
    Ok(whole)
}
