//! `pcap` and `features`: flows with their features as a table.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::{
    args::{Features, Flows, Pcap},
    draft::Draft,
    export::Export,
    fault::{Fault, code},
    setup::{Flags, Setup, host_logs, is_stdout, output, show, style},
};
use crate::{
    config::Format,
    pipeline::{self, is_table},
    score::several,
    sink::{conn_log::ConnLogSink, csv::push_text, flows::FlowSink},
};

pub(super) fn pcap(args: &Pcap) -> Result<u8, Fault> {
    let captures = args.captures.paths.clone();
    write(&args.flows, &[], captures, "pcap_features")
}

pub(super) fn features(args: &Features) -> Result<u8, Fault> {
    let (tables, captures): (Vec<_>, Vec<_>) =
        (args.inputs.paths.iter().cloned()).partition(|path| is_table(path));
    write(&args.flows, &tables, captures, "features")
}

/// Writes the rows of tables, or the flows of captures, by default to the file of this name in the output folder.
fn write(
    args: &Flows,
    written: &[PathBuf],
    captures: Vec<PathBuf>,
    file: &str,
) -> Result<u8, Fault> {
    let flags = Flags::default().timeouts(&args.timeouts);
    let setup = Setup::new(&args.common, &flags)?.ending_when_told()?;
    let format = args.table.form();
    if !written.is_empty() && format != Format::Csv {
        return Err(Fault::new(
            code::USAGE,
            "tables can only be joined as CSV; leave --format away",
        ));
    }
    let path = args.table.path(setup.folder(), file);
    let columnar = args.table.is_columnar(&path);
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
        .then(|| pipeline::spool(&captures, setup.stop.as_ref()))
        .transpose()
        .map_err(|error| Fault::new(code::FAILED, format!("cannot keep the input: {error}")))?;
    let captures = spooled
        .as_ref()
        .map_or(captures, |kept| kept.inputs.clone());
    let mut logs = host_logs(&setup, &args.logs, &captures)?;
    let (draft, mut out): (Draft, Box<dyn Write>) = match columnar {
        true => (Draft::new(&path)?, Box::new(io::sink())),
        false => Draft::written(&path)?,
    };
    let mut header = None;
    for table in written {
        rows += join(table, &mut header, &mut out, &failed)?;
        if setup.is_told_to_stop() {
            return Err(Fault::interrupted("nothing was written"));
        }
    }
    if captures.is_empty() {
        out.flush().map_err(failed)?;
        drop(out);
        draft.keep()?;
    } else {
        if header.is_some() {
            return Err(Fault::new(
                code::USAGE,
                "captures and tables in one call: turn the captures into tables first",
            ));
        }
        let mut sink = match columnar {
            true => FlowSink::parquet(draft.path(), false),
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
        let pass = pass.map_err(|error| Fault::of_pass(&path, error))?;
        sink.finish(style(&path)).map_err(failed)?;
        draft.keep()?;
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
        if !is_stdout(&path) {
            setup.note(&format!(
                "{}: {} from {} over {}",
                path.display(),
                several(rows as f64, "flow record"),
                several(pass.ledger.seen as f64, "packet"),
                crate::time::words(pass.seconds)
            ));
        }
        return Ok(setup.interrupted(&pass));
    }
    if !is_stdout(&path) {
        setup.note(&format!(
            "{}: {}",
            path.display(),
            several(rows as f64, "row")
        ));
    }
    Ok(0)
}

/// Copies the rows of a table; the first one's columns are those of all.
fn join(
    path: &std::path::Path,
    header: &mut Option<Vec<String>>,
    out: &mut dyn Write,
    failed: &dyn Fn(io::Error) -> Fault,
) -> Result<u64, Fault> {
    let mut table = pipeline::Table::open(path).map_err(Fault::from)?;
    table.require_features()?;
    let kept = table.without_verdicts();
    let columns: Vec<String> = kept.iter().map(|at| table.columns[*at].clone()).collect();
    match header {
        None => {
            writeln!(out, "{}", columns.join(",")).map_err(failed)?;
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
        writeln!(out, "{line}").map_err(failed)?;
        rows += 1;
    }
    Ok(rows)
}
