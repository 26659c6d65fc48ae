//! `model diff` and `model merge`: what one box learned beside what another did, and both together.

use std::{io::Write, path::PathBuf};

use model::{Model, Rows, Transform};
use serde_json::json;

use super::{
    args::{ModelDiff, ModelMerge},
    fault::{Fault, code},
    setup::{Flags, Setup, output, show, stdout, style, write_model},
};
use crate::{
    config::Format,
    features::{MODEL_COUNT, is_judged, model_row},
    learn::{Reservoir, Settings},
    pipeline::{self, Sample, is_table},
    score::{Judge, count, several, store},
    sink::{
        json::number,
        table::{Align, Table},
    },
};

/// Index from which a column is said to have moved.
const MOVED: f64 = 0.25;

fn load(setup: &Setup, wanted: &str) -> Result<(PathBuf, Model), Fault> {
    let path = setup.model_path(Some(wanted))?;
    let model = store::load_any(&path)?;
    Ok((path, model))
}

/// One column of both baselines.
struct Moved<'a> {
    name: &'a str,
    index: f64,
    /// 1 %, 50 % and 99 % quantile of each; of a categorical column they say nothing.
    usual: Option<[[f32; 3]; 2]>,
}

pub(super) fn diff(args: &ModelDiff) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default().format(args.printed.format))?;
    let (old_path, old) = load(&setup, &args.old)?;
    let (new_path, new) = load(&setup, &args.new)?;
    if let Err(what) = old.accepts(new.schema()) {
        return Err(Fault::new(
            code::FAILED,
            format!(
                "{} and {} cannot be compared, their schemas differ: {what}",
                old_path.display(),
                new_path.display()
            ),
        ));
    }
    let mut columns: Vec<Moved<'_>> = (old.schema().columns.iter().enumerate())
        .map(|(at, column)| Moved {
            name: &column.name,
            index: old.shift(&new, at),
            usual: (column.transform != Transform::Categorical)
                .then(|| [&old, &new].map(|m| [0.01, 0.5, 0.99].map(|q| m.quantile(at, q)))),
        })
        .collect();
    columns.sort_by(|a, b| b.index.total_cmp(&a.index).then(a.name.cmp(b.name)));
    let moved = columns.iter().filter(|column| column.index > MOVED).count();
    let strange = [strange(&old, &new), strange(&new, &old)];
    columns.truncate(args.top);
    let mut out = output(&args.printed.output.path)?;
    match setup.config.output.format {
        Format::Json => {
            let columns: Vec<_> = columns
                .iter()
                .map(|column| {
                    let [old, new] = column.usual.unwrap_or([[f32::NAN; 3]; 2]);
                    json!({"name": column.name, "stability_index": column.index,
                        "old_quantiles": old.map(number), "new_quantiles": new.map(number)})
                })
                .collect();
            let side = |path: &PathBuf, model: &Model| {
                json!({"path": path.display().to_string(), "digest": model.digest(), "rows": model.info().rows,
                    "trees": model.info().settings.trees, "threshold": number(model.threshold())})
            };
            let value = json!({
                "old": side(&old_path, &old), "new": side(&new_path, &new), "columns_moved": moved,
                "examples_of_old_odd_to_new": strange[0], "examples_of_new_odd_to_old": strange[1],
                "columns": columns,
            });
            writeln!(out, "{value:#}")?;
        }
        Format::Csv => {
            writeln!(
                out,
                "name,stability_index,old_1,old_50,old_99,new_1,new_50,new_99"
            )?;
            for column in &columns {
                write!(out, "{},{:.4}", column.name, column.index)?;
                for value in column.usual.unwrap_or([[f32::NAN; 3]; 2]).as_flattened() {
                    write!(out, ",{value}")?;
                }
                writeln!(out)?;
            }
        }
        Format::Table => {
            for (name, path, model) in [("old", &old_path, &old), ("new", &new_path, &new)] {
                writeln!(
                    out,
                    "{name}  {}: {} trees from {} flow records, threshold {}",
                    path.display(),
                    model.info().settings.trees,
                    count(model.info().rows as f64),
                    model.threshold()
                )?;
            }
            writeln!(
                out,
                "{moved} of {} features moved (stability index above {MOVED}); of the old model's ordinary examples {:.0} % are odd to the new, of the new's {:.0} % to the old\n",
                old.schema().len(),
                strange[0] * 100.0,
                strange[1] * 100.0
            )?;
            let mut table = Table::new(&[
                ("feature", Align::Left),
                ("index", Align::Right),
                ("old 1 %, median, 99 %", Align::Left),
                ("new 1 %, median, 99 %", Align::Left),
            ]);
            for column in &columns {
                let [old, new] = match column.usual {
                    Some(usual) => usual.map(|side| side.map(|v| count(f64::from(v))).join(", ")),
                    None => ["", ""].map(str::to_owned),
                };
                let index = format!("{:.3}", column.index);
                table.row([column.name.to_owned(), index, old, new]);
            }
            table.write(&mut out, "", style(&args.printed.output.path))?;
        }
    }
    out.flush()?;
    Ok(0)
}

