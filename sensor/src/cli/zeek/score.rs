//! `zeek score`: verdicts about the connections of logs.

use std::io::Write;

use super::{
    super::setup::{Flags, output},
    Fault, Setup,
    args::ZeekScore,
    code, damage, load, read,
};
use crate::{
    config::Format,
    score::count,
    sink::{self, table::Style},
    zeek::{Conn, Featured, Judge, Reason, Stream, Verdict, conn_logs, explain},
};

/// Anomalous connections explained at most; an explanation takes about a hundred times as long as a score.
const EXPLAINED: u64 = 20_000;

pub(super) fn run(args: &ZeekScore) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default())?;
    let model = load(&setup, args.model.as_ref())?;
    let logs = conn_logs(&args.inputs)?;
    let failed = |error| Fault::file(&args.output, &error, code::FAILED);
    let mut out = output(&args.output)?;
    if args.format == Format::Csv {
        writeln!(out, "{}", sink::zeek::COLUMNS.join(",")).map_err(failed)?;
    }
    let (mut judge, mut stream) = (Judge::new(setup.config.score.hold_rate), Stream::new());
    let (mut records, mut anomalous) = (0_u64, 0_u64);
    let mut top: Vec<(Featured, Verdict)> = Vec::new();
    for path in &logs {
        let name = path.display().to_string();
        let (losses, read) = read(path, &mut stream, &mut |batch| {
            let verdicts = judge.judge(&model, batch);
            for (featured, verdict) in batch.drain(..).zip(verdicts) {
                anomalous += u64::from(verdict.anomalous);
                if args.format == Format::Table {
                    top.push((featured, verdict));
                    continue;
                }
                let reasons = match verdict.anomalous && anomalous <= EXPLAINED {
                    true => explain(&model, &featured),
                    false => Vec::new(),
                };
                let conn = &featured.conn;
                if args.format == Format::Csv {
                    sink::zeek::csv_line(&mut out, &name, conn, &verdict, &reasons)
                } else {
                    let object = sink::zeek::json(&name, conn, &verdict, &reasons);
                    writeln!(out, "{object}")
                }
                .map_err(failed)?;
            }
            most_anomalous(&mut top, args.top);
            Ok(())
        })?;
        records += read;
        damage(&setup, path, &losses);
    }
    if args.format == Format::Table {
        let reasons: Vec<Vec<Reason>> = top
            .iter()
            .map(|(featured, _)| explain(&model, featured))
            .collect();
        let rows: Vec<(&Conn, &Verdict, &[Reason])> = top
            .iter()
            .zip(&reasons)
            .map(|((featured, verdict), reasons)| (&featured.conn, verdict, reasons.as_slice()))
            .collect();
        sink::zeek::table(&mut out, &rows, Style::stdout()).map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    setup.note(&format!(
        "{} connections of {} logs, {} of them anomalous",
        count(records as f64),
        logs.len(),
        count(anomalous as f64)
    ));
    Ok(0)
}

/// Sorts by score and keeps the first; equals in the order in which they came.
pub(super) fn most_anomalous(rows: &mut Vec<(Featured, Verdict)>, count: usize) {
    rows.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
    rows.truncate(count);
}
