//! `alerts show`: one incident for a person who has to decide.

use std::io::{self, Write};

use serde_json::Value;

use super::{
    super::{
        fault::Fault,
        setup::{Setup, output, style},
        sheet::{self, when},
    },
    args::Show,
    list::value,
    whole,
};
use crate::{
    config::Format,
    score::{bytes, count},
    sink::{
        alert::Seen,
        escape,
        store::{IncidentEntry, IncidentFilter, LifeEvent, State},
        table::{Style, paragraph},
    },
    time,
};

pub(super) fn run(args: &Show) -> Result<u8, Fault> {
    let (setup, reader) = sheet::open(&args.common, args.printed.format)?;
    let wanted = IncidentFilter {
        ids: whole(&reader, &args.ids)?,
        limit: u32::MAX,
        ..IncidentFilter::default()
    };
    let mut shown = Vec::new();
    for entry in reader.incidents(&wanted)? {
        let life = reader.events(&entry.alert.id)?;
        shown.push((entry, life));
    }
    let mut out = output(&args.printed.output.path)?;
    let style = style(&args.printed.output.path);
    if setup.config.output.format == Format::Json {
        let values = shown.iter().map(|(entry, life)| value(entry, life));
        writeln!(out, "{:#}", Value::from_iter(values))?;
    } else {
        for (at, (entry, life)) in shown.iter().enumerate() {
            if at > 0 {
                writeln!(out)?;
            }
            write_one(&mut out, &setup, style, entry, life)?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn line(out: &mut dyn Write, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "  {name:12}{}", escape::terminal(text))
}

fn seen(seen: &Seen) -> String {
    let more = if seen.exact { "" } else { "more than " };
    let named: Vec<String> = seen
        .top
        .iter()
        .take(5)
        .map(|(name, times)| format!("{name} ({times})"))
        .collect();
    format!(
        "{more}{}: {}",
        count(seen.distinct as f64),
        named.join(", ")
    )
}

fn write_one(
    out: &mut dyn Write,
    setup: &Setup,
    style: Style,
    entry: &IncidentEntry,
    life: &[LifeEvent],
) -> io::Result<()> {
    let alert = &entry.alert;
    writeln!(
        out,
        "{}  {}  {}",
        style.severity(alert.severity, &format!("{:8}", alert.severity.name())),
        style.bold(&escape::terminal(&alert.kind)),
        style.faint(&alert.id)
    )?;
    paragraph(out, &alert.sentence, "  ", style.width)?;
    writeln!(out)?;
    let state = match (entry.state, entry.suppression) {
        (State::Suppressed, Some(0)) => "suppressed by a maintenance window".to_owned(),
        (State::Suppressed, Some(number)) => {
            format!("suppressed by suppression {number} (`alerts suppress --list`)")
        }
        (state, _) if entry.over => state.name().to_owned(),
        (state, _) => format!("{}, goes on", state.name()),
    };
    line(out, "state", &state)?;
    if !entry.state_by.is_empty() {
        let note = if entry.note.is_empty() {
            String::new()
        } else {
            format!(": {}", entry.note)
        };
        line(
            out,
            "",
            &format!("{} by {}{note}", when(entry.state_ns), entry.state_by),
        )?;
    }
    line(out, "host", &format!("{} ({})", alert.host, alert.role))?;
    let seconds = alert.last_ns.saturating_sub(alert.first_ns) as f64 / 1e9;
    line(
        out,
        "time",
        &format!(
            "{} to {} UTC ({})",
            when(alert.first_ns),
            when(alert.last_ns),
            time::words(seconds)
        ),
    )?;
    let things = if alert.flow.is_some() {
        "flows"
    } else {
        "events"
    };
    let mut volume = format!("{} {things}", count(alert.count as f64));
    if alert.packets > 0 {
        volume.push_str(&format!(
            ", {} of them anomalous, {} without an answer; {} packets, {} sent, {} fetched",
            count(alert.anomalous as f64),
            count(alert.failed as f64),
            count(alert.packets as f64),
            bytes(alert.sent_bytes as f64),
            bytes(alert.received_bytes as f64)
        ));
    }
    line(out, "volume", &volume)?;
    if alert.peers.distinct > 0 {
        line(out, "peers", &seen(&alert.peers))?;
    }
    if alert.ports.distinct > 0 {
        line(out, "ports", &seen(&alert.ports))?;
    }
    for (at, technique) in alert.techniques.iter().enumerate() {
        let name = if at == 0 { "ATT&CK" } else { "" };
        line(out, name, &format!("{} {}", technique.id, technique.name))?;
    }
    let p_value = alert
        .p_value
        .map_or_else(String::new, |p| format!(", p-value {p:.1e}"));
    line(
        out,
        "evidence",
        &format!("{:.1} powers of ten{p_value}", alert.evidence),
    )?;
    if let Some(flow) = &alert.flow {
        writeln!(out, "\n  Most anomalous flow")?;
        line(out, "flow", &format!("{} {}", flow.id, flow.community_id))?;
        line(
            out,
            "",
            &format!(
                "{} port {} to {} port {}, score {:.3}, p-value {:.1e}",
                flow.src_ip, flow.src_port, flow.dst_ip, flow.dst_port, flow.score, flow.p_value
            ),
        )?;
        for why in flow.reasons.iter().take(5) {
            let share = why
                .weight
                .map_or_else(String::new, |weight| format!("{:>3.0} %", weight * 100.0));
            line(out, "", &format!("{share}  {}", why.words))?;
        }
    }
    if alert.coverage < 1.0 {
        line(
            out,
            "coverage",
            &format!(
                "{:.2} % of the packets since it began were seen",
                alert.coverage * 100.0
            ),
        )?;
    }
    writeln!(out, "\n  What happened")?;
    for event in life {
        let by = if event.by.is_empty() {
            String::new()
        } else {
            format!(" by {}", event.by)
        };
        let note = if event.note.is_empty() {
            String::new()
        } else {
            format!(": {}", event.note)
        };
        line(
            out,
            "",
            &format!("{}  {}{by}{note}", when(event.at_ns), event.what),
        )?;
    }
    writeln!(out, "\n  What to do")?;
    if let Some(bundle) = &alert.bundle {
        let folder = setup.folder().join("evidence").join(bundle);
        line(out, "", &format!("packets: {}", folder.display()))?;
        line(
            out,
            "",
            &format!("anomaly-detect explain --replay {}", folder.display()),
        )?;
    }
    if alert.flow.is_some() {
        line(
            out,
            "",
            &format!("anomaly-detect flows --incident {}", alert.id),
        )?;
        line(out, "", &format!("anomaly-detect hosts {}", alert.host))?;
    }
    if matches!(entry.state, State::Open) {
        line(
            out,
            "",
            &format!("anomaly-detect alerts ack {} -m \"...\"", alert.id),
        )?;
    }
    Ok(())
}
