//! `logs`: events of Windows logs with their features as a table, and what they add up to.

mod follow;

use std::{io::Write, path::Path};

use super::{
    args::Logs,
    fault::{Fault, code},
    setup::{Flags, Setup, is_stdout, output},
};
use crate::{
    config::Format,
    logs::{self, COLUMNS, Context, Event, Field, Finding, Findings, Losses, ReadError, Row},
    score::{count, several},
    sink::{csv, escape, json, table::Style},
    time::Stamp,
};

/// Columns in front of the features: what the log itself says.
const EVENT_COLUMNS: [&str; 9] = [
    "time", "computer", "event_id", "account", "address", "process", "parent", "service", "share",
];

/// Events held at once to be put in the order of time; about two gigabytes.
const EVENTS_MAX: usize = 8_000_000;

pub(super) fn run(args: &Logs) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default())?;
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| setup.folder().join("logs.csv"));
    if args.follow {
        return follow::run(args, &setup, &path);
    }
    let files = logs::inputs(&args.inputs)?;
    let bar = setup.progress("reading", &args.inputs);
    let (mut events, mut losses, mut total) = (Vec::new(), Losses::default(), 0_u64);
    let mut ids = std::collections::BTreeMap::<u32, u64>::new();
    for file in &files {
        bar.set_message(format!("{} events", count(total as f64)));
        bar.tick();
        let mut crowded = 0;
        let report = logs::read(file, &mut |event| {
            total += 1;
            *ids.entry(event.id).or_default() += 1;
            if events.len() < EVENTS_MAX {
                events.push(event);
            } else {
                crowded += 1;
            }
        })?;
        if crowded > 0 {
            setup.note(&format!(
                "warning: {}: {crowded} events beyond the {EVENTS_MAX} that are held at once were left out",
                file.display()
            ));
        }
        if report.losses.total() > 0 {
            setup.note(&format!(
                "warning: {}: not readable: {}",
                file.display(),
                report.losses
            ));
        }
        losses.merge(&report.losses);
    }
    bar.finish_and_clear();
    // Files come in any order, and so do events of several hosts. What has no time stays in front, in its file's order.
    events.sort_by_key(|event| event.time);
    let findings = table(&events, &path)?;
    summary(
        args,
        &setup,
        &Counted {
            files: files.len(),
            events: &events,
            total,
            losses,
            ids: &ids,
        },
        &findings,
        &path,
    )?;
    Ok(0)
}

/// What was read, for the summary.
struct Counted<'a> {
    files: usize,
    events: &'a [Event],
    total: u64,
    losses: Losses,
    ids: &'a std::collections::BTreeMap<u32, u64>,
}

fn header() -> String {
    let columns = EVENT_COLUMNS
        .into_iter()
        .chain(COLUMNS.iter().map(|column| column.name));
    columns.collect::<Vec<_>>().join(",")
}

/// Writes a line for each event and collects what they add up to.
fn table(events: &[Event], path: &Path) -> Result<Findings, Fault> {
    let mut out = output(path)?;
    writeln!(out, "{}", header())?;
    let (mut context, mut findings, mut line) =
        (Context::default(), Findings::default(), String::new());
    for event in events {
        let row = context.absorb(event);
        findings.absorb(event, &row);
        line.clear();
        push(&mut line, event, &row);
        writeln!(out, "{line}")?;
    }
    out.flush()
        .map_err(|error| Fault::file(path, &error, code::FAILED))?;
    Ok(findings)
}

fn push(line: &mut String, event: &Event, row: &Row) {
    let text = |field| event.get(field).unwrap_or_default();
    let time = event
        .time
        .map_or_else(String::new, |time| Stamp(time).to_string());
    let share = match (event.get(Field::Share), event.get(Field::ShareTarget)) {
        (Some(share), Some(target)) => format!("{share}\\{target}"),
        (share, target) => share.or(target).unwrap_or_default().to_owned(),
    };
    let account = event.account().unwrap_or_default();
    let origin = event.origin().unwrap_or_default();
    let id = event.id.to_string();
    let texts = [
        &*time,
        &event.computer,
        &id,
        &account,
        &origin,
        text(Field::Process),
        text(Field::Parent),
        text(Field::ServiceName),
        &share,
    ];
    for (at, text) in texts.into_iter().enumerate() {
        if at > 0 {
            line.push(',');
        }
        csv::push_text(line, text);
    }
    for value in row {
        line.push(',');
        csv::push_number(line, *value);
    }
}

