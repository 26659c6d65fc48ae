//! `extract`: the packets of one flow, or of one alert, out of captures.

use std::path::Path;

use super::{
    args::Extract,
    draft::Draft,
    fault::{Fault, code},
    setup::{Flags, Setup},
};
use crate::{
    capture::frames::FramesError,
    pipeline::{
        Pass,
        evidence::{self, ExtractError},
    },
    score::several,
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
    let setup = setup.ending_when_told()?;
    let stop = setup.stop.clone().unwrap_or_default();
    // An empty capture would look like an answer: a draft that is not kept leaves what was there.
    let (draft, out) = Draft::written(&args.output)?;
    let extracted = evidence::extract_flow(&args.captures.paths, &name, &stop, out).map_err(
        |error| match error {
            ExtractError::Frames(FramesError::Capture(error)) => error.into(),
            ExtractError::Frames(FramesError::Output(error)) => {
                Fault::file(&args.output, &error, code::FAILED)
            }
            ExtractError::Nothing { .. } => Fault::new(code::FAILED, error.to_string()),
        },
    )?;
    draft.keep()?;
    let pass = Pass {
        replay: extracted.report,
        stopped: setup.is_told_to_stop(),
        ..Pass::default()
    };
    setup.damage(&pass);
    setup.note(&format!(
        "{} of {name} in {}",
        several(extracted.packets as f64, "packet"),
        args.output.display()
    ));
    Ok(setup.interrupted(&pass))
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
