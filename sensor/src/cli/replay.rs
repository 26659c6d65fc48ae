//! `explain --replay`: whether evidence holds.

use std::io::Write as _;

use super::{
    args::Explain,
    fault::{Fault, code},
    setup::{Flags, Setup, output},
};
use crate::{
    config::Format,
    pipeline::evidence::{self, ReplayError, Replayed},
    score::{several, store},
    sink::json,
};

pub(super) fn run(args: &Explain) -> Result<u8, Fault> {
    let flags = Flags::default().format(args.printed.format);
    let setup = Setup::new(&args.common, &flags)?;
    let mut out = output(&args.printed.output.path)?;
    for folder in &args.replay {
        // Of no model named, the one in the store that the bundle names.
        let model = match args.model.name.as_deref() {
            Some(wanted) => setup.model(Some(wanted))?,
            None => {
                let wanted = evidence::read(folder)?.model;
                let store = setup.store();
                let name = store.find(&wanted[..wanted.len().min(8)])?;
                store::load(&store.path(&name))?
            }
        };
        let Replayed { bundle, features } = evidence::replay(folder, &model)?;
        if setup.config.output.format == Format::Json {
            let value = serde_json::json!({
                "bundle": folder.display().to_string(),
                "alert": bundle.id,
                "score": json::number(f32::from_bits(bundle.score)),
                "model": bundle.model,
                "reproduced": true,
                "features_from_packets": features,
            });
            writeln!(out, "{value}")?;
            continue;
        }
        let packets = if features > 0 {
            format!(
                "{features} features of the flow made anew from its {}, all equal",
                several(bundle.packets.flow as f64, "packet")
            )
        } else {
            format!(
                "{} of the flow's {} packets are kept, too few to make it anew",
                bundle.packets.flow, bundle.packets.flow_of
            )
        };
        writeln!(
            out,
            "{}: score {} comes out again bit by bit, with p-value and reasons; {packets}",
            folder.display(),
            f32::from_bits(bundle.score)
        )?;
    }
    out.flush()?;
    Ok(0)
}

impl From<ReplayError> for Fault {
    fn from(error: ReplayError) -> Self {
        let exit = match &error {
            ReplayError::Io { .. } | ReplayError::Bundle { .. } => code::NO_INPUT,
            _ => code::FAILED,
        };
        Self::new(exit, error.to_string())
    }
}
