//! What a run says at its end: where everything is, and what to do with it, as it is to be typed.

use std::io::{self, Write};

use super::super::setup::{Setup, word};
use crate::sink::{
    escape,
    summary::Findings,
    table::{Style, paragraph},
};

/// In the output folder, for people and programs.
const FILES: [&str; 5] = [
    "reports/report.html",
    "predictions.csv",
    "pcap_features.csv",
    "model_outputs",
    "evidence",
];

/// Writes it; `model` is what was scored with, if that was named.
pub(super) fn write(
    out: &mut dyn Write,
    setup: &Setup,
    model: Option<&str>,
    findings: &Findings<'_>,
) -> io::Result<()> {
    let folder = setup.folder().display().to_string();
    let there: Vec<&str> = FILES
        .into_iter()
        .filter(|name| setup.folder().join(name).exists())
        .collect();
    let style = Style::stdout();
    writeln!(out)?;
    paragraph(
        out,
        &format!("In {folder}: {}", there.join(", ")),
        "",
        style.width,
    )?;
    let place = match setup.is_usual_folder() {
        true => String::new(),
        false => format!(" {}", word(&folder)),
    };
    let set = setup.looking_here();
    let mut next = Vec::new();
    if setup.config.store.enabled && setup.config.store.path.is_none() {
        next.push((format!("dashboard{place}"), "in a browser"));
        next.push((
            format!("alerts list{set}"),
            "show, acknowledge, close, suppress",
        ));
    }
    if let Some(flow) = findings.top.first() {
        let model = model.map_or_else(String::new, |model| format!(" -m {}", word(model)));
        let table = word(&format!("{folder}/predictions.csv"));
        let flow = flow.record.id;
        next.push((
            format!("explain {table} --flow {flow:016x}{model}{set}"),
            "why a flow",
        ));
    }
    for (command, what) in next {
        let command = escape::terminal(&command).into_owned();
        writeln!(
            out,
            "  anomaly-detect {command}  {}",
            style.faint(&format!("# {what}"))
        )?;
    }
    Ok(())
}
