//! What a run found, for the terminal, as CSV and as JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{
    csv::push_text,
    escape, flows, json,
    table::{Style, Table, fold, paragraph},
    told::Told,
};
use crate::{
    score::{Scored, count, several},
    time::{self, Stamp},
};

/// Everything a summary or a report tells.
#[derive(Debug)]
pub struct Findings<'a> {
    /// Names of the inputs.
    pub inputs: Vec<String>,
    /// What could not be read, a line each.
    pub damage: Vec<String>,
    /// Where the packets went.
    pub ledger: sensor_ebpf::maps::Ledger,
    /// Packet time covered, seconds.
    pub seconds: f64,
    /// Flow records that ended.
    pub flows: u64,
    /// Those that are anomalous.
    pub anomalous: u64,
    /// Ended records by score, in equal steps from 0 to 1.
    pub histogram: &'a [u64],
    /// Threshold of the model.
    pub threshold: f32,
    /// First digits of the model's digest.
    pub model: String,
    /// What the model was learned from, in words.
    pub learned: String,
    /// Incidents, most evidence first.
    pub incidents: Vec<Told<'a>>,
    /// How flows and logs fit together, a line each; nothing where there are no logs.
    pub logs: Vec<String>,
    /// The most anomalous flows, rarest first.
    pub top: &'a [Scored],
    /// How many incidents to tell.
    pub shown: usize,
}

impl Findings<'_> {
    /// Share of the packets that are in a flow or known to be none.
    pub fn completeness(&self) -> f64 {
        let lost = self.ledger.overflow() + self.ledger.sampled_out;
        if self.ledger.seen == 0 {
            1.0
        } else {
            1.0 - lost as f64 / self.ledger.seen as f64
        }
    }

    /// The result in one sentence.
    pub fn verdict(&self) -> String {
        let telling = self
            .incidents
            .iter()
            .filter(|incident| incident.is_telling())
            .count();
        let unusual = self.incidents.len() - telling;
        match (telling, unusual) {
            (0, 0) => "Nothing stands out.".to_owned(),
            (0, unusual) => format!(
                "No attack pattern; {} with unusual flows.",
                several(unusual as f64, "host")
            ),
            (telling, 0) => format!("{}.", several(telling as f64, "incident")),
            (telling, unusual) => format!(
                "{}, and {} with unusual flows.",
                several(telling as f64, "incident"),
                several(unusual as f64, "host")
            ),
        }
    }

    /// What was read, in one sentence.
    pub fn read(&self) -> String {
        format!(
            "{} in {}, {} over {}; {} of them anomalous",
            several(self.ledger.seen as f64, "packet"),
            match &self.inputs[..] {
                [one] => one.clone(),
                many => format!("{} captures", many.len()),
            },
            several(self.flows as f64, "flow"),
            time::words(self.seconds),
            count(self.anomalous as f64),
        )
    }
}

/// Writes the summary for people.
///
/// # Errors
/// What `out` says.
pub fn table(out: &mut dyn Write, findings: &Findings<'_>, style: Style) -> io::Result<()> {
    paragraph(out, &findings.read(), "", style.width)?;
    paragraph(out, &findings.learned, "", style.width)?;
    for line in &findings.logs {
        paragraph(out, line, "", style.width)?;
    }
    for damage in &findings.damage {
        paragraph(out, damage, "", style.width)?;
    }
    writeln!(out)?;
    writeln!(out, "{}", style.bold(&findings.verdict()))?;
    for (at, incident) in findings.incidents.iter().take(findings.shown).enumerate() {
        writeln!(out)?;
        let severity = incident.severity();
        let about = format!(
            "{} {}, {}{}",
            incident.role(),
            // What a log calls a host is whatever somebody called it.
            escape::terminal(&incident.host()),
            span(incident),
            technique_ids(incident, "  ", " "),
        );
        write!(
            out,
            "{:>3}. {}  {}",
            at + 1,
            style.severity(severity, &format!("{severity:8}")),
            style.bold(incident.kind()),
        )?;
        if style.breaks
            && 17 + incident.kind().chars().count() + about.chars().count() > style.width
        {
            writeln!(out)?;
            for line in fold(&about, style.width - 5) {
                writeln!(out, "     {}", style.faint(&line))?;
            }
        } else {
            writeln!(out, "  {}", style.faint(&about))?;
        }
        paragraph(out, &incident.sentence(), "     ", style.width)?;
        for reason in incident.reasons() {
            paragraph(out, &format!("- {reason}"), "       ", style.width)?;
        }
    }
    let more = findings.incidents.len().saturating_sub(findings.shown);
    if more > 0 {
        writeln!(out, "\n     and {more} more in the report")?;
    }
    if !findings.top.is_empty() {
        writeln!(out, "\n{}", style.bold("Most anomalous flows"))?;
        let mut table = Table::new(&flows::columns(true));
        for scored in findings.top {
            table.row(flows::scored_cells(scored));
        }
        table.write_painted(out, "  ", style, &|row, column, text| {
            if column == 0 {
                style.severity(findings.top[row].severity, text)
            } else {
                text.to_owned()
            }
        })?;
        writeln!(out)?;
        for scored in findings.top.iter().take(EXPLAINED) {
            let why: Vec<_> = scored
                .reasons
                .iter()
                .take(3)
                .map(ToString::to_string)
                .collect();
            let flow = format!(
                "{} to {} {}: {}",
                scored.record.source(),
                scored.record.destination(),
                flows::service(&scored.record),
                why.join(" | ")
            );
            paragraph(out, &flow, "  ", style.width)?;
        }
    }
    Ok(())
}

