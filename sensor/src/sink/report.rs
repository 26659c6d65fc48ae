//! The HTML report: one file, no script, nothing loaded from elsewhere.

use std::io::{self, Write};

use sensor_ebpf::frame::Malformed;

use super::{
    escape::html,
    flows, plot,
    summary::{Findings, span},
    told::Told,
};
use crate::{score::count, time};

const STYLE: &str = include_str!("report.css");

/// Writes the report.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn Write, findings: &Findings<'_>) -> io::Result<()> {
    let title = match &findings.inputs[..] {
        [one] => one.clone(),
        many => format!("{} captures", many.len()),
    };
    begin(out, &title)?;
    writeln!(out, "<h1>{}</h1>", html(&findings.verdict()))?;
    writeln!(
        out,
        "<p class=\"lead\">{}. {}</p>",
        html(&findings.read()),
        html(&findings.learned)
    )?;
    for damage in &findings.damage {
        writeln!(out, "<p class=\"warning\">{}</p>", html(damage))?;
    }
    figures(out, findings)?;
    incidents(out, findings)?;
    top(out, findings)?;
    histogram(out, findings)?;
    ledger(out, findings)?;
    end(
        out,
        &format!(
            "Model {} · threshold {}",
            findings.model, findings.threshold
        ),
    )
}

/// The head of a page, up to the first heading.
pub(super) fn begin(out: &mut dyn Write, title: &str) -> io::Result<()> {
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>anomaly-detect: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>",
        html(title)
    )?;
    writeln!(out, "<p class=\"brand\">anomaly-detect</p>")
}

/// The end of a page; `about` stands before the name of the program.
pub(super) fn end(out: &mut dyn Write, about: &str) -> io::Result<()> {
    writeln!(
        out,
        "<footer>{} · written by anomaly-detect {}</footer>\n</main>\n</body>\n</html>",
        html(about),
        env!("CARGO_PKG_VERSION")
    )
}

fn figures(out: &mut dyn Write, findings: &Findings<'_>) -> io::Result<()> {
    let figures = [
        ("packets", count(findings.ledger.seen as f64)),
        ("flows", count(findings.flows as f64)),
        ("anomalous flows", count(findings.anomalous as f64)),
        ("incidents", count(findings.incidents.len() as f64)),
        ("of traffic", time::words(findings.seconds)),
        (
            "accounted for",
            format!("{:.4} %", findings.completeness() * 100.0).replace(".0000", ""),
        ),
    ];
    writeln!(out, "<section class=\"figures\">")?;
    for (name, value) in figures {
        writeln!(out, "<div><b>{}</b><span>{name}</span></div>", html(&value))?;
    }
    writeln!(out, "</section>")
}

fn incidents(out: &mut dyn Write, findings: &Findings<'_>) -> io::Result<()> {
    writeln!(out, "<h2>Incidents</h2>")?;
    if findings.incidents.is_empty() {
        return writeln!(out, "<p>None.</p>");
    }
    let listed = findings.shown.max(50);
    for incident in findings.incidents.iter().take(listed) {
        let severity = incident.severity().name();
        writeln!(
            out,
            "<article class=\"{severity}\">\n<header><span class=\"badge\">{severity}</span> <h3>{}</h3> \
             <span class=\"when\">{} {} · {}</span></header>\n<p>{}</p>",
            html(incident.kind()),
            incident.role(),
            html(&incident.host()),
            span(incident),
            html(&incident.sentence()),
        )?;
        let techniques = incident.techniques();
        if !techniques.is_empty() {
            let named: Vec<_> = techniques
                .iter()
                .map(|found| format!("{} {}", found.id, html(found.name)))
                .collect();
            writeln!(
                out,
                "<p class=\"detail\">MITRE ATT&amp;CK: {}</p>",
                named.join(" · ")
            )?;
        }
        if !incident.reasons().is_empty() {
            writeln!(out, "<ul>")?;
            for reason in incident.reasons() {
                let share = (f64::from(reason.weight) * 100.0).clamp(1.0, 100.0);
                writeln!(
                    out,
                    "<li><span class=\"bar\" style=\"width:{share:.0}px\"></span>{}</li>",
                    html(&reason.to_string())
                )?;
            }
            writeln!(out, "</ul>")?;
        }
        detail(out, incident)?;
        writeln!(out, "</article>")?;
    }
    let more = findings.incidents.len().saturating_sub(listed);
    if more > 0 {
        writeln!(out, "<p>and {more} more with less evidence.</p>")?;
    }
    Ok(())
}

