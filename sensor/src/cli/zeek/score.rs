//! `zeek score`: verdicts about the connections of logs.

use std::io::Write;

use super::{
    super::setup::{Flags, output, style},
    Fault, Setup,
    args::ZeekScore,
    code, damage, load, read,
};
use crate::{
    config::Format,
    score::{count, several},
    sink::{
        self, flows,
        table::{Align, Table},
    },
    zeek::{Featured, Judge, Stream, Verdict, conn_logs, explain},
};

/// Anomalous connections explained at most; an explanation takes about a hundred times as long as a score.
const EXPLAINED: u64 = 20_000;

pub(super) fn run(args: &ZeekScore) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default())?;
    let model = load(&setup, args.model.path.as_ref())?;
    let logs = conn_logs(&args.logs.paths)?;
    let failed = |error| Fault::file(&args.output.path, &error, code::FAILED);
    let mut out = output(&args.output.path)?;
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
        let mut headings = flows::columns(true);
        headings.push(("why", Align::Left));
        let mut table = Table::new(&headings);
        for (featured, verdict) in &top {
            let reasons = explain(&model, featured);
            let mut cells = flows::stored_cells(&sink::zeek::entry(&featured.conn, verdict, &[]));
            cells.push(
                reasons
                    .into_iter()
                    .next()
                    .map_or_else(String::new, |reason| reason.text),
            );
            table.row(cells);
        }
        table
            .write(&mut out, "", style(&args.output.path))
            .map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    setup.note(&format!(
        "{} of {}, {} of them anomalous",
        several(records as f64, "connection"),
        several(logs.len() as f64, "log"),
        count(anomalous as f64)
    ));
    Ok(0)
}

/// Sorts by score and keeps the first; equals in the order in which they came.
pub(super) fn most_anomalous(rows: &mut Vec<(Featured, Verdict)>, count: usize) {
    rows.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
    rows.truncate(count);
}