fn summary(
    args: &Logs,
    setup: &Setup,
    counted: &Counted<'_>,
    findings: &Findings,
    path: &Path,
) -> Result<(), Fault> {
    // The table has standard output to itself.
    let mut out: Box<dyn Write> = if is_stdout(path) {
        Box::new(std::io::stderr())
    } else {
        Box::new(std::io::stdout())
    };
    let ranked = findings.ranked();
    if args.summary.format == Some(Format::Json) {
        let value = serde_json::json!({
            "files": counted.files,
            "events": counted.total,
            "events_by_id": counted.ids,
            "lost": counted.losses.total(),
            "incidents": ranked.iter().map(|finding| value(finding)).collect::<Vec<_>>(),
        });
        writeln!(out, "{value}")?;
        return Ok(());
    }
    if setup.quiet {
        return Ok(());
    }
    let style = Style::stdout();
    let span = match (
        counted.events.iter().find_map(|event| event.time),
        counted.events.last().and_then(|event| event.time),
    ) {
        (Some(first), Some(last)) if Stamp(first).short()[..10] != Stamp(last).short()[..10] => {
            format!("  {} to {}", Stamp(first).short(), Stamp(last).short())
        }
        (Some(first), Some(last)) => {
            format!(", {} to {}", Stamp(first).short(), Stamp(last).short())
        }
        _ => String::new(),
    };
    let hosts: std::collections::BTreeSet<&str> = counted
        .events
        .iter()
        .map(|event| &*event.computer)
        .collect();
    writeln!(
        out,
        "{} of {} in {}{span}",
        several(counted.total as f64, "event"),
        several(hosts.len() as f64, "host"),
        several(counted.files as f64, "file")
    )?;
    let of = |id: u32| counted.ids.get(&id).copied().unwrap_or(0);
    writeln!(
        out,
        "Logons {}, refused {}, processes started {}, connections {}; lost {}\n",
        of(4624),
        of(4625),
        of(4688),
        of(5156),
        counted.losses.total()
    )?;
    if ranked.is_empty() {
        writeln!(out, "Nothing remarkable.")?;
    }
    for (at, finding) in ranked.iter().take(args.top).enumerate() {
        let kind = style.bold(finding.kind.name());
        let techniques = style.faint(&ids(finding).join(" "));
        writeln!(out, "{:3}. {kind}  {techniques}{}", at + 1, when(finding))?;
        writeln!(out, "     {}", escape::terminal(&finding.sentence()))?;
    }
    if ranked.len() > args.top {
        writeln!(
            out,
            "     and {} more: --top {}",
            ranked.len() - args.top,
            ranked.len()
        )?;
    }
    if !is_stdout(path) {
        writeln!(
            out,
            "\nIn {}: a line for each event, with its features",
            path.display()
        )?;
    }
    Ok(())
}

fn when(finding: &Finding) -> String {
    match (finding.first, finding.last) {
        (Some(first), Some(last)) if first == last => format!("  {}", Stamp(first).short()),
        (Some(first), Some(last)) if Stamp(first).short()[..10] != Stamp(last).short()[..10] => {
            format!("  {} to {}", Stamp(first).short(), Stamp(last).short())
        }
        (Some(first), Some(last)) => {
            format!("  {} to {}", Stamp(first).short(), Stamp(last).clock())
        }
        _ => String::new(),
    }
}

fn ids(finding: &Finding) -> Vec<&'static str> {
    let techniques = finding.kind.techniques();
    techniques.iter().map(|found| found.id).collect()
}

fn value(finding: &Finding) -> serde_json::Value {
    let stamp = |time: Option<u64>| time.map(|time| Stamp(time).to_string());
    serde_json::json!({
        "kind": finding.kind.name(),
        "techniques": json::techniques(finding.kind.techniques()),
        "actor": finding.actor,
        "first": stamp(finding.first),
        "last": stamp(finding.last),
        "events": finding.events,
        "hosts": finding.hosts,
        "accounts": finding.accounts,
        "detail": finding.detail,
        "sentence": finding.sentence(),
    })
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io { path, source } => Self::file(&path, &source, code::NO_INPUT),
            other => Self::new(code::NO_INPUT, other.to_string()),
        }
    }
}
