//! `zeek train`: a model of ordinary connections.

use model::{Model, Rows};

use super::{
    super::setup::{Flags, TOO_FEW, write_model},
    Fault, Setup,
    args::ZeekTrain,
    code, damage, model_path, read,
};
use crate::{
    score::several,
    zeek::{Stream, conn_logs, push_model_row, schema},
};

/// Rows learned from at most; of more, every second, every fourth and so on.
const ROWS_MAX: usize = 1 << 21;

pub(super) fn run(args: &ZeekTrain) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default().training(&args.training))?;
    let logs = conn_logs(&args.logs.paths)?;
    let mut rows = Rows::with_columns(schema().len());
    let mut stream = Stream::new();
    let (mut step, mut number) = (1, 0);
    for path in &logs {
        let (losses, _) = read(path, &mut stream, &mut |batch| {
            for featured in batch.iter() {
                if number % step == 0 {
                    push_model_row(&featured.row, &mut rows.values);
                }
                number += 1;
            }
            if rows.len() > ROWS_MAX {
                thin(&mut rows);
                step *= 2;
            }
            Ok(())
        })?;
        damage(&setup, path, &losses);
    }
    if rows.is_empty() {
        return Err(Fault::new(
            code::NO_INPUT,
            "no connection in these logs: nothing to learn from",
        ));
    }
    let model = Model::train(&rows, &schema(), &setup.training().model)
        .map_err(|error| Fault::new(code::FAILED, format!("cannot train: {error}")))?;
    if model.threshold().is_infinite() {
        setup.note(TOO_FEW);
    }
    let path = model_path(&setup, args.output.as_ref());
    write_model(&path, &model.to_bytes())?;
    setup.note(&format!(
        "{}: {} from {} of {}; threshold {} (at most {} % of such traffic is above)",
        path.display(),
        several(model.info().settings.trees as f64, "tree"),
        several(rows.len() as f64, "connection"),
        several(logs.len() as f64, "log"),
        model.threshold(),
        model.info().settings.contamination * 100.0,
    ));
    Ok(0)
}

/// Leaves every second row away.
fn thin(rows: &mut Rows) {
    let width = rows.columns;
    let kept: Vec<f32> = rows
        .values
        .chunks_exact(width)
        .step_by(2)
        .flatten()
        .copied()
        .collect();
    rows.values = kept;
}
