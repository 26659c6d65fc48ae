//! `model list|show|use|rollback`; `diff` and `merge` are in `fleet`.

use std::io::Write;

use serde_json::{Value, json};

use super::{
    args::{ModelList, ModelShow, ModelUse},
    fault::Fault,
    setup::{Flags, Setup, output, stdout, style},
};
use crate::{
    config::Format,
    features,
    score::{count, store},
    sink::table::{Align, Table},
};

pub(super) fn list(args: &ModelList) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default().format(args.printed.format))?;
    let store = setup.store();
    let current = store.current()?;
    let mut table = Table::new(&[
        ("in use", Align::Left),
        ("name", Align::Left),
        ("flow records", Align::Right),
        ("trees", Align::Right),
        ("threshold", Align::Right),
        ("schema", Align::Left),
    ]);
    let (mut values, mut lines) = (Vec::new(), Vec::new());
    for name in store.names()? {
        let used = current.as_deref() == Some(name.as_str());
        let path = store.path(&name);
        let (rows, trees, threshold, schema) = match store::load_any(&path) {
            Ok(model) => (
                model.info().rows,
                model.info().settings.trees,
                model.threshold(),
                match model.accepts(&features::schema()) {
                    Ok(()) => "fits",
                    Err(_) => "another",
                },
            ),
            Err(_) => (0, 0, f32::NAN, "damaged"),
        };
        table.row([
            if used { "*" } else { "" }.to_owned(),
            name.clone(),
            count(rows as f64),
            trees.to_string(),
            threshold.to_string(),
            schema.to_owned(),
        ]);
        lines.push(format!("{used},{name},{rows},{trees},{threshold},{schema}"));
        values.push(json!({
            "name": name, "in_use": used, "rows": rows, "trees": trees,
            "threshold": crate::sink::json::number(threshold), "schema": schema,
        }));
    }
    let mut out = output(&args.printed.output.path)?;
    match setup.config.output.format {
        Format::Json => writeln!(out, "{:#}", Value::from(values))?,
        Format::Csv => {
            writeln!(out, "in_use,name,rows,trees,threshold,schema")?;
            for line in lines {
                writeln!(out, "{line}")?;
            }
        }
        Format::Table if values.is_empty() => {
            writeln!(out, "no model in {} yet", store.folder().display())?;
        }
        Format::Table => {
            table.write(&mut out, "", style(&args.printed.output.path))?;
        }
    }
    out.flush()?;
    Ok(0)
}

pub(super) fn show(args: &ModelShow) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default().format(args.printed.format))?;
    let path = setup.model_path(args.model.as_deref())?;
    if super::labels::is_classifier(&path) {
        return super::labels::describe(&setup, &path, &args.printed.output.path);
    }
    let model = store::load_any(&path)?;
    let info = model.info();
    let mut out = output(&args.printed.output.path)?;
    if setup.config.output.format == Format::Json {
        let value = json!({
            "path": path.display().to_string(),
            "digest": model.digest(),
            "schema_digest": model.schema().digest(),
            "threshold": crate::sink::json::number(model.threshold()),
            "info": info,
            "columns": model.schema().columns,
        });
        writeln!(out, "{value:#}")?;
        out.flush()?;
        return Ok(0);
    }
    let fits = match model.accepts(&features::schema()) {
        Ok(()) => "fits this program".to_owned(),
        Err(error) => format!("does not fit this program: {error}"),
    };
    let settings = &info.settings;
    let lines = [
        ("file", path.display().to_string()),
        ("digest", model.digest()),
        ("made by", info.created_by.clone()),
        (
            "features",
            format!(
                "{}, {} of them used",
                model.schema().len(),
                info.columns_used
            ),
        ),
        ("schema", format!("{} ({fits})", model.schema().digest())),
        (
            "forest",
            format!(
                "{} trees of {} rows, {:?}, range share {}, rank share {}, seed {}",
                settings.trees,
                info.rows_per_tree,
                settings.shape,
                settings.range_share,
                settings.rank_share,
                settings.seed
            ),
        ),
        (
            "autoencoder",
            info.autoencoder.as_ref().map_or_else(
                || "none".to_owned(),
                |autoencoder| {
                    let sizes: Vec<String> =
                        autoencoder.sizes.iter().map(ToString::to_string).collect();
                    let (weight, trim) = (settings.autoencoder, settings.trim);
                    format!(
                        "{}, weight {weight}; {} % left out of its training",
                        sizes.join("-"),
                        (f64::from(trim) * 1000.0).round() / 10.0
                    )
                },
            ),
        ),
        (
            "peer groups",
            match info.peer_groups {
                0 => "none".to_owned(),
                groups => format!(
                    "{groups} by {}, weight {}",
                    settings.groups.join(", "),
                    settings.peers
                ),
            },
        ),
        (
            "learned from",
            format!(
                "{} flow records, {} held out",
                count(info.rows as f64),
                count(info.held_out as f64)
            ),
        ),
        ("data digest", info.data_digest.clone()),
        (
            "calibration",
            format!(
                "{} rows, {:?}",
                count(f64::from(info.calibration_rows)),
                info.calibration
            ),
        ),
        (
            "threshold",
            format!(
                "{} (contamination {})",
                model.threshold(),
                settings.contamination
            ),
        ),
    ];
    for (name, text) in lines {
        writeln!(out, "{name:>13}  {text}")?;
    }
    out.flush()?;
    Ok(0)
}

pub(super) fn put_in_use(args: &ModelUse) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default())?;
    let name = setup.store().use_version(&args.model)?;
    let mut out = output(&stdout())?;
    writeln!(out, "in use: {name}")?;
    out.flush()?;
    Ok(0)
}

pub(super) fn roll_back(args: &ModelList) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default())?;
    let name = setup.store().rollback()?;
    let mut out = output(&args.printed.output.path)?;
    writeln!(out, "in use: {name}")?;
    out.flush()?;
    Ok(0)
}
