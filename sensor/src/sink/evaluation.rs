//! The report of `eval`: figures, plots, and what was confused with what. One file, no script.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use super::{
    escape::html,
    plot::{self, Curve, Histogram},
    report,
};
use crate::{
    score::{
        count,
        quality::{Curves, Quality},
        several,
    },
    time,
};

/// An attack that the rules name, and whether it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Planted {
    /// What it was, in the words of the rule file.
    pub name: String,
    /// Rows that belong to it.
    pub rows: u64,
    /// Those of them that were told.
    pub told: u64,
    /// Seconds from its beginning to the first row told; none if none was, or the beginning is not known.
    pub seconds: Option<f64>,
}

/// Everything that the report says.
pub struct Evaluation<'a> {
    /// Names of the inputs.
    pub inputs: Vec<String>,
    /// What scored them, in words.
    pub model: String,
    /// The figures.
    pub quality: &'a Quality,
    /// The curves.
    pub curves: &'a Curves,
    /// Where alarms begin; NaN if unknown.
    pub threshold: f64,
    /// False alarms a day; NaN if rows have no times.
    pub false_alarms_per_day: f64,
    /// Rows by label and by what they were called.
    pub confusion: &'a BTreeMap<(String, String), u64>,
    /// Attacks of the rule file, if there was one.
    pub planted: &'a [Planted],
}

impl Evaluation<'_> {
    /// Median over the attacks found of the time it took; NaN if none was.
    pub fn seconds_to_detect(&self) -> f64 {
        seconds_to_detect(self.planted)
    }
}

/// Median over the attacks found of the time it took; NaN if none was.
pub fn seconds_to_detect(planted: &[Planted]) -> f64 {
    let mut seconds: Vec<f64> = planted.iter().filter_map(|attack| attack.seconds).collect();
    seconds.sort_unstable_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Writes the report.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn Write, evaluation: &Evaluation<'_>) -> io::Result<()> {
    let quality = evaluation.quality;
    let title = match &evaluation.inputs[..] {
        [one] => one.clone(),
        many => format!("{} inputs", many.len()),
    };
    report::begin(out, &format!("evaluation of {title}"))?;
    writeln!(
        out,
        "<h1>{}</h1>\n<p class=\"lead\">{}, {} of them attacks; {}.</p>",
        html(&title),
        several(quality.rows as f64, "row"),
        count(quality.positives as f64),
        html(&evaluation.model)
    )?;
    figures(out, evaluation)?;
    curves(out, evaluation)?;
    writeln!(
        out,
        "<h2>Scores</h2>\n<p>Ordinary rows upwards, attacks downwards, counts on a logarithmic scale.</p>"
    )?;
    plot::histogram(
        out,
        &Histogram {
            steps: &quality.histogram,
            range: quality.range,
            threshold: evaluation
                .threshold
                .is_finite()
                .then_some(evaluation.threshold),
            labelled: true,
            noun: "rows",
        },
    )?;
    planted(out, evaluation.planted)?;
    confusion(out, evaluation.confusion)?;
    report::end(
        out,
        &format!("threshold {}", known(evaluation.threshold, 4)),
    )
}

fn figures(out: &mut dyn Write, evaluation: &Evaluation<'_>) -> io::Result<()> {
    let quality = evaluation.quality;
    let mut figures = vec![
        ("ROC-AUC", known(quality.roc_auc, 4)),
        ("average precision", known(quality.pr_auc, 4)),
        ("precision", known(quality.precision, 3)),
        ("recall", known(quality.recall, 3)),
        ("F1", known(quality.f1, 3)),
        ("false alarms", count(quality.false_alarms as f64)),
        (
            "false alarms a day",
            known(evaluation.false_alarms_per_day, 1),
        ),
    ];
    if !evaluation.planted.is_empty() {
        let found = evaluation
            .planted
            .iter()
            .filter(|attack| attack.told > 0)
            .count();
        figures.push((
            "attacks found",
            format!("{found} of {}", evaluation.planted.len()),
        ));
        let seconds = evaluation.seconds_to_detect();
        figures.push((
            "to detect, median",
            if seconds.is_finite() {
                time::words(seconds)
            } else {
                "unknown".to_owned()
            },
        ));
    }
    writeln!(out, "<section class=\"figures\">")?;
    for (name, value) in figures {
        writeln!(out, "<div><b>{}</b><span>{name}</span></div>", html(&value))?;
    }
    writeln!(out, "</section>")
}