/// Flows of the table that are explained below it.
const EXPLAINED: usize = 3;

/// Ids of the techniques that an incident is evidence of, behind `before` if there are any.
pub(super) fn technique_ids(incident: &Told<'_>, before: &str, between: &str) -> String {
    let techniques = incident.techniques();
    let ids: Vec<&str> = techniques.iter().map(|found| found.id).collect();
    if ids.is_empty() {
        String::new()
    } else {
        format!("{before}{}", ids.join(between))
    }
}

/// From when to when, with the date where it is another one.
pub(super) fn span(incident: &Told<'_>) -> String {
    let Some([first, last]) = incident.span() else {
        return "at a time that the log does not tell".to_owned();
    };
    let (first, last) = (Stamp(first).short(), Stamp(last).short());
    if first[..10] == last[..10] {
        format!("{first} to {}", &last[11..])
    } else {
        format!("{first} to {last}")
    }
}

/// Writes the incidents as CSV.
///
/// # Errors
/// What `out` says.
pub fn csv(out: &mut dyn Write, findings: &Findings<'_>) -> io::Result<()> {
    writeln!(
        out,
        "rank,severity,kind,techniques,p_value,role,host,flows,anomalous_flows,first_time,last_time,evidence,sentence"
    )?;
    let shown = findings.incidents.iter().take(findings.shown);
    for (at, incident) in shown.enumerate() {
        let anomalous = match incident {
            Told::Flows(incident, _) => incident.anomalous.to_string(),
            Told::Log(_) => String::new(),
        };
        let time = |at: usize| {
            incident
                .span()
                .map_or_else(String::new, |span| Stamp(span[at]).to_string())
        };
        let mut line = format!(
            "{},{},{},{},",
            at + 1,
            incident.severity(),
            incident.kind(),
            technique_ids(incident, "", " "),
        );
        if let Told::Flows(incident, _) = incident {
            line.push_str(&format!("{:e}", incident.p_value));
        }
        line.push_str(&format!(",{},", incident.role()));
        push_text(&mut line, &incident.host());
        line.push_str(&format!(
            ",{},{anomalous},{},{},{:.2},",
            incident.count(),
            time(0),
            time(1),
            incident.evidence(),
        ));
        push_text(&mut line, &incident.sentence());
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The summary for programs.
pub fn value(findings: &Findings<'_>) -> Value {
    json!({
        "inputs": findings.inputs,
        "damage": findings.damage,
        "seconds": findings.seconds,
        "packets": json::ledger(&findings.ledger),
        "completeness": findings.completeness(),
        "flows": findings.flows,
        "anomalous_flows": findings.anomalous,
        "threshold": json::number(findings.threshold),
        "model": findings.model,
        "incidents": findings.incidents.iter().take(findings.shown).map(json::told).collect::<Vec<_>>(),
        "incidents_total": findings.incidents.len(),
        "logs": findings.logs,
        "top_flows": findings.top.iter().map(json::scored).collect::<Vec<_>>(),
    })
}
