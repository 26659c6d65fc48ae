//! One output for flows, whatever its form.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{
    csv::FlowCsv,
    json,
    parquet::ParquetFile,
    table::{Align, Style, Table},
};
use crate::{
    config::Format,
    features::Row,
    flow::{FlowRecord, protocol_name},
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
                table.write(&mut out, "", style, &|_, _, text| text.to_owned())?;
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

/// Protocol and service port: `tcp/443`.
pub fn service(record: &FlowRecord) -> String {
    let protocol = record.protocol();
    let name = protocol_name(protocol).map_or_else(|| protocol.to_string(), str::to_owned);
    match protocol {
        _ if record.key.is_later_fragment() => format!("{name} fragment"),
        6 | 17 | 33 | 132 | 136 => format!("{name}/{}", record.destination_port()),
        1 | 58 => format!("{name} type {}", record.source_port()),
        _ => name,
    }
}
