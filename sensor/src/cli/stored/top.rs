//! `top`: who and what moves most.

use serde_json::json;

use super::TopArgs;
use crate::{
    cli::{
        fault::Fault,
        sheet::{self, Column, Sheet},
    },
    score::{bytes, count},
    sink::{
        store::{TopFilter, TopOf, TopRow},
        table::{Align, Table},
    },
};

const COLUMNS: [Column<TopRow>; 8] = [
    ("name", |row| json!(name(row))),
    ("share", |row| json!(row.share)),
    ("sent_bytes", |row| json!(row.sent_bytes)),
    ("received_bytes", |row| json!(row.received_bytes)),
    ("packets", |row| json!(row.packets)),
    ("flows", |row| json!(row.flows)),
    ("failed_flows", |row| json!(row.failed)),
    ("anomalous_flows", |row| json!(row.anomalous)),
];

/// What is too much to be told apart has no name in the store.
fn name(row: &TopRow) -> &str {
    match row.name.as_str() {
        "" => "others",
        name => name,
    }
}

pub(in crate::cli) fn run(args: &TopArgs) -> Result<u8, Fault> {
    let (setup, reader) = sheet::open(&args.common, args.printed.format)?;
    let wanted = TopFilter {
        of: args.what,
        by: args.by,
        since_ns: args.since.unwrap_or(0),
        limit: args.limit,
    };
    let rows = reader.top(&wanted)?;
    let what = match args.what {
        TopOf::Hosts => "host",
        TopOf::Pairs => "pair",
        TopOf::Services => "service",
        TopOf::Protocols => "protocol",
        TopOf::Kinds => "kind",
    };
    let mut table = Table::new(&[
        (what, Align::Left),
        ("share", Align::Right),
        ("sent", Align::Right),
        ("received", Align::Right),
        ("packets", Align::Right),
        ("flows", Align::Right),
        ("failed", Align::Right),
        ("anomalous", Align::Right),
    ]);
    for row in &rows {
        table.row([
            name(row).to_owned(),
            format!("{:.1} %", row.share * 100.0),
            bytes(row.sent_bytes as f64),
            bytes(row.received_bytes as f64),
            count(row.packets as f64),
            count(row.flows as f64),
            count(row.failed as f64),
            count(row.anomalous as f64),
        ]);
    }
    let sheet = Sheet {
        table,
        rows: &rows,
        columns: &COLUMNS,
        beside: &[],
        empty: "no traffic in that time",
    };
    sheet.write(
        &args.printed.output.path,
        setup.config.output.format,
        &|_, _, _, text| text.to_owned(),
    )?;
    Ok(0)
}
