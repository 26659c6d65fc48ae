//! `top`: who and what moves most.

use serde_json::json;

use super::{By, Ranked, TopArgs};
use crate::{
    cli::{
        fault::Fault,
        sheet::{self, Sheet},
    },
    score::{bytes, count},
    sink::{
        store::{TopBy, TopFilter, TopOf},
        table::{Align, Table},
    },
};

pub(in crate::cli) fn run(args: &TopArgs) -> Result<u8, Fault> {
    let (setup, reader) = sheet::open(&args.common, args.printed.format)?;
    let wanted = TopFilter {
        of: match args.what {
            Ranked::Hosts => TopOf::Hosts,
            Ranked::Pairs => TopOf::Pairs,
            Ranked::Services => TopOf::Services,
            Ranked::Protocols => TopOf::Protocols,
            Ranked::Kinds => TopOf::Kinds,
        },
        by: match args.by {
            By::Bytes => TopBy::Bytes,
            By::Packets => TopBy::Packets,
            By::Flows => TopBy::Flows,
            By::Failed => TopBy::Failed,
            By::Anomalous => TopBy::Anomalous,
        },
        since_ns: args.since.unwrap_or(0),
        limit: args.limit,
    };
    let rows = reader.top(&wanted)?;
    let what = match args.what {
        Ranked::Hosts => "host",
        Ranked::Pairs => "pair",
        Ranked::Services => "service",
        Ranked::Protocols => "protocol",
        Ranked::Kinds => "kind",
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
    let mut values = Vec::new();
    for row in &rows {
        let name = if row.name.is_empty() {
            "others"
        } else {
            &row.name
        };
        table.row([
            name.to_owned(),
            format!("{:.1} %", row.share * 100.0),
            bytes(row.sent_bytes as f64),
            bytes(row.received_bytes as f64),
            count(row.packets as f64),
            count(row.flows as f64),
            count(row.failed as f64),
            count(row.anomalous as f64),
        ]);
        values.push(json!({
            "name": name,
            "share": row.share,
            "sent_bytes": row.sent_bytes,
            "received_bytes": row.received_bytes,
            "packets": row.packets,
            "flows": row.flows,
            "failed_flows": row.failed,
            "anomalous_flows": row.anomalous,
        }));
    }
    let sheet = Sheet {
        table,
        values,
        columns: &[
            "name",
            "share",
            "sent_bytes",
            "received_bytes",
            "packets",
            "flows",
            "failed_flows",
            "anomalous_flows",
        ],
        empty: "no traffic in that time",
    };
    sheet.write(
        &args.printed.output,
        setup.config.output.format,
        &|_, _, _, text| text.to_owned(),
    )?;
    Ok(0)
}
