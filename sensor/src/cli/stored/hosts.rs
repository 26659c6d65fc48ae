//! `hosts`: what each host does, and what is usual for it.

use std::io::Write;

use serde_json::{Value, json};

use super::Hosts;
use crate::{
    cli::{
        fault::{Fault, code},
        setup::{Setup, output, style},
        sheet::{self, Column, Sheet, csv_header, csv_line, object, when},
    },
    config::Format,
    score::{HostMatch, bytes, count, several},
    sink::{
        store::{HostEntry, HostFilter, HostProfile, IncidentFilter, Reader},
        table::{Align, Style, Table},
    },
    time::Stamp,
};

const COLUMNS: [Column<HostEntry>; 15] = [
    ("host", |host| json!(host.host)),
    ("first_time", |host| json!(Stamp(host.first_ns).to_string())),
    ("last_time", |host| json!(Stamp(host.last_ns).to_string())),
    ("flows", |host| json!(host.flows)),
    ("failed_flows", |host| json!(host.failed)),
    ("anomalous_flows", |host| json!(host.anomalous)),
    ("sent_bytes", |host| json!(host.sent_bytes)),
    ("received_bytes", |host| json!(host.received_bytes)),
    ("sent_packets", |host| json!(host.sent_packets)),
    ("received_packets", |host| json!(host.received_packets)),
    ("peers", |host| json!(host.peers)),
    ("services", |host| json!(host.services)),
    ("worst_p", |host| json!(host.worst_p)),
    ("worst_time", |host| json!(Stamp(host.worst_ns).to_string())),
    ("open_incidents", |host| json!(host.incidents)),
];

fn profile_value(profile: &HostProfile) -> Value {
    let mut value = object(&profile.entry, COLUMNS.iter());
    if let Value::Object(object) = &mut value {
        let usual = profile.usual.iter().map(|usual| {
            json!({"what": usual.name, "now": usual.now, "median": usual.median, "high": usual.high, "most": usual.most,
                "hours": usual.hours})
        });
        object.insert("usual".to_owned(), usual.collect());
        let hours = profile.hours.iter().map(|hour| {
            json!({"time": Stamp(hour.start_ns).to_string(), "flows": hour.flows, "failed_flows": hour.failed,
                "anomalous_flows": hour.anomalous, "sent_bytes": hour.sent_bytes, "received_bytes": hour.received_bytes,
                "peers": hour.peers})
        });
        object.insert("hours".to_owned(), hours.collect());
        for (name, services) in [("offers", &profile.offers), ("uses", &profile.uses)] {
            let services = services
                .iter()
                .map(|(service, flows)| json!({"service": service, "flows": flows}));
            object.insert(name.to_owned(), services.collect());
        }
    }
    value
}

pub(in crate::cli) fn run(args: &Hosts) -> Result<u8, Fault> {
    let (setup, reader) = sheet::open(&args.common, args.printed.format)?;
    match &args.host {
        Some(HostMatch::Name(name)) => Err(Fault::new(
            code::USAGE,
            format!(
                "`{name}`: hosts are known by their address; write one, or a prefix such as 10.0.0.0/8"
            ),
        )),
        Some(one @ HostMatch::Range { low, high }) if low == high => {
            profile(args, &setup, &reader, &one.to_string())
        }
        _ => list(args, &setup, &reader),
    }
}

fn list(args: &Hosts, setup: &Setup, reader: &Reader) -> Result<u8, Fault> {
    let wanted = HostFilter {
        host: args.host.clone(),
        since_ns: args.since.unwrap_or(0),
        order: args.sort,
        limit: args.limit.max(1),
        offset: 0,
    };
    let found = reader.hosts(&wanted)?;
    let mut table = Table::new(&[
        ("host", Align::Left),
        ("first", Align::Left),
        ("last", Align::Left),
        ("flows", Align::Right),
        ("failed", Align::Right),
        ("anomalous", Align::Right),
        ("sent", Align::Right),
        ("received", Align::Right),
        ("peers", Align::Right),
        ("offers", Align::Right),
        ("worst p", Align::Right),
        ("open", Align::Right),
    ]);
    for host in &found {
        table.row([
            host.host.clone(),
            when(host.first_ns),
            when(host.last_ns),
            count(host.flows as f64),
            count(host.failed as f64),
            count(host.anomalous as f64),
            bytes(host.sent_bytes as f64),
            bytes(host.received_bytes as f64),
            count(host.peers as f64),
            count(host.services as f64),
            format!("{:.1e}", host.worst_p),
            host.incidents.to_string(),
        ]);
    }
    let is_full = found.len() == args.limit as usize;
    let sheet = Sheet {
        table,
        rows: &found,
        columns: &COLUMNS,
        beside: &[],
        empty: "no such host is known",
    };
    sheet.write(
        &args.printed.output.path,
        setup.config.output.format,
        &|style, row, column, text| match (column, found.get(row)) {
            (0, Some(host)) if host.incidents > 0 => style.bold(text),
            _ => text.to_owned(),
        },
    )?;
    if is_full && setup.config.output.format == Format::Table {
        setup.note(&format!("the first {}; --limit gives more", args.limit));
    }
    Ok(0)
}