fn curves(out: &mut dyn Write, evaluation: &Evaluation<'_>) -> io::Result<()> {
    let (quality, curves) = (evaluation.quality, evaluation.curves);
    let (attacks, rows) = (quality.positives as f64, quality.rows as f64);
    if quality.positives == 0 || quality.positives == quality.rows {
        return writeln!(
            out,
            "<p class=\"warning\">All rows are of one class: there is nothing to rank.</p>"
        );
    }
    let alarmed = quality.false_alarms as f64 / (rows - attacks);
    let share = attacks / rows;
    let roc = Curve {
        title: "ROC",
        axes: ["ordinary rows alarmed", "attacks alarmed"],
        log_from: None,
        points: &curves.roc,
        chance: Some([(0.0, 0.0), (1.0, 1.0)]),
        here: Some((alarmed, quality.recall)),
    };
    writeln!(
        out,
        "<h2>Curves</h2>\n<p>The dot is the threshold; a dashed line is what chance gives. The second plot is the left end of the \
         first, where an alert budget lives, drawn out.</p>\n<div class=\"plots\">"
    )?;
    plot::curve(out, &roc)?;
    plot::curve(
        out,
        &Curve {
            title: "ROC, few false alarms",
            log_from: Some(1e-5),
            ..roc
        },
    )?;
    plot::curve(
        out,
        &Curve {
            title: "Precision and recall",
            axes: [
                "attacks alarmed (recall)",
                "alarms that are right (precision)",
            ],
            log_from: None,
            points: &curves.precision,
            chance: Some([(0.0, share), (1.0, share)]),
            here: quality
                .precision
                .is_finite()
                .then_some((quality.recall, quality.precision)),
        },
    )?;
    writeln!(out, "</div>")
}

fn planted(out: &mut dyn Write, planted: &[Planted]) -> io::Result<()> {
    if planted.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h2>Attacks of the rule file</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>attack</th><th>rows</th><th>told</th><th>first after</th></tr></thead>\n<tbody>"
    )?;
    for attack in planted {
        let after = attack.seconds.map_or_else(|| "-".to_owned(), time::words);
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            html(&attack.name),
            attack.rows,
            if attack.told == 0 {
                "none".to_owned()
            } else {
                attack.told.to_string()
            },
            html(&after)
        )?;
    }
    writeln!(out, "</tbody></table></div>")
}

/// Rows by what they are (down) and what they were called (across).
fn confusion(out: &mut dyn Write, counts: &BTreeMap<(String, String), u64>) -> io::Result<()> {
    let (labels, called) = sides(counts);
    writeln!(
        out,
        "<h2>What was called what</h2>\n<p>Labels down, verdicts across.</p>\n<div class=\"scroll\"><table class=\"confusion\">\n<thead><tr><th></th>"
    )?;
    for name in &called {
        writeln!(out, "<th>{}</th>", html(name))?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    for label in labels {
        let row: Vec<u64> = called
            .iter()
            .map(|name| {
                counts
                    .get(&(label.to_owned(), (*name).to_owned()))
                    .copied()
                    .unwrap_or(0)
            })
            .collect();
        let all: u64 = row.iter().sum();
        write!(out, "<tr><th>{}</th>", html(label))?;
        for rows in row {
            let share = rows as f64 / all.max(1) as f64;
            // The square root lets a share of a hundredth still be seen.
            write!(
                out,
                "<td class=\"s{:.0}\">{}</td>",
                share.sqrt() * 10.0,
                if rows == 0 {
                    String::new()
                } else {
                    rows.to_string()
                }
            )?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table></div>")
}

/// Names on both sides of a confusion table.
pub fn sides(counts: &BTreeMap<(String, String), u64>) -> (Vec<&str>, Vec<&str>) {
    let side = |pick: fn(&(String, String)) -> &str| {
        let mut names: Vec<&str> = counts.keys().map(pick).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    (side(|(label, _)| label), side(|(_, called)| called))
}

fn known(number: f64, digits: usize) -> String {
    if number.is_finite() {
        format!("{number:.digits$}")
    } else {
        "unknown".to_owned()
    }
}
