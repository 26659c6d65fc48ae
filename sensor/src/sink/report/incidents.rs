//! Incidents: each with why, evidence and techniques.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use super::{data::Report, page::bar};
use crate::{
    score::{bytes, count},
    sink::{
        alert::{Alert, Seen, Source, Why, WorstFlow},
        escape::html,
    },
    time::{self, Stamp},
};

/// Writes all of them.
pub(super) fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(out, "<section id=\"incidents\">\n<h2>Incidents</h2>")?;
    if report.incidents.is_empty() {
        writeln!(out, "<p class=\"none\">None.</p>")?;
    }
    for (at, alert) in report.incidents.iter().enumerate() {
        one(out, at + 1, alert)?;
    }
    if report.incidents_more > 0 {
        writeln!(
            out,
            "<p class=\"more\">and {} more with less evidence.</p>",
            count(report.incidents_more as f64)
        )?;
    }
    writeln!(out, "</section>")?;
    techniques(out, report)
}

fn one(out: &mut dyn Write, number: usize, alert: &Alert) -> io::Result<()> {
    let severity = alert.severity.name();
    writeln!(
        out,
        "<article class=\"{severity}\" id=\"incident-{number}\">\n<header><span class=\"badge\">{severity}</span>\
         <h3>{}</h3><span class=\"who\">{} <b>{}</b></span><span class=\"when\">{}</span></header>\n<p class=\"sentence\">{}</p>",
        html(&alert.kind),
        html(&alert.role),
        html(&alert.host),
        html(&when(alert)),
        html(&alert.sentence),
    )?;
    for found in &alert.intel {
        write!(
            out,
            "<p class=\"intel\"><b>{}</b> is on threat list <b>{}</b>",
            html(&found.subject),
            html(&found.list)
        )?;
        if found.entry != found.subject {
            write!(out, " as {}", html(&found.entry))?;
        }
        if !found.label.is_empty() {
            write!(out, ": {}", html(&found.label))?;
        }
        if let Some(confidence) = found.confidence {
            write!(out, " (confidence {confidence} of 100)")?;
        }
        writeln!(out, "</p>")?;
    }
    if !alert.techniques.is_empty() {
        write!(out, "<ul class=\"chips\">")?;
        for technique in &alert.techniques {
            write!(
                out,
                "<li><b>{}</b> {}</li>",
                html(&technique.id),
                html(&technique.name)
            )?;
        }
        writeln!(out, "</ul>")?;
    }
    if let Some(flow) = &alert.flow {
        reasons(out, flow)?;
    }
    numbers(out, alert)?;
    if let Some(flow) = &alert.flow {
        writeln!(
            out,
            "<p class=\"detail\">Rarest flow <code>{}</code> · <code>{}</code> · {}:{} → {}:{} · score {:.3} · p = {:.1e} by the forest</p>",
            html(&flow.id),
            html(&flow.community_id),
            flow.src_ip,
            flow.src_port,
            flow.dst_ip,
            flow.dst_port,
            flow.score,
            flow.p_value,
        )?;
    }
    if let Some(bundle) = &alert.bundle {
        let bundle = html(bundle);
        writeln!(
            out,
            "<p class=\"detail\">Evidence: <code>evidence/{bundle}</code>. Does the score come out again? \
             <code>anomaly-detect explain --replay evidence/{bundle}</code></p>"
        )?;
    }
    writeln!(out, "</article>")
}

fn when(alert: &Alert) -> String {
    if alert.first_ns == 0 {
        return "at a time that the log does not tell".to_owned();
    }
    let (first, last) = (Stamp(alert.first_ns).short(), Stamp(alert.last_ns).short());
    if first[..10] == last[..10] {
        format!("{first} to {} UTC", &last[11..])
    } else {
        format!("{first} to {last} UTC")
    }
}

/// Features that made the rarest flow odd: weight, words, and where the value lies beside what is usual.
fn reasons(out: &mut dyn Write, flow: &WorstFlow) -> io::Result<()> {
    if flow.reasons.is_empty() {
        return Ok(());
    }
    writeln!(out, "<ul class=\"why\">")?;
    for why in &flow.reasons {
        writeln!(
            out,
            "<li>{}<span>{}</span>{}</li>",
            bar(f64::from(why.weight.unwrap_or(0.0)), "weight"),
            html(&why.words),
            range(why)
        )?;
    }
    writeln!(out, "</ul>")
}