fn profile(args: &Hosts, setup: &Setup, reader: &Reader, address: &str) -> Result<u8, Fault> {
    let Some(profile) = reader.host(address)? else {
        return Err(Fault::new(
            code::FAILED,
            format!(
                "{address}: no such host is known; `anomaly-detect hosts` lists those that are"
            ),
        ));
    };
    let mut out = output(&args.printed.output.path)?;
    match setup.config.output.format {
        Format::Json => writeln!(out, "{:#}", profile_value(&profile))?,
        Format::Csv => {
            writeln!(out, "{}", csv_header(&COLUMNS))?;
            writeln!(out, "{}", csv_line(&profile.entry, &COLUMNS))?;
        }
        Format::Table => {
            write_profile(&mut out, reader, &profile, style(&args.printed.output.path))?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn write_profile(
    out: &mut dyn Write,
    reader: &Reader,
    profile: &HostProfile,
    style: Style,
) -> Result<(), Fault> {
    let host = &profile.entry;
    writeln!(out, "{}", style.bold(&host.host))?;
    writeln!(
        out,
        "  seen        {} to {} UTC",
        when(host.first_ns),
        when(host.last_ns)
    )?;
    writeln!(
        out,
        "  traffic     {}, {} without an answer, {} anomalous; {} sent, {} received",
        several(host.flows as f64, "flow"),
        count(host.failed as f64),
        count(host.anomalous as f64),
        bytes(host.sent_bytes as f64),
        bytes(host.received_bytes as f64)
    )?;
    writeln!(out, "  peers       about {}", count(host.peers as f64))?;
    for (name, services) in [("offers", &profile.offers), ("uses", &profile.uses)] {
        let named: Vec<String> = services
            .iter()
            .take(8)
            .map(|(service, flows)| format!("{service} ({})", count(*flows as f64)))
            .collect();
        let named = if named.is_empty() {
            "nothing".to_owned()
        } else {
            named.join(", ")
        };
        writeln!(out, "  {name:12}{}", crate::sink::escape::terminal(&named))?;
    }
    if host.worst_p < 1.0 {
        writeln!(
            out,
            "  worst       p-value {:.1e} at {} UTC",
            host.worst_p,
            when(host.worst_ns)
        )?;
    }
    let mut table = Table::new(&[
        ("in an hour", Align::Left),
        ("newest", Align::Right),
        ("usual", Align::Right),
        ("at most in 95 %", Align::Right),
        ("most", Align::Right),
        ("", Align::Left),
    ]);
    let hours = profile.usual.first().map_or(0, |usual| usual.hours);
    for usual in &profile.usual {
        let text = |value: u64| match usual.name {
            "sent_bytes" | "received_bytes" => bytes(value as f64),
            _ => count(value as f64),
        };
        let is_more = usual.hours >= 3 && usual.now > usual.most;
        table.row([
            usual.name.replace('_', " "),
            text(usual.now),
            text(usual.median),
            text(usual.high),
            text(usual.most),
            if is_more { "more than ever" } else { "" }.to_owned(),
        ]);
    }
    writeln!(out)?;
    if hours == 0 {
        writeln!(out, "  One hour so far: nothing to tell what is usual by.")?;
    } else {
        table.write(out, "  ", style)?;
    }
    let wanted = IncidentFilter {
        host: HostMatch::parse(&host.host).ok(),
        limit: 10,
        ..IncidentFilter::default()
    };
    let incidents = reader.incidents(&wanted)?;
    if !incidents.is_empty() {
        writeln!(out, "\n  Incidents")?;
    }
    for entry in incidents {
        let alert = &entry.alert;
        writeln!(
            out,
            "  {}  {}  {}  {}  {}",
            alert.id.get(..8).unwrap_or(&alert.id),
            when(alert.last_ns),
            style.severity(alert.severity, &format!("{:8}", alert.severity.name())),
            crate::sink::escape::terminal(&alert.kind),
            entry.state.name()
        )?;
    }
    Ok(())
}
