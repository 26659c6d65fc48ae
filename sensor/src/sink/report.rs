//! The HTML report: one file, no script, nothing loaded from elsewhere.

use std::io::{self, Write};

use sensor_ebpf::frame::Malformed;

use super::{
    escape::html,
    flows,
    summary::{Findings, span},
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
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>anomaly-detect: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>",
        html(&title)
    )?;
    writeln!(out, "<p class=\"brand\">anomaly-detect</p>")?;
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
    writeln!(
        out,
        "<footer>Model {} · threshold {} · written by anomaly-detect {}</footer>\n</main>\n</body>\n</html>",
        html(&findings.model),
        findings.threshold,
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
            html(incident.kind.name()),
            incident.subject.role.name(),
            html(&incident.subject.address.to_string()),
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
        if !incident.worst.reasons.is_empty() {
            writeln!(out, "<ul>")?;
            for reason in &incident.worst.reasons {
                let share = (f64::from(reason.weight) * 100.0).clamp(1.0, 100.0);
                writeln!(
                    out,
                    "<li><span class=\"bar\" style=\"width:{share:.0}px\"></span>{}</li>",
                    html(&reason.to_string())
                )?;
            }
            writeln!(out, "</ul>")?;
        }
        writeln!(
            out,
            "<p class=\"detail\">{} flow{}, {} · p = {:.1e} · rarest flow {:016x}, {}, p = {:.1e} by the forest</p>\n</article>",
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
        )?;
    }
    let more = findings.incidents.len().saturating_sub(listed);
    if more > 0 {
        writeln!(out, "<p>and {more} more with less evidence.</p>")?;
    }
    Ok(())
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

/// Flows by score, on a logarithmic scale, with the threshold.
fn histogram(out: &mut dyn Write, findings: &Findings<'_>) -> io::Result<()> {
    const WIDTH: f64 = 720.0;
    const HEIGHT: f64 = 160.0;
    let steps = findings.histogram.len() as f64;
    let most = findings.histogram.iter().copied().max().unwrap_or(0);
    let height = |flows: u64| match flows {
        0 => 0.0,
        flows => ((flows as f64).ln_1p() / (most as f64).ln_1p()).mul_add(HEIGHT - 4.0, 4.0),
    };
    writeln!(
        out,
        "<h2>Scores</h2>\n<p>Flows by score, counts on a logarithmic scale. At and beyond the line a flow is anomalous.</p>\n\
         <svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"histogram of scores\">",
        HEIGHT + 24.0
    )?;
    for (at, flows) in findings.histogram.iter().enumerate() {
        let score = at as f64 / steps;
        let class = if score + 0.5 / steps >= f64::from(findings.threshold) {
            "odd"
        } else {
            "usual"
        };
        let bar = height(*flows);
        writeln!(
            out,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{bar:.1}\"><title>{score:.2} to {:.2}: {flows} flows</title></rect>",
            score * WIDTH,
            HEIGHT - bar,
            WIDTH / steps - 1.0,
            score + 1.0 / steps,
        )?;
    }
    let line = f64::from(findings.threshold) * WIDTH;
    writeln!(
        out,
        "<line x1=\"{line:.1}\" x2=\"{line:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>"
    )?;
    for tick in 0..=5 {
        let score = f64::from(tick) / 5.0;
        let anchor = match tick {
            0 => "start",
            5 => "end",
            _ => "middle",
        };
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{score:.1}</text>",
            score * WIDTH,
            HEIGHT + 18.0
        )?;
    }
    writeln!(out, "</svg>")
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