/// Share of one model's ordinary examples that are odd to another.
fn strange(of: &Model, to: &Model) -> f64 {
    let examples = of.examples();
    let mut judge = Judge::default();
    let scores = judge.score_values(to, &examples.values);
    let odd = scores.iter().filter(|score| **score >= to.threshold());
    odd.count() as f64 / examples.len().max(1) as f64
}

pub(super) fn merge(args: &ModelMerge) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default())?;
    let mut loaded = Vec::new();
    for wanted in &args.models {
        loaded.push(load(&setup, wanted)?);
    }
    let models: Vec<&Model> = loaded.iter().map(|(_, model)| model).collect();
    let merged = Model::merge(&models).map_err(|error| {
        let names: Vec<_> = loaded
            .iter()
            .map(|(path, _)| path.display().to_string())
            .collect();
        Fault::new(
            code::FAILED,
            format!("cannot merge {}: {error}", names.join(", ")),
        )
    })?;
    let (rows, from) = rows(&setup, &args.calibrate_on)?;
    let merged = match merged.recalibrate(&rows) {
        Ok(calibrated) => {
            setup.note(&format!(
                "calibrated on {} flow records {from}",
                count(rows.len() as f64)
            ));
            calibrated
        }
        Err(error) if !args.calibrate_on.is_empty() => {
            return Err(Fault::new(
                code::FAILED,
                format!("cannot calibrate: {error}"),
            ));
        }
        Err(_) => {
            setup.note(
                "warning: not calibrated, for want of traffic: its false alarms are a guess until it is (--calibrate-on CAPTURE, or merge where a sensor learns)",
            );
            merged
        }
    };
    let place = match &args.output {
        Some(path) => {
            write_model(path, &merged.to_bytes())?;
            path.display().to_string()
        }
        None => {
            let store = setup.store();
            let name = store.keep(&merged)?;
            setup.note(&format!(
                "put it in use with: anomaly-detect model use {name}"
            ));
            store.path(&name).display().to_string()
        }
    };
    if place != "-" {
        let mut out = output(&stdout())?;
        writeln!(
            out,
            "{place}: {} of {}, learned from {}; threshold {}",
            several(merged.info().settings.trees as f64, "tree"),
            several(models.len() as f64, "model"),
            several(merged.info().rows as f64, "flow record"),
            merged.threshold()
        )?;
        out.flush()?;
    }
    Ok(0)
}

/// Traffic of this place: what was named, or what a sensor that learns here remembers.
fn rows(setup: &Setup, inputs: &[PathBuf]) -> Result<(Rows, &'static str), Fault> {
    if inputs.is_empty() {
        let how = Settings::default();
        let mut memory = Reservoir::new(how.rows, how.half_life_ns, how.host_share, 0);
        return Ok(
            match memory.restore(&setup.store().folder().join("memory.bin")) {
                Ok(()) => (memory.snapshot(), "that the sensor remembers here"),
                Err(_) => (Rows::with_columns(MODEL_COUNT), ""),
            },
        );
    }
    let (tables, captures): (Vec<_>, Vec<_>) = inputs.iter().cloned().partition(|p| is_table(p));
    let training = setup.training();
    let mut sample = Sample::new(training.rows, training.model.seed, training.trusting);
    if !captures.is_empty() {
        let bar = setup.progress("reading", &captures);
        let pass = pipeline::flows(
            &captures,
            &setup.stages(),
            &mut |tick| show(&bar, tick),
            &mut |batch| {
                for (record, row) in batch.iter() {
                    sample.offer(record, row);
                }
                Ok(())
            },
        );
        bar.finish_and_clear();
        setup.damage(&pass?);
    }
    let (mut rows, _) = sample.into_rows();
    for path in &tables {
        let mut table = pipeline::Table::open(path)?;
        table.require_features()?;
        while table.next_record()?.is_some() {
            let row = table.row()?;
            if is_judged(&row) {
                rows.push(&model_row(&row));
            }
        }
    }
    Ok((rows, "of the traffic given"))
}
