//! Traffic in time, with the incidents below it on the same axis.

use std::io::{self, Write};

use super::data::Report;
use crate::{
    score::{bytes, count},
    sink::escape::html,
    time::{self, Stamp},
};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 64.0;
const LANE: f64 = 22.0;
/// Incidents drawn.
const LANES: usize = 16;

/// Draws it.
pub(super) fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let timeline = &report.timeline;
    if timeline.slots.is_empty() || timeline.slot_ns == 0 {
        return Ok(());
    }
    let slots = timeline.slots.len();
    let (start, span) = (timeline.start_ns, slots as f64 * timeline.slot_ns as f64);
    let x = |at_ns: u64| (at_ns.saturating_sub(start) as f64 / span * WIDTH).clamp(0.0, WIDTH);
    let most = timeline
        .slots
        .iter()
        .map(|slot| slot.flows)
        .max()
        .unwrap_or(0)
        .max(1);
    let lanes: Vec<_> = report
        .incidents
        .iter()
        .enumerate()
        .filter(|(_, alert)| alert.first_ns > 0)
        .take(LANES)
        .collect();
    let below = 34.0 + lanes.len() as f64 * LANE;
    writeln!(
        out,
        "<section id=\"timeline\">\n<h2>In time</h2>\n<p>Flows that began in each {}, anomalous ones in colour{}. All times are UTC.</p>\n\
         <figure class=\"plot\"><svg viewBox=\"{} -14 {} {}\" role=\"img\" aria-label=\"Flows in time\">",
        time::words(timeline.slot_ns as f64 / 1e9),
        if lanes.is_empty() {
            ""
        } else {
            "; below, when incidents were"
        },
        -LEFT,
        WIDTH + LEFT + 8.0,
        HEIGHT + below + 20.0,
    )?;
    for part in [0.0, 0.5, 1.0] {
        let y = HEIGHT * (1.0 - part);
        writeln!(
            out,
            "<line class=\"grid\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"-8\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            y + 4.0,
            html(&count(most as f64 * part))
        )?;
    }
    let width = WIDTH / slots as f64;
    for (at, slot) in timeline
        .slots
        .iter()
        .enumerate()
        .filter(|(_, slot)| slot.flows > 0)
    {
        // One flow is seen too.
        let height = |flows: u64| match flows {
            0 => 0.0,
            flows => (flows as f64 / most as f64 * HEIGHT).max(1.5),
        };
        let (all, odd) = (height(slot.flows), height(slot.anomalous));
        let left = at as f64 * width;
        let shown = (width - 0.6).max(width * 0.7);
        writeln!(
            out,
            "<g><title>{}: {} flows, {} anomalous, {}</title><rect class=\"ordinary\" x=\"{left:.2}\" y=\"{:.2}\" width=\"{shown:.2}\" height=\"{:.2}\"/>\
             <rect class=\"attack\" x=\"{left:.2}\" y=\"{:.2}\" width=\"{shown:.2}\" height=\"{odd:.2}\"/></g>",
            Stamp(start + at as u64 * timeline.slot_ns).short(),
            count(slot.flows as f64),
            count(slot.anomalous as f64),
            html(&bytes(slot.bytes as f64)),
            HEIGHT - all,
            (all - odd).max(0.0),
            HEIGHT - odd,
        )?;
    }
    writeln!(
        out,
        "<line class=\"base\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{HEIGHT}\" y2=\"{HEIGHT}\"/>"
    )?;
    let days = span > 86_400e9;
    for tick in 0..=4_u64 {
        let at = start + (span * tick as f64 / 4.0) as u64;
        let short = Stamp(at).short();
        let text = if days || tick == 0 {
            &short[..16]
        } else {
            &short[11..]
        };
        let anchor = match tick {
            0 => "start",
            4 => "end",
            _ => "middle",
        };
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>",
            WIDTH * tick as f64 / 4.0,
            HEIGHT + 18.0
        )?;
    }
    for (lane, (at, alert)) in lanes.into_iter().enumerate() {
        let y = HEIGHT + 30.0 + lane as f64 * LANE;
        let (from, to) = (x(alert.first_ns), x(alert.last_ns));
        let to = to.max(from + 4.0);
        // Beside the bar where there is room, and in it where it leaves none.
        let (place, anchor, class) = if to < WIDTH * 0.6 {
            (to + 6.0, "start", "out")
        } else if from > WIDTH * 0.4 {
            (from - 6.0, "end", "out")
        } else {
            (from + 6.0, "start", "in")
        };
        writeln!(
            out,
            "<a href=\"#incident-{number}\"><g class=\"lane {}\"><title>{}</title><line class=\"grid\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{mid:.1}\" y2=\"{mid:.1}\"/>\
             <text x=\"-8\" y=\"{:.1}\" text-anchor=\"end\">{number}</text>\
             <rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\" rx=\"3\"/><text class=\"{class}\" x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{} · {}</text></g></a>",
            alert.severity.name(),
            html(&alert.sentence),
            y + 11.0,
            y + 2.0,
            to - from,
            y + 11.0,
            html(&alert.kind),
            html(&shortened(&alert.host)),
            number = at + 1,
            mid = y + 7.0,
        )?;
    }
    writeln!(out, "</svg></figure>\n</section>")
}

/// A name that does not run out of the picture.
fn shortened(name: &str) -> String {
    if name.chars().count() <= 40 {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(39).collect();
    short.push('…');
    short
}