/// The numbers behind an incident.
fn detail(out: &mut dyn Write, told: &Told<'_>) -> io::Result<()> {
    let incident = match told {
        Told::Flows(incident, _) => incident,
        Told::Log(finding) => {
            return writeln!(
                out,
                "<p class=\"detail\">{} event{} of host logs</p>",
                count(finding.events as f64),
                if finding.events == 1 { "" } else { "s" },
            );
        }
    };
    writeln!(
        out,
        "<p class=\"detail\">{} flow{}, {} · p = {:.1e} · rarest flow {:016x}, {}, p = {:.1e} by the forest</p>",
        count(incident.flows as f64),
        if incident.flows == 1 { "" } else { "s" },
        match incident.anomalous {
            0 => "found by behaviour; none reaches the threshold of the model".to_owned(),
            number => format!("{} beyond the threshold of the model", count(number as f64)),
        },
        incident.p_value,
        incident.worst.flow,
        html(&incident.worst.community_id),
        incident.worst.p_value,
    )
}

fn top(out: &mut dyn Write, findings: &Findings<'_>) -> io::Result<()> {
    if findings.top.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h2>Most anomalous flows</h2>\n<div class=\"scroll\"><table>\n<thead><tr>"
    )?;
    for (name, _) in flows::columns(true) {
        writeln!(out, "<th>{name}</th>")?;
    }
    writeln!(out, "<th>why</th></tr></thead>\n<tbody>")?;
    for scored in findings.top {
        write!(out, "<tr>")?;
        for cell in flows::scored_cells(scored) {
            write!(out, "<td>{}</td>", html(&cell))?;
        }
        let why = scored
            .reasons
            .first()
            .map_or_else(String::new, ToString::to_string);
        writeln!(out, "<td class=\"why\">{}</td></tr>", html(&why))?;
    }
    writeln!(out, "</tbody></table></div>")
}

/// Flows by score, on a logarithmic scale, with the threshold; the steps at both ends that are empty are left out.
fn histogram(out: &mut dyn Write, findings: &Findings<'_>) -> io::Result<()> {
    let count = findings.histogram.len();
    let place = (f64::from(findings.threshold) * count as f64) as usize;
    let used = |at: &usize| findings.histogram[*at] > 0 || *at == place;
    let first = (0..count).find(used).unwrap_or(0);
    let last = (0..count).rev().find(used).unwrap_or(0);
    let steps: Vec<[u64; 2]> = findings.histogram[first..=last.max(first)]
        .iter()
        .map(|flows| [*flows, 0])
        .collect();
    writeln!(
        out,
        "<h2>Scores</h2>\n<p>Flows by score, counts on a logarithmic scale. At and beyond the line a flow is anomalous.</p>"
    )?;
    let threshold = f64::from(findings.threshold);
    plot::histogram(
        out,
        &plot::Histogram {
            range: (
                first as f64 / count as f64,
                (first + steps.len()) as f64 / count as f64,
            ),
            steps: &steps,
            threshold: threshold.is_finite().then_some(threshold),
            labelled: false,
            noun: "flows",
        },
    )
}

/// Where every packet went.
fn ledger(out: &mut dyn Write, findings: &Findings<'_>) -> io::Result<()> {
    let ledger = &findings.ledger;
    let mut rows = vec![
        ("counted in a flow".to_owned(), ledger.counted),
        (
            "in no flow: too many flows at once".to_owned(),
            ledger.overflow(),
        ),
        ("left out by sampling".to_owned(), ledger.sampled_out),
        ("no IP (ARP and others)".to_owned(), ledger.not_ip),
    ];
    for reason in Malformed::ALL {
        let packets = ledger.malformed[reason as usize];
        if packets > 0 {
            rows.push((
                format!("malformed: {}", reason.name().replace('_', " ")),
                packets,
            ));
        }
    }
    writeln!(
        out,
        "<h2>Where every packet went</h2>\n<table class=\"ledger\"><tbody>"
    )?;
    for (name, packets) in rows {
        writeln!(out, "<tr><td>{}</td><td>{packets}</td></tr>", html(&name))?;
    }
    writeln!(
        out,
        "<tr class=\"sum\"><td>seen</td><td>{}</td></tr>\n<tr><td>unaccounted for</td><td>{}</td></tr>\n</tbody></table>",
        ledger.seen,
        ledger.unaccounted()
    )
}
