//! One output for flows, whatever its form.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{
    csv::FlowCsv,
    json,
    parquet::ParquetFile,
    store::FlowEntry,
    table::{Align, Style, Table},
};
use crate::{
    config::Format,
    features::Row,
    flow::{FlowRecord, is_icmp, protocol_text, service_text},
    score::{Scored, bytes, count},
    time::{self, Stamp},
};

/// Flows, with or without verdicts, as CSV, JSON lines, a table or Parquet.
pub enum FlowSink<W: Write> {
    /// Comma-separated.
    Csv(FlowCsv<W>),
    /// One object a line.
    Json(W),
    /// Columns, in a file of its own.
    Parquet(Box<ParquetFile>),
    /// Aligned, once all are there.
    Table {
        /// Where it is written at the end.
        out: W,
        /// The rows so far.
        table: Table,
        /// How many there were.
        rows: u64,
        /// Whether there are columns for the verdict.
        verdicts: bool,
    },
}

/// Rows of a table at most: nobody reads more, and they are held in memory.
const TABLE_ROWS: u64 = 1000;

impl<W: Write> FlowSink<W> {
    /// Writes the header, if the form has one.
    ///
    /// # Errors
    /// What the output says.
    pub fn new(out: W, format: Format, verdicts: bool) -> io::Result<Self> {
        Ok(match format {
            Format::Csv => Self::Csv(FlowCsv::new(out, verdicts)?),
            Format::Json => Self::Json(out),
            Format::Table => Self::Table {
                out,
                table: Table::new(&columns(verdicts)),
                rows: 0,
                verdicts,
            },
        })
    }

    /// To a Parquet file.
    ///
    /// # Errors
    /// What the system says.
    pub fn parquet(path: &Path, verdicts: bool) -> io::Result<Self> {
        Ok(Self::Parquet(Box::new(ParquetFile::new(path, verdicts)?)))
    }

    /// Writes a flow.
    ///
    /// # Errors
    /// What the output says.
    pub fn flow(&mut self, record: &FlowRecord, row: &Row) -> io::Result<()> {
        match self {
            Self::Csv(csv) => csv.flow(record, row),
            Self::Json(out) => writeln!(out, "{}", json::flow(record, row)),
            Self::Parquet(file) => file.flow(record, row, None),
            Self::Table { table, rows, .. } => {
                *rows += 1;
                if *rows <= TABLE_ROWS {
                    table.row(cells(record));
                }
                Ok(())
            }
        }
    }

    /// Writes a flow with its verdict.
    ///
    /// # Errors
    /// What the output says.
    pub fn scored(&mut self, scored: &Scored) -> io::Result<()> {
        match self {
            Self::Csv(csv) => csv.scored(scored),
            Self::Json(out) => writeln!(out, "{}", json::scored(scored)),
            Self::Parquet(file) => file.flow(&scored.record, &scored.row, Some(scored.into())),
            Self::Table { table, rows, .. } => {
                *rows += 1;
                if *rows <= TABLE_ROWS {
                    table.row(scored_cells(scored));
                }
                Ok(())
            }
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(self, style: Style) -> io::Result<()> {
        match self {
            Self::Csv(csv) => csv.finish().map(drop),
            Self::Json(mut out) => out.flush(),
            Self::Parquet(file) => file.finish().map(drop),
            Self::Table {
                mut out,
                table,
                rows,
                ..
            } => {
                table.write(&mut out, "", style)?;
                if rows > TABLE_ROWS {
                    writeln!(
                        out,
                        "and {} more (--format csv gives all)",
                        rows - TABLE_ROWS
                    )?;
                }
                out.flush()
            }
        }
    }
}

/// Headings of a table of flows.
pub fn columns(verdicts: bool) -> Vec<(&'static str, Align)> {
    let mut columns = vec![
        ("start", Align::Left),
        ("duration", Align::Right),
        ("source", Align::Left),
        ("destination", Align::Left),
        ("service", Align::Left),
        ("packets", Align::Right),
        ("sent", Align::Right),
        ("fetched", Align::Right),
        ("state", Align::Left),
    ];
    if verdicts {
        columns.insert(0, ("p-value", Align::Right));
        columns.insert(0, ("severity", Align::Left));
    }
    columns
}

/// A flow as cells of [`columns`].
pub fn cells(record: &FlowRecord) -> Vec<String> {
    let (orig, resp) = (record.orig(), record.resp());
    vec![
        Stamp(record.start()).short(),
        time::words(time::between(record.start(), record.last())),
        record.source().to_string(),
        record.destination().to_string(),
        service(record),
        count(record.counters.packets() as f64),
        bytes(orig.payload_bytes as f64),
        bytes(resp.payload_bytes as f64),
        record.conn_state().name().to_owned(),
    ]
}

/// A flow with its verdict as cells of [`columns`].
pub fn scored_cells(scored: &Scored) -> Vec<String> {
    let mut row = cells(&scored.record);
    row.insert(0, format!("{:.1e}", scored.p_value));
    row.insert(0, scored.severity.name().to_owned());
    row
}

/// A flow of the store as cells of [`columns`]; what its source did not know is empty.
pub fn stored_cells(flow: &FlowEntry) -> Vec<String> {
    let seconds = flow.duration_ns.map(|length| length as f64 / 1e9);
    let packets = [flow.orig_packets, flow.resp_packets].into_iter().flatten();
    let amount =
        |number: Option<u64>| number.map_or_else(String::new, |number| bytes(number as f64));
    vec![
        flow.severity.name().to_owned(),
        format!("{:.1e}", flow.p_value),
        Stamp(flow.start_ns).short(),
        seconds.map_or_else(String::new, time::words),
        flow.src_ip.clone(),
        flow.dst_ip.clone(),
        flow.asked(),
        packets
            .reduce(|sent, received| sent + received)
            .map_or_else(String::new, |packets| count(packets as f64)),
        amount(flow.orig_bytes),
        amount(flow.resp_bytes),
        flow.conn_state.clone().unwrap_or_default(),
    ]
}

/// What a flow asks for: `tcp/443`, `icmp type 8`.
pub fn service(record: &FlowRecord) -> String {
    let protocol = record.protocol();
    if record.key.is_later_fragment() {
        return format!("{} fragment", protocol_text(protocol));
    }
    let asked = match is_icmp(protocol) {
        true => record.source_port(),
        false => record.destination_port(),
    };
    service_text(protocol, asked)
}
