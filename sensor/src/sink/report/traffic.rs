//! What the traffic was, how it scored, and how far all that can be relied on.

use std::io::{self, Write};

use super::{
    data::{Report, Sum},
    incidents::percent,
    page::bar,
};
use crate::{
    score::{bytes, count},
    sink::{escape::html, flows, plot},
};

/// Services, hosts, conversations.
pub(super) fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    if report.services.is_empty() && report.talkers.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<section id=\"traffic\">\n<h2>Traffic</h2>\n<div class=\"columns\">"
    )?;
    for (title, what, rows, ways) in [
        ("Services", "service", &report.services, ["sent", "fetched"]),
        ("Hosts", "host", &report.talkers, ["sent", "got"]),
        (
            "Conversations",
            "from → to",
            &report.pairs,
            ["sent", "fetched"],
        ),
    ] {
        if !rows.is_empty() {
            sums(out, (title, what), rows, ways)?;
        }
    }
    writeln!(out, "</div>\n</section>")
}

fn sums(
    out: &mut dyn Write,
    (title, what): (&str, &str),
    rows: &[Sum],
    ways: [&str; 2],
) -> io::Result<()> {
    let most = rows.iter().map(Sum::bytes).max().unwrap_or(0).max(1);
    writeln!(
        out,
        "<div class=\"part\"><h3>{title}</h3><div class=\"scroll\"><table class=\"sums\"><thead><tr><th>{what}</th><th></th>\
         <th class=\"right\">{}</th><th class=\"right\">{}</th><th class=\"right\">flows</th><th class=\"right\">anomalous</th></tr></thead><tbody>",
        ways[0], ways[1]
    )?;
    for row in rows {
        let odd = match row.anomalous {
            0 => String::new(),
            odd => count(odd as f64),
        };
        writeln!(
            out,
            "<tr><td>{}</td><td class=\"bars\">{}</td><td class=\"right\">{}</td><td class=\"right\">{}</td><td class=\"right\">{}</td><td class=\"right odd\">{odd}</td></tr>",
            html(&row.name),
            bar(row.bytes() as f64 / most as f64, "amount"),
            html(&bytes(row.sent as f64)),
            html(&bytes(row.received as f64)),
            count(row.flows as f64),
        )?;
    }
    writeln!(out, "</tbody></table></div></div>")
}

/// Flows by score, and the most anomalous ones.
pub(super) fn scores(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    if report.scores.iter().all(|flows| *flows == 0) {
        return Ok(());
    }
    writeln!(
        out,
        "<section id=\"scores\">\n<h2>Scores</h2>\n<p>Flows by score, counts on a logarithmic scale. At and beyond the line a flow is anomalous.</p>"
    )?;
    // The steps at both ends that are empty are left out.
    let steps = report.scores.len();
    let place = report
        .threshold
        .map(|threshold| (threshold * steps as f64) as usize);
    let used = |at: &usize| report.scores[*at] > 0 || Some(*at) == place;
    let first = (0..steps).find(used).unwrap_or(0);
    let last = (0..steps).rev().find(used).unwrap_or(first);
    let shown: Vec<[u64; 2]> = report.scores[first..=last]
        .iter()
        .map(|flows| [*flows, 0])
        .collect();
    plot::histogram(
        out,
        &plot::Histogram {
            range: (
                first as f64 / steps as f64,
                (last + 1) as f64 / steps as f64,
            ),
            steps: &shown,
            threshold: report.threshold,
            labelled: false,
            noun: "flows",
        },
    )?;
    if !report.top.is_empty() {
        writeln!(
            out,
            "<h3>Most anomalous flows</h3>\n<div class=\"scroll\"><table>\n<thead><tr>"
        )?;
        for (name, _) in flows::columns(true) {
            write!(out, "<th>{name}</th>")?;
        }
        writeln!(out, "<th>why</th></tr></thead>\n<tbody>")?;
        for flow in &report.top {
            write!(out, "<tr title=\"{}\">", html(&flow.id))?;
            for cell in &flow.cells {
                write!(out, "<td>{}</td>", html(cell))?;
            }
            let why = flow.reasons.first().map_or("", String::as_str);
            writeln!(out, "<td class=\"words\">{}</td></tr>", html(why))?;
        }
        writeln!(out, "</tbody></table></div>")?;
    }
    writeln!(out, "</section>")
}

/// Where packets went, what was missing, and which model judged.
pub(super) fn quality(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(
        out,
        "<section id=\"quality\">\n<h2>What was seen, and with what</h2>\n<div class=\"columns\">\n<div class=\"part\"><h3>Where every packet went</h3>\
         <table class=\"sums\"><tbody>"
    )?;
    for entry in &report.ledger {
        let class = if entry.is_loss && entry.packets > 0 {
            " class=\"loss\""
        } else {
            ""
        };
        writeln!(
            out,
            "<tr{class}><td>{}</td><td class=\"bars\">{}</td><td class=\"right\">{}</td></tr>",
            html(&entry.name),
            bar(
                entry.packets as f64 / report.packets.max(1) as f64,
                "amount"
            ),
            entry.packets
        )?;
    }
    writeln!(
        out,
        "<tr class=\"sum\"><td>seen</td><td></td><td class=\"right\">{}</td></tr>\n\
         <tr><td>unaccounted for</td><td></td><td class=\"right\">{}</td></tr>\n</tbody></table></div>",
        report.packets, report.unaccounted
    )?;
    writeln!(
        out,
        "<div class=\"part\"><h3>Model</h3><table class=\"sums\"><tbody>"
    )?;
    let own = [
        ("digest", report.model.digest.clone()),
        (
            "threshold",
            report.threshold.map_or_else(
                || "none: too little to learn from".to_owned(),
                |score| format!("{score:.4}"),
            ),
        ),
    ];
    let facts = own.iter().map(|(name, value)| (*name, value.as_str()));
    let given = report
        .model
        .facts
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in facts.chain(given) {
        writeln!(
            out,
            "<tr><td>{}</td><td class=\"right\">{}</td></tr>",
            html(name),
            html(value)
        )?;
    }
    writeln!(out, "</tbody></table></div>")?;
    if !report.logs.is_empty() {
        writeln!(out, "<div class=\"part\"><h3>Host logs</h3>")?;
        for line in &report.logs {
            writeln!(out, "<p>{}</p>", html(line))?;
        }
        writeln!(out, "</div>")?;
    }
    if !report.missing.is_empty() {
        writeln!(
            out,
            "<div class=\"part\"><h3>Features that not every flow has</h3>\n<table class=\"sums\"><tbody>"
        )?;
        for (name, share) in &report.missing {
            writeln!(
                out,
                "<tr><td><code>{}</code></td><td class=\"bars\">{}</td><td class=\"right\">missing in {}</td></tr>",
                html(name),
                bar(*share, "amount"),
                percent((share * 1000.0).round() / 1000.0)
            )?;
        }
        writeln!(
            out,
            "</tbody></table><p class=\"detail\">Missing is missing, and never 0: a flow without an answer has no answer's features.</p></div>"
        )?;
    }
    writeln!(
        out,
        "</div>\n<p class=\"detail\">A p-value is the share of ordinary flows expected to score as high; evidence is the surprise of an incident in powers \
         of ten, with half a power for each power of ten of hosts, ports or flows, and two where a pattern names it. Threat lists are said beside incidents and \
         change nothing.</p>\n</section>"
    )
}
