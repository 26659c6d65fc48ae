//! Plots as SVG, without script: colours come from the page's style sheet, so they follow light and dark.

use std::io::{self, Write};

use super::escape::html;

/// Size of a plot's area, and the room around it for words, in the units of the drawing.
const WIDTH: f64 = 280.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 62.0;
const BELOW: f64 = 44.0;
const ABOVE: f64 = 26.0;
const RIGHT: f64 = 20.0;

/// A line of shares over shares, both 0 to 1.
pub struct Curve<'a> {
    /// What it shows.
    pub title: &'a str,
    /// What runs to the right, what runs up.
    pub axes: [&'a str; 2],
    /// Least value of a logarithmic x axis; none for a linear one.
    pub log_from: Option<f64>,
    /// The line.
    pub points: &'a [(f64, f64)],
    /// Where a coin would be, as a line between two points.
    pub chance: Option<[(f64, f64); 2]>,
    /// Where the threshold is.
    pub here: Option<(f64, f64)>,
}

/// Draws a curve.
///
/// # Errors
/// What `out` says.
pub fn curve(out: &mut dyn Write, curve: &Curve<'_>) -> io::Result<()> {
    let x = |share: f64| match curve.log_from {
        Some(least) => (1.0 - share.max(least).log10() / least.log10()) * WIDTH,
        None => share * WIDTH,
    };
    let y = |share: f64| (1.0 - share) * HEIGHT;
    writeln!(
        out,
        "<figure class=\"plot\">\n<svg viewBox=\"{} {} {} {}\" role=\"img\" aria-label=\"{title}\">\n<text class=\"title\" x=\"0\" y=\"-11\">{title}</text>",
        -LEFT,
        -ABOVE,
        WIDTH + LEFT + RIGHT,
        HEIGHT + ABOVE + BELOW,
        title = html(curve.title),
    )?;
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        rule(out, [0.0, WIDTH], [y(share); 2])?;
        text(out, (-8.0, y(share) + 4.0), "end", &percent(share))?;
    }
    for share in ticks(curve.log_from) {
        rule(out, [x(share); 2], [0.0, HEIGHT])?;
        text(out, (x(share), HEIGHT + 17.0), "middle", &percent(share))?;
    }
    text(out, (WIDTH / 2.0, HEIGHT + 36.0), "middle", curve.axes[0])?;
    writeln!(
        out,
        "<text transform=\"translate({:.1} {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        -LEFT + 12.0,
        HEIGHT / 2.0,
        html(curve.axes[1])
    )?;
    if let Some([from, to]) = curve.chance {
        // On a logarithmic axis a straight line is none: it is drawn through many points.
        let points = (0..=60).map(|step| {
            let part = f64::from(step) / 60.0;
            let part = match curve.log_from {
                Some(least) => least.powf(1.0 - part),
                None => part,
            };
            (
                from.0 + (to.0 - from.0) * part,
                from.1 + (to.1 - from.1) * part,
            )
        });
        path(out, "chance", points.map(|(a, b)| (x(a), y(b))))?;
    }
    let area = area(curve.points, x, y);
    writeln!(out, "<path class=\"under\" d=\"{area}\"/>")?;
    path(
        out,
        "curve",
        curve.points.iter().map(|(a, b)| (x(*a), y(*b))),
    )?;
    if let Some((a, b)) = curve.here {
        writeln!(
            out,
            "<circle class=\"here\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\"><title>threshold: {} at {}</title></circle>",
            x(a),
            y(b),
            percent(b),
            percent(a)
        )?;
    }
    writeln!(out, "</svg>\n</figure>")
}

/// Counts by score.
pub struct Histogram<'a> {
    /// Ordinary and attack rows of each step; where attacks are not known, none.
    pub steps: &'a [[u64; 2]],
    /// Score where the first step begins and where the last ends.
    pub range: (f64, f64),
    /// Where alarms begin, if that is within.
    pub threshold: Option<f64>,
    /// Whether attacks are known: they are drawn below the line.
    pub labelled: bool,
    /// What is counted, for example `flows`.
    pub noun: &'a str,
}

