//! The figures as text.

use std::fmt::Write as _;

use super::{
    LEVEL_SHARED, Run, Sample, Subject, median,
    stages::{QUANTILES, Stopped, TIMED_EPOCHS},
};

/// Tables for a terminal.
pub(super) fn text(run: &Run) -> String {
    let mut out = String::new();
    let megabytes = run.capture_bytes as f64 / 1e6;
    let _ = writeln!(out, "{}", run.machine);
    let _ = writeln!(
        out,
        "{}: {} packets, {megabytes:.0} MB; one CPU, fresh process each, median of {} rounds\n",
        run.capture, run.packets, run.rounds
    );
    let _ = writeln!(
        out,
        "{:<30} {:>9} {:>11} {:>9} {:>9} {:>10} {:>9}",
        "", "seconds", "packets/s", "ns/packet", "CPU s", "peak MB", "flows"
    );
    for subject in &run.subjects {
        let wall = subject.median(|sample| sample.wall_seconds);
        let _ = writeln!(
            out,
            "{:<30} {wall:>9.3} {:>11} {:>9.0} {:>9.3} {:>10.1} {:>9}",
            label(subject),
            millions(run.packets as f64 / wall),
            wall * 1e9 / run.packets as f64,
            subject.median(|sample| sample.cpu_seconds),
            subject.median(|sample| sample.peak_bytes as f64) / 1e6,
            subject
                .flows
                .filter(|flows| *flows > 0)
                .map_or_else(|| "-".to_owned(), |flows| flows.to_string()),
        );
    }
    stages(&mut out, run);
    peers(&mut out, run);
    loss(&mut out, run);
    out
}

fn label(subject: &Subject) -> String {
    if subject.inside.is_empty() {
        format!("{} {}", subject.name, subject.version)
    } else {
        subject.name.clone()
    }
}

fn millions(rate: f64) -> String {
    format!("{:.2} M", rate / 1e6)
}

/// What each stage adds.
fn stages(out: &mut String, run: &Run) {
    let ours: Vec<&Subject> = run
        .subjects
        .iter()
        .filter(|subject| !subject.inside.is_empty())
        .collect();
    let inside = |subject: &Subject, figure: fn(&Stopped) -> f64| {
        median(subject.inside.iter().map(figure).collect())
    };
    let _ = writeln!(out, "\nwhat each stage adds, inside the process");
    let mut before = 0.0;
    for subject in ours.iter().filter(|subject| subject.name != LEVEL_SHARED) {
        let seconds = inside(subject, |stopped| stopped.seconds);
        let added = (seconds - before) * 1e9 / run.packets as f64;
        let _ = writeln!(
            out,
            "  {:<28} {added:>9.1} ns/packet",
            subject.name.trim_start_matches("ours: ")
        );
        before = seconds;
    }
    let Some(last) = ours
        .iter()
        .find(|subject| subject.name == "ours: to scores")
    else {
        return;
    };
    let rows = inside(last, |stopped| stopped.rows as f64);
    let flows = inside(last, |stopped| stopped.flows as f64);
    let (seconds, scoring) = (
        inside(last, |stopped| stopped.seconds),
        inside(last, |stopped| stopped.score_seconds),
    );
    if rows > 0.0 {
        let _ = writeln!(
            out,
            "\nto scores: {:.0} flows/s; {rows:.0} rows scored; inside the scorer {:.2} M scores/s, {:.0} ns a row",
            flows / seconds,
            rows / scoring / 1e6,
            scoring * 1e9 / rows
        );
    }
    if let Some(stopped) = last.inside.last() {
        let _ = write!(
            out,
            "work at the end of an epoch (one in {TIMED_EPOCHS} timed):"
        );
        for (quantile, latency) in QUANTILES.iter().zip(&stopped.latency_ns) {
            let _ = write!(
                out,
                "  p{} {:.1} us",
                quantile * 100.0,
                *latency as f64 / 1e3
            );
        }
        let _ = writeln!(out);
    }
}

/// A name and how to take it from a sample.
type Figure = (&'static str, fn(&Sample) -> f64);

/// Ours against each peer, from the same run. CPU time is steadier than wall time where others use the machine.
fn peers(out: &mut String, run: &Run) {
    let figures: [Figure; 2] = [
        ("wall", |sample| sample.wall_seconds),
        ("CPU", |sample| sample.cpu_seconds),
    ];
    let ours = |name: &str, figure| {
        let subject = run.subjects.iter().find(|subject| subject.name == name)?;
        Some(subject.median(figure))
    };
    for peer in run
        .subjects
        .iter()
        .filter(|subject| subject.inside.is_empty())
    {
        for (unit, figure) in figures {
            let (Some(flows), Some(scores), Some(level_shared)) = (
                ours("ours: to flow records", figure),
                ours("ours: to scores", figure),
                ours(LEVEL_SHARED, figure),
            ) else {
                return;
            };
            let theirs = peer.median(figure);
            let _ = writeln!(
                out,
                "{} takes {:.1} times the {unit} time of ours to flow records, {:.1} times that of ours to scores ({:.1} with level-shared trees)",
                label(peer),
                theirs / flows,
                theirs / scores,
                theirs / level_shared
            );
        }
    }
}

/// Packets that did not end in a flow, ours and theirs.
fn loss(out: &mut String, run: &Run) {
    let _ = writeln!(out);
    for subject in &run.subjects {
        if let Some(stopped) = subject.inside.last() {
            let complete =
                stopped.packets == run.packets && stopped.overflow == 0 && stopped.unaccounted == 0;
            if !complete {
                let _ = writeln!(
                    out,
                    "loss: {}: {} read, {} overflowed, {} unaccounted",
                    subject.name, stopped.packets, stopped.overflow, stopped.unaccounted
                );
            }
        } else if let Some(packets) = subject.packets.filter(|packets| *packets != run.packets) {
            let _ = writeln!(out, "loss: {} says it read {packets}", label(subject));
        }
    }
    if !out.contains("loss: ") {
        let _ = writeln!(
            out,
            "loss: none; every subject that counts read all packets"
        );
    }
}
