//! `pcap` and `features`: flows with their features as a table.

use std::{io::Write, path::PathBuf};

use super::{
    args::Flows,
    export::Export,
    fault::{Fault, code},
    setup::{Flags, Setup, host_logs, output, show},
};
use crate::{
    config::Format,
    pipeline::{self, is_table},
    score::count,
    sink::{conn_log::ConnLogSink, csv::push_text, flows::FlowSink, parquet, table::Style},
};

pub(super) fn run(args: &Flows, tables: bool) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default().timeouts(&args.timeouts))?;
    let (written, captures): (Vec<_>, Vec<_>) = args
        .inputs
        .iter()
        .cloned()
        .partition(|path| tables && is_table(path));
    let format = args.format.unwrap_or(Format::Csv);
    if !written.is_empty() && format != Format::Csv {
        return Err(Fault::new(
            code::USAGE,
            "tables can only be joined as CSV; leave --format away",
        ));
    }
    let path = args.output.clone().unwrap_or_else(|| {
        let file = if tables {
            "features.csv"
        } else {
            "pcap_features.csv"
        };
        match format {
            Format::Table => PathBuf::from("-"),
            Format::Csv => setup.folder().join(file),
            Format::Json => setup.folder().join(file).with_extension("jsonl"),
        }
    });
    let columnar = args.format.is_none() && parquet::is_named(&path);
    if columnar && !written.is_empty() {
        return Err(Fault::new(
            code::USAGE,
            "tables can only be joined as CSV; name an output that ends in .csv",
        ));
    }
    let failed = |error| Fault::file(&path, &error, code::FAILED);
    let mut rows = 0_u64;
    if !captures.is_empty() {
        pipeline::check(&captures)?;
    }
    if captures.is_empty() && !args.logs.is_empty() {
        return Err(Fault::new(
            code::USAGE,
            "--logs joins logs with captures; a table has no packets to compare clocks by",
        ));
    }
    // Clocks are set by a pass of its own: what can be read only once is kept.
    let spooled = (!args.logs.is_empty())
        .then(|| pipeline::spool(&captures))
        .transpose()
        .map_err(|error| Fault::new(code::FAILED, format!("cannot keep the input: {error}")))?;
    let captures = spooled
        .as_ref()
        .map_or(captures, |kept| kept.inputs.clone());
    let mut logs = host_logs(&setup, &args.logs, &captures)?;
    let mut out: Box<dyn Write> = match columnar {
        true => Box::new(std::io::sink()),
        false => output(&path)?,
    };
    let mut header = None;
    for table in &written {
        rows += join(table, &mut header, &mut out)?;
    }
    if captures.is_empty() {
        out.flush().map_err(failed)?;
    } else {
        if header.is_some() {
            return Err(Fault::new(
                code::USAGE,
                "captures and tables in one call: turn the captures into tables first",
            ));
        }
        let mut sink = match columnar {
            true => FlowSink::parquet(&path, false),
            false => FlowSink::new(out, format, false),
        }
        .map_err(failed)?;
        let mut conn_log = match &args.conn_log {
            Some(path) => Some(ConnLogSink::new(output(path)?)?),
            None => None,
        };
        let mut export = (args.ipfix.as_ref()).map(|to| Export::new(to, &setup.config.ipfix));
        let bar = setup.progress("reading", &captures);
        let pass = pipeline::flows(
            &captures,
            &setup.stages(),
            &mut |tick| show(&bar, tick),
            &mut |batch| {
                for (record, row) in batch.iter_mut() {
                    if let Some(log) = conn_log.as_mut().filter(|_| record.is_final()) {
                        log.flow(record)?;
                    }
                    if let Some(export) = export.as_mut().filter(|_| record.is_final()) {
                        export.flow(record)?;
                    }
                    if record.is_final() || args.checkpoints {
                        rows += 1;
                        if let Some(logs) = &mut logs {
                            let view = logs.fill(record, row);
                            if record.is_final() {
                                logs.tally(&view);
                            }
                        }
                        sink.flow(record, row)?;
                    }
                }
                Ok(())
            },
        );
        bar.finish_and_clear();
        let pass = pass?;
        sink.finish(Style::stdout()).map_err(failed)?;
        if let Some(log) = conn_log {
            log.finish()?;
        }
        if let Some(export) = export {
            setup.note(&export.finish()?);
        }
        setup.damage(&pass);
        for line in logs.iter().flat_map(pipeline::HostLogs::words) {
            setup.note(&line);
        }
        if path.as_os_str() != "-" {
            setup.note(&format!(
                "{}: {} flow records from {} packets over {}",
                path.display(),
                count(rows as f64),
                count(pass.ledger.seen as f64),
                crate::time::words(pass.seconds)
            ));
        }
        return Ok(0);
    }
    if path.as_os_str() != "-" {
        setup.note(&format!("{}: {} rows", path.display(), count(rows as f64)));
    }
    Ok(0)
}

/// Copies the rows of a table; the first one's columns are those of all.
fn join(
    path: &std::path::Path,
    header: &mut Option<Vec<String>>,
    out: &mut dyn Write,
) -> Result<u64, Fault> {
    let mut table = pipeline::Table::open(path).map_err(Fault::from)?;
    table.require_features()?;
    let kept = table.without_verdicts();
    let columns: Vec<String> = kept.iter().map(|at| table.columns[*at].clone()).collect();
    match header {
        None => {
            writeln!(out, "{}", columns.join(","))?;
            *header = Some(columns);
        }
        Some(first) if *first != columns => {
            return Err(Fault::new(
                code::FAILED,
                format!("{}: other columns than the first table's", path.display()),
            ));
        }
        Some(_) => {}
    }
    let (mut rows, mut line) = (0, String::new());
    while let Some(record) = table.next_record()? {
        line.clear();
        for (at, column) in kept.iter().enumerate() {
            if at > 0 {
                line.push(',');
            }
            push_text(&mut line, record.get(*column).unwrap_or(""));
        }
        writeln!(out, "{line}")?;
        rows += 1;
    }
    Ok(rows)
}