/// Draws a histogram with counts on a logarithmic scale.
///
/// # Errors
/// What `out` says.
pub fn histogram(out: &mut dyn Write, histogram: &Histogram<'_>) -> io::Result<()> {
    const WIDTH: f64 = 720.0;
    const HALF: f64 = 130.0;
    let (least, greatest) = histogram.range;
    let most = histogram
        .steps
        .iter()
        .flatten()
        .copied()
        .max()
        .unwrap_or(0)
        .max(1);
    let height = |rows: u64| match rows {
        0 => 0.0,
        // One row is seen too.
        rows => 3.0 + (rows as f64).ln_1p() / (most as f64).ln_1p() * (HALF - 3.0),
    };
    let x = |score: f64| (score - least) / (greatest - least) * WIDTH;
    let depth = if histogram.labelled { 2.0 * HALF } else { HALF };
    writeln!(
        out,
        "<figure class=\"plot wide\">\n<svg viewBox=\"{} -22 {} {}\" role=\"img\" aria-label=\"{} by score\">",
        -LEFT,
        WIDTH + LEFT + RIGHT,
        depth + 62.0,
        html(histogram.noun)
    )?;
    for power in 0..=most.ilog10() {
        let rows = 10_u64.pow(power);
        let signs: &[f64] = if histogram.labelled {
            &[1.0, -1.0]
        } else {
            &[1.0]
        };
        for sign in signs {
            let y = HALF - sign * height(rows);
            rule(out, [0.0, WIDTH], [y; 2])?;
            text(
                out,
                (-8.0, y + 4.0),
                "end",
                &crate::score::count(rows as f64),
            )?;
        }
    }
    let steps = histogram.steps.len() as f64;
    let width = WIDTH / steps;
    for (at, [ordinary, attack]) in histogram.steps.iter().enumerate() {
        let (from, to) = (
            least + (greatest - least) * at as f64 / steps,
            least + (greatest - least) * (at as f64 + 1.0) / steps,
        );
        let odd = histogram
            .threshold
            .is_some_and(|threshold| (from + to) / 2.0 >= threshold);
        let upper = if !histogram.labelled && odd {
            "attack"
        } else {
            "ordinary"
        };
        let bars = [
            (upper, *ordinary, HALF - height(*ordinary)),
            ("attack", *attack, HALF),
        ];
        let names = if histogram.labelled {
            ["ordinary ", "attack "]
        } else {
            ["", ""]
        };
        for ((class, rows, y), name) in bars
            .into_iter()
            .zip(names)
            .filter(|((_, rows, _), _)| *rows > 0)
        {
            writeln!(
                out,
                "<rect class=\"{class}\" x=\"{:.2}\" y=\"{y:.2}\" width=\"{:.2}\" height=\"{:.2}\"><title>{from:.3} to {to:.3}: {rows} {name}{}</title></rect>",
                at as f64 * width + 0.5,
                width - 1.0,
                height(rows),
                html(histogram.noun),
            )?;
        }
    }
    if histogram.labelled {
        text(out, (0.0, -8.0), "start", "▲ ordinary")?;
        text(out, (0.0, depth + 12.0), "start", "▼ attacks")?;
    }
    writeln!(
        out,
        "<line class=\"base\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{HALF}\" y2=\"{HALF}\"/>"
    )?;
    if let Some(threshold) = histogram
        .threshold
        .filter(|score| (least..=greatest).contains(score))
    {
        let line = x(threshold);
        let anchor = if line > WIDTH * 0.5 { "end" } else { "start" };
        writeln!(
            out,
            "<line class=\"threshold\" x1=\"{line:.1}\" x2=\"{line:.1}\" y1=\"-6\" y2=\"{depth:.1}\"/>"
        )?;
        text(
            out,
            (line, -10.0),
            anchor,
            &format!("threshold {threshold:.3}"),
        )?;
    }
    for tick in 0..=5 {
        let score = least + (greatest - least) * f64::from(tick) / 5.0;
        text(
            out,
            (x(score), depth + 30.0),
            "middle",
            &format!("{score:.2}"),
        )?;
    }
    writeln!(out, "</svg>\n</figure>")
}

/// Where lines of the grid stand.
fn ticks(log_from: Option<f64>) -> Vec<f64> {
    match log_from {
        None => (0..=4).map(|tick| f64::from(tick) / 4.0).collect(),
        Some(least) => {
            let powers = -least.log10().round() as i32;
            (0..=powers).map(|power| 10_f64.powi(-power)).collect()
        }
    }
}

/// A share in per cent, with as many digits as it takes.
fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn rule(out: &mut dyn Write, x: [f64; 2], y: [f64; 2]) -> io::Result<()> {
    writeln!(
        out,
        "<line class=\"grid\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
        x[0], x[1], y[0], y[1]
    )
}

fn text(out: &mut dyn Write, (x, y): (f64, f64), anchor: &str, words: &str) -> io::Result<()> {
    writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        html(words)
    )
}

fn path(
    out: &mut dyn Write,
    class: &str,
    points: impl Iterator<Item = (f64, f64)>,
) -> io::Result<()> {
    let mut data = String::new();
    for (at, (x, y)) in points.enumerate() {
        let command = if at == 0 { 'M' } else { 'L' };
        data.push_str(&format!("{command}{x:.1} {y:.1}"));
    }
    writeln!(out, "<path class=\"{class}\" d=\"{data}\"/>")
}

/// The area between a curve and the x axis.
fn area(points: &[(f64, f64)], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return String::new();
    };
    let mut data = format!("M{:.1} {:.1}", x(first.0), y(0.0));
    for (a, b) in points {
        data.push_str(&format!("L{:.1} {:.1}", x(*a), y(*b)));
    }
    data.push_str(&format!("L{:.1} {:.1}Z", x(last.0), y(0.0)));
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(draw: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        draw(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_curve_begins_and_ends_in_the_corners() {
        let points = [(0.0, 0.0), (0.0, 0.5), (1.0, 1.0)];
        let plot = Curve {
            title: "a < b",
            axes: ["x", "y"],
            log_from: None,
            points: &points,
            chance: None,
            here: Some((0.0, 0.5)),
        };
        let text = drawn(|out| curve(out, &plot));
        assert!(
            text.contains("d=\"M0.0 200.0L0.0 100.0L280.0 0.0\""),
            "{text}"
        );
        assert!(text.contains("a &lt; b") && text.contains("50 % at 0 %"));
        let text = drawn(|out| {
            curve(
                out,
                &Curve {
                    log_from: Some(1e-4),
                    ..plot
                },
            )
        });
        assert!(text.contains("0.01 %") && !text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn every_step_with_rows_is_seen_and_bars_stay_within() {
        let steps = [[1, 0], [100_000, 3], [0, 1]];
        let plot = Histogram {
            steps: &steps,
            range: (0.0, 1.0),
            threshold: Some(0.5),
            labelled: true,
            noun: "rows",
        };
        let text = drawn(|out| histogram(out, &plot));
        assert_eq!(text.matches("<rect").count(), 4);
        assert!(text.contains("100000 ordinary rows") && text.contains("class=\"threshold\""));
        for height in text
            .split("height=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next()?.parse::<f64>().ok())
        {
            assert!((3.0..=130.0).contains(&height), "{height}");
        }
    }
}
