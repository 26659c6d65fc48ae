//! `zeek`: models for Zeek's connection logs.

mod args;
mod score;
mod train;
mod watch;

use std::path::{Path, PathBuf};

pub(super) use self::args::ZeekAction;
use super::{
    fault::{Fault, code},
    setup::Setup,
};
use crate::{
    score::store::load_any,
    zeek::{self, ConnLog, Featured, LogError, Losses, Stream},
};

pub(super) fn run(action: &ZeekAction) -> Result<u8, Fault> {
    match action {
        ZeekAction::Train(args) => train::run(args),
        ZeekAction::Score(args) => score::run(args),
        ZeekAction::Watch(args) => watch::run(args),
    }
}

impl From<LogError> for Fault {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Read { path, source } => Self::file(&path, &source, code::NO_INPUT),
            other => Self::new(code::NO_INPUT, other.to_string()),
        }
    }
}

/// Where a model of connection logs lies unless somebody says otherwise.
fn model_path(setup: &Setup, wanted: Option<&PathBuf>) -> PathBuf {
    wanted
        .cloned()
        .unwrap_or_else(|| setup.folder().join("zeek.model"))
}

fn load(setup: &Setup, wanted: Option<&PathBuf>) -> Result<model::Model, Fault> {
    let path = model_path(setup, wanted);
    if wanted.is_none() && !path.exists() {
        return Err(Fault::new(
            code::NO_INPUT,
            format!(
                "{}: no model yet; train one with `anomaly-detect zeek train LOG`",
                path.display()
            ),
        ));
    }
    let model = load_any(&path)?;
    model.accepts(&zeek::schema()).map_err(|what| {
        Fault::new(
            code::FAILED,
            format!(
                "{}: not a model of connection logs: {what}; train one with `anomaly-detect zeek train`",
                path.display()
            ),
        )
    })?;
    Ok(model)
}

/// Reads a log to its end; hands on the connections as their turn comes.
fn read(
    path: &Path,
    stream: &mut Stream,
    each: &mut dyn FnMut(&mut Vec<Featured>) -> Result<(), Fault>,
) -> Result<(Losses, u64), Fault> {
    const BATCH: usize = 4096;
    let mut log = ConnLog::open(path)?;
    let mut batch = Vec::new();
    let mut records = 0;
    while let Some(conn) = log.next_conn()? {
        records += 1;
        stream.push(conn, &mut batch);
        if batch.len() >= BATCH {
            each(&mut batch)?;
            batch.clear();
        }
    }
    stream.flush(&mut batch);
    each(&mut batch)?;
    Ok((*log.losses(), records))
}

/// Says what of a log was lost.
fn damage(setup: &Setup, path: &Path, losses: &Losses) {
    let text = losses.to_string();
    if !text.is_empty() {
        setup.note(&format!("warning: {}: {text}", path.display()));
    }
}
