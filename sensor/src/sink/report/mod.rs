//! The report: one file, no script, nothing loaded from elsewhere; and the same as JSON.

mod data;
mod gather;
mod incidents;
mod page;
mod stored;
mod tally;
#[cfg(test)]
mod tests;
mod timeline;
mod traffic;

use std::io::{self, Write};

pub use self::{
    data::{Entry, ModelFacts, Report, Slot, Sum, Timeline, TopFlow, ledger_rows},
    gather::facts,
    page::{begin, end},
    tally::Tally,
};
use super::escape::html;
use crate::{
    score::{bytes, count},
    time::{self, Stamp},
};

/// Writes the page.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let title = match &report.inputs[..] {
        [one] => one.clone(),
        [] => "report".to_owned(),
        many => format!("{} captures", many.len()),
    };
    begin(out, &title)?;
    writeln!(out, "<h1>{}</h1>", html(&report.headline))?;
    for sentence in &report.summary {
        writeln!(out, "<p class=\"lead\">{}</p>", html(sentence))?;
    }
    for warning in &report.warnings {
        writeln!(out, "<p class=\"warning\">{}</p>", html(warning))?;
    }
    figures(out, report)?;
    contents(out, report)?;
    timeline::write(out, report)?;
    incidents::write(out, report)?;
    traffic::write(out, report)?;
    traffic::scores(out, report)?;
    traffic::quality(out, report)?;
    let window = report.window_ns.map_or_else(String::new, |[first, last]| {
        format!("{} to {} UTC · ", Stamp(first).short(), Stamp(last).short())
    });
    end(out, &format!("{window}model {}", report.model.digest))
}

/// Writes the JSON beside the page.
///
/// # Errors
/// What `out` says.
pub fn write_json(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

fn figures(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let figures = [
        (
            "incidents",
            count((report.incidents.len() as u64 + report.incidents_more) as f64),
        ),
        ("flows", count(report.flows as f64)),
        ("anomalous flows", count(report.anomalous as f64)),
        ("packets", count(report.packets as f64)),
        ("of traffic", bytes(report.bytes as f64)),
        ("covered", time::words(report.seconds)),
        (
            "of the packets seen",
            incidents::percent(report.completeness),
        ),
    ];
    writeln!(out, "<div class=\"figures\">")?;
    for (name, value) in figures {
        writeln!(out, "<div><b>{}</b><span>{name}</span></div>", html(&value))?;
    }
    writeln!(out, "</div>")
}

fn contents(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let has_techniques = report
        .incidents
        .iter()
        .any(|alert| !alert.techniques.is_empty());
    let parts = [
        ("timeline", "In time", !report.timeline.slots.is_empty()),
        ("incidents", "Incidents", true),
        ("attack", "ATT&CK", has_techniques),
        ("traffic", "Traffic", !report.services.is_empty()),
        ("scores", "Scores", !report.scores.is_empty()),
        ("quality", "What was seen, and with what", true),
    ];
    write!(out, "<nav aria-label=\"Parts\">")?;
    for (id, name, _) in parts.iter().filter(|(_, _, is_there)| *is_there) {
        write!(out, "<a href=\"#{id}\">{}</a>", html(name))?;
    }
    writeln!(out, "</nav>")
}
