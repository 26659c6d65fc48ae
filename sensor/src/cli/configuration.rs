//! `config check` and `config dump`.

use super::{
    args::ConfigArgs,
    fault::Fault,
    setup::{Flags, layers, output},
};
use crate::config::{Config, Layers};

fn read(args: &ConfigArgs) -> Result<Layers, Fault> {
    let file = args.file.as_ref().or(args.common.config.as_ref());
    let common = super::args::Common {
        config: file.cloned(),
        settings: args.common.settings.clone(),
        quiet: args.common.quiet,
    };
    layers(&common, &Flags::default())
}

/// Says whether every layer is valid.
pub(super) fn check(args: &ConfigArgs) -> Result<u8, Fault> {
    let layers = read(args)?;
    Config::from_layers(&layers)?;
    let set = layers
        .all()
        .filter(|(_, _, origin)| **origin != crate::config::Origin::Default)
        .count();
    let mut out = output(&args.output)?;
    writeln!(
        out,
        "valid; {set} of {} keys set",
        crate::config::KEYS.len()
    )?;
    out.flush()?;
    Ok(0)
}

/// Prints every key.
pub(super) fn dump(args: &ConfigArgs) -> Result<u8, Fault> {
    let layers = read(args)?;
    Config::from_layers(&layers)?;
    let mut out = output(&args.output)?;
    let mut section = "";
    for (key, value, origin) in layers.all() {
        let (of, name) = key.path.split_once('.').unwrap_or(("", key.path));
        if of != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            writeln!(out, "{gap}[{of}]")?;
            section = of;
        }
        writeln!(out, "# {} ({})", key.about, key.variable())?;
        writeln!(out, "{name} = {value}  # {origin}")?;
    }
    out.flush()?;
    Ok(0)
}
