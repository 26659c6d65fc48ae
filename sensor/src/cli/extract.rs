//! `extract`: the packets of one flow, or of one alert, out of captures.

use std::{io::BufWriter, path::Path};

use super::{
    args::Extract,
    fault::{Fault, code},
    setup::{Flags, Setup, is_stdout, output},
};
use crate::{
    capture::frames::FramesError,
    pipeline::evidence::{self, ExtractError},
    score::count,
};

pub(super) fn run(args: &Extract) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default())?;
    let name = match (&args.flow, &args.alert) {
        (Some(flow), _) => flow.clone(),
        (None, Some(alert)) => {
            let folder = alert_folder(&setup, alert)?;
            evidence::read(&folder)?.flow_name
        }
        (None, None) => {
            return Err(Fault::new(
                code::USAGE,
                "say what to extract: --flow COMMUNITY_ID or --alert ID",
            ));
        }
    };
    let out = BufWriter::with_capacity(1 << 16, output(&args.output)?);
    let packets = match evidence::extract_flow(&args.captures.paths, &name, out) {
        Ok(packets) => packets,
        Err(error) => {
            if !is_stdout(&args.output) {
                // An empty capture would look like an answer.
                let _ = std::fs::remove_file(&args.output);
            }
            return Err(match error {
                ExtractError::Frames(FramesError::Capture(error)) => error.into(),
                ExtractError::Frames(FramesError::Output(error)) => {
                    Fault::file(&args.output, &error, code::FAILED)
                }
                ExtractError::Nothing { .. } => Fault::new(code::FAILED, error.to_string()),
            });
        }
    };
    setup.note(&format!(
        "{} packets of {name} in {}",
        count(packets as f64),
        args.output.display()
    ));
    Ok(0)
}

/// The folder of an alert: named by its id, or itself.
fn alert_folder(setup: &Setup, alert: &str) -> Result<std::path::PathBuf, Fault> {
    let is_id = alert.len() == 16 && alert.bytes().all(|byte| byte.is_ascii_hexdigit());
    let folder = if is_id {
        setup.folder().join("evidence").join(alert)
    } else {
        Path::new(alert).to_owned()
    };
    if folder.is_dir() {
        Ok(folder)
    } else {
        Err(Fault::new(
            code::NO_INPUT,
            format!(
                "{}: no such alert; `run` keeps them in evidence/ of its output folder",
                folder.display()
            ),
        ))
    }
}
