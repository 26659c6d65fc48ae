//! The results as text.

use std::fmt::Write as _;

use super::{Ranking, ResultRow, Run};

/// A table for each group, and the notes to it.
pub(super) fn text(run: &Run<'_>) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "ROC-AUC / average precision, means over {} seeds; P, R, F1 at the threshold; peers: {}",
        run.seeds,
        run.peers.unwrap_or("none")
    );
    for group in &run.groups {
        let _ = writeln!(out, "\n{} ({:.0} s)", group.name, group.seconds);
        if let Some(reason) = &group.not_run {
            let _ = writeln!(out, "  not run: {reason}");
            continue;
        }
        lines(&mut out, &group.rows);
    }
    out
}

/// Columns: heading, and how a row fills it. A column that no row fills is left out.
type Cell = fn(&ResultRow) -> String;
const COLUMNS: &[(&str, Cell)] = &[
    ("set", |row| row.set.clone()),
    ("model", |row| row.model.to_owned()),
    ("part", |row| row.part.name().to_owned()),
    ("rows", |row| row.rows.to_string()),
    ("attacks", |row| row.attacks.to_string()),
    ("ours", |row| ranking(row.ours)),
    ("peer", |row| {
        ranking(row.peer.as_ref().map(|(_, peer)| *peer))
    }),
    ("goal", |row| ranking(row.goal)),
    ("P", |row| share(row.threshold.map(|at| at.precision))),
    ("R", |row| share(row.threshold.map(|at| at.recall))),
    ("F1", |row| share(row.threshold.map(|at| at.f1))),
    ("false/day", |row| {
        row.false_alarms_per_day
            .map_or_else(String::new, |alarms| format!("{alarms:.1}"))
    }),
    ("seconds", |row| {
        row.seconds_to_detect
            .map_or_else(String::new, |seconds| format!("{seconds:.1}"))
    }),
    ("incidents", |row| {
        row.incidents.map_or_else(String::new, |incidents| {
            format!("{} of {}", incidents.found, incidents.planted)
        })
    }),
];

/// Columns of text stand left, numbers right.
const TEXT_COLUMNS: usize = 3;

fn lines(out: &mut String, rows: &[ResultRow]) {
    let mut columns: Vec<(&str, Vec<String>)> = COLUMNS
        .iter()
        .map(|(name, cell)| (*name, rows.iter().map(cell).collect()))
        .collect();
    columns.retain(|(_, cells): &(_, Vec<String>)| cells.iter().any(|cell| !cell.is_empty()));
    let widths: Vec<usize> = columns
        .iter()
        .map(|(name, cells)| {
            let longest = cells.iter().map(|cell| cell.chars().count()).max();
            longest.unwrap_or(0).max(name.len())
        })
        .collect();
    let mut line = |cells: Vec<&str>| {
        let mut text = String::from(" ");
        for (at, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let _ = if at < TEXT_COLUMNS {
                write!(text, " {cell:<width$} ")
            } else {
                write!(text, " {cell:>width$} ")
            };
        }
        let _ = writeln!(out, "{}", text.trim_end());
    };
    line(columns.iter().map(|(name, _)| *name).collect());
    for at in 0..rows.len() {
        line(
            columns
                .iter()
                .map(|(_, cells)| cells[at].as_str())
                .collect(),
        );
    }
    for row in rows {
        if let Some(note) = &row.note {
            let _ = writeln!(out, "  {}: {note}", row.set);
        }
    }
}

fn ranking(ranking: Option<Ranking>) -> String {
    ranking.map_or_else(String::new, |Ranking { roc_auc, pr_auc }| {
        let text = |number: f64| {
            if number.is_finite() {
                format!("{number:.4}")
            } else {
                "-".to_owned()
            }
        };
        format!("{} / {}", text(roc_auc), text(pr_auc))
    })
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(String::new, |share| {
        if share.is_finite() {
            format!("{share:.3}")
        } else {
            "-".to_owned()
        }
    })
}
