//! `train`: a model from captures or tables.

use std::io::Write;

use model::{Model, Rows};
use serde_json::json;

use super::{
    args::Train,
    fault::{Fault, code},
    setup::{Flags, Setup, output, show, stdout, write_model},
};
use crate::{
    config::Format,
    features::{MODEL_COUNT, is_judged, model_row, schema},
    pipeline,
    score::count,
};

pub(super) fn run(args: &Train) -> Result<u8, Fault> {
    let flags = Flags::default()
        .timeouts(&args.timeouts)
        .training(&args.training)
        .format(args.summary.format);
    let setup = Setup::new(&args.common, &flags)?;
    if args.labels.is_some() || args.rules.is_some() {
        return super::labels::train(&setup, args);
    }
    let (model, left_out) = if args.inputs.are_tables()? {
        (from_tables(&setup, &args.inputs.paths)?, 0)
    } else {
        let bar = setup.progress("reading", &args.inputs.paths);
        let learned = pipeline::train_on_captures(
            &args.inputs.paths,
            &setup.stages(),
            &setup.training(),
            &mut |tick| show(&bar, tick),
            &mut |_, _| Ok(()),
        );
        bar.finish_and_clear();
        let learned = learned?;
        setup.damage(&learned.pass);
        (learned.model, learned.left_out)
    };
    let place = match &args.output {
        Some(path) => {
            write_model(path, &model.to_bytes())?;
            path.display().to_string()
        }
        None => {
            let store = setup.store();
            let name = store.add(&model)?;
            store.path(&name).display().to_string()
        }
    };
    tell(&setup, &model, &place, left_out)
}

/// The rows of tables that models are asked about, all of them: who made the tables chose them.
fn from_tables(setup: &Setup, tables: &[std::path::PathBuf]) -> Result<Model, Fault> {
    let mut rows = Rows::with_columns(MODEL_COUNT);
    for path in tables {
        let mut table = pipeline::Table::open(path)?;
        table.require_features()?;
        while table.next_record()?.is_some() {
            let row = table.row()?;
            if is_judged(&row) {
                rows.push(&model_row(&row));
            }
        }
    }
    Model::train(&rows, &schema(), &setup.training().model)
        .map_err(|error| Fault::new(code::FAILED, format!("cannot train: {error}")))
}

fn tell(setup: &Setup, model: &Model, place: &str, left_out: u64) -> Result<u8, Fault> {
    let info = model.info();
    if model.threshold().is_infinite() {
        setup.note(super::setup::TOO_FEW);
    }
    if place == "-" {
        return Ok(0);
    }
    let mut out = output(&stdout())?;
    match setup.config.output.format {
        Format::Json => writeln!(
            out,
            "{:#}",
            json!({
                "model": place,
                "digest": model.digest(),
                "rows": info.rows,
                "left_out": left_out,
                "threshold": crate::sink::json::number(model.threshold()),
                "data_digest": info.data_digest,
            })
        )?,
        _ => {
            let left_out = match left_out {
                0 => String::new(),
                rows => format!(
                    ", {} left out that behave like an attack",
                    count(rows as f64)
                ),
            };
            writeln!(
                out,
                "{place}: {} trees from {} flow records{left_out}; threshold {} (at most {} % of such traffic is above)",
                info.settings.trees,
                count(info.rows as f64),
                model.threshold(),
                info.settings.contamination * 100.0,
            )?;
        }
    }
    out.flush()?;
    Ok(0)
}