/// What is usual as a band with its median, and the value as a dot; on a logarithmic scale where values are far apart.
fn range(why: &Why) -> String {
    let (Some(value), Some(low), Some(median), Some(high)) =
        (why.value, why.low, why.median, why.high)
    else {
        return String::new();
    };
    let all = [value, low, median, high].map(f64::from);
    let (least, most) = (
        all.iter().copied().fold(f64::INFINITY, f64::min),
        all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    );
    if most <= least {
        return String::new();
    }
    let far =
        least >= 0.0 && most > 50.0 * (f64::from(high) - f64::from(low)).max(f64::MIN_POSITIVE);
    let scale = |number: f64| if far { number.ln_1p() } else { number };
    let x = |number: f32| {
        let share = (scale(f64::from(number)) - scale(least)) / (scale(most) - scale(least));
        4.0 + share * 112.0
    };
    format!(
        "<svg class=\"range\" viewBox=\"0 0 120 14\" role=\"img\" aria-label=\"beside what is usual\">\
         <line x1=\"2\" x2=\"118\" y1=\"7\" y2=\"7\"/><rect x=\"{:.1}\" y=\"3\" width=\"{:.1}\" height=\"8\" rx=\"2\"/>\
         <line class=\"median\" x1=\"{median:.1}\" x2=\"{median:.1}\" y1=\"2\" y2=\"12\"/><circle cx=\"{:.1}\" cy=\"7\" r=\"3.5\"/></svg>",
        x(low),
        (x(high) - x(low)).max(2.0),
        x(value),
        median = x(median),
    )
}

/// The numbers behind an incident.
fn numbers(out: &mut dyn Write, alert: &Alert) -> io::Result<()> {
    let mut numbers: Vec<(&str, String)> = Vec::new();
    let counted = match alert.source {
        Source::Flows => "flows",
        Source::Logs => "log events",
        Source::Resources => "seconds",
    };
    numbers.push((counted, count(alert.count as f64)));
    if alert.source == Source::Flows {
        numbers.push((
            "beyond the model's threshold",
            count(alert.anomalous as f64),
        ));
        numbers.push(("without an answer", count(alert.failed as f64)));
        numbers.push(("packets", count(alert.packets as f64)));
        numbers.push(("payload sent", bytes(alert.sent_bytes as f64)));
        numbers.push(("payload fetched", bytes(alert.received_bytes as f64)));
    }
    if alert.first_ns > 0 {
        numbers.push(("lasted", time::words(alert.seconds())));
    }
    if let Some(p_value) = alert.p_value {
        numbers.push(("p-value", format!("{p_value:.1e}")));
    }
    numbers.push(("evidence, powers of ten", format!("{:.1}", alert.evidence)));
    numbers.push(("of its packets seen", percent(alert.coverage)));
    writeln!(out, "<dl class=\"numbers\">")?;
    for (name, value) in numbers {
        writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", html(&value))?;
    }
    writeln!(out, "</dl>")?;
    for (name, seen) in [("Hosts", &alert.peers), ("Ports", &alert.ports)] {
        if let Some(text) = seen_in_words(seen) {
            writeln!(out, "<p class=\"detail\">{name}: {}</p>", html(&text))?;
        }
    }
    Ok(())
}

fn seen_in_words(seen: &Seen) -> Option<String> {
    if seen.distinct == 0 {
        return None;
    }
    let named: Vec<String> = seen
        .top
        .iter()
        .take(6)
        .map(|(name, times)| match times {
            1 => name.clone(),
            times => format!("{name} ({}×)", count(*times as f64)),
        })
        .collect();
    let more = seen.distinct.saturating_sub(named.len() as u64);
    let more = match (more, seen.exact) {
        (0, true) => String::new(),
        (more, true) => format!(" and {} more", count(more as f64)),
        (more, false) => format!(" and at least {} more", count(more as f64)),
    };
    Some(format!("{}{more}", named.join(", ")))
}

/// A share with as many nines as it takes.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Techniques with the incidents that are evidence of them.
fn techniques(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let mut by: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (at, alert) in report.incidents.iter().enumerate() {
        for technique in &alert.techniques {
            by.entry((&technique.id, &technique.name))
                .or_default()
                .push(at + 1);
        }
    }
    if by.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<section id=\"attack\">\n<h2>MITRE ATT&amp;CK</h2>\n<div class=\"scroll\"><table><thead><tr><th>technique</th><th>name</th><th>incidents</th></tr></thead><tbody>"
    )?;
    for ((id, name), numbers) in by {
        let links: Vec<String> = numbers
            .iter()
            .map(|number| format!("<a href=\"#incident-{number}\">{number}</a>"))
            .collect();
        writeln!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            html(id),
            html(name),
            links.join(" ")
        )?;
    }
    writeln!(out, "</tbody></table></div>\n</section>")
}
