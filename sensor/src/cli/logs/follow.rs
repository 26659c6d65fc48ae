//! `logs --follow`: events as they are written.

use std::{collections::BTreeMap, io::Write, path::Path};

use super::{
    super::{
        args::Logs,
        fault::{Fault, code},
        setup::{Setup, is_stdout, make_folder, output},
        signals::told_to_stop,
    },
    header, push, value,
};
use crate::{
    config::Format,
    logs::{Context, Event, Finding, Findings, Follow, Kind},
    score::{Severity, several},
    sink::{escape, table::Style},
    time::Stamp,
};

/// Events of one look that are put into the order of time together.
const TOGETHER_MAX: usize = 1_000_000;
/// A finding is told again when it has grown so many times.
const GROWN: u64 = 4;

pub(super) fn run(args: &Logs, setup: &Setup, path: &Path) -> Result<u8, Fault> {
    let stop = told_to_stop(args.duration)?;
    let mut follow = Follow::new(&args.inputs);
    let mut written = Written::new(args, setup, path)?;
    let mut lost = 0;
    loop {
        let mut events = Vec::new();
        let mut failed = None;
        follow.look(&mut |event| {
            events.push(event);
            if events.len() >= TOGETHER_MAX {
                failed = failed.take().or(written.take(&mut events).err());
            }
        })?;
        let rest = written.take(&mut events);
        if let Some(error) = failed.or(rest.err()) {
            return match error.kind() {
                // The reader of the table has gone.
                std::io::ErrorKind::BrokenPipe => Ok(0),
                _ => Err(Fault::file(path, &error, code::FAILED)),
            };
        }
        written.tell()?;
        let losses = follow.losses();
        if losses.total() > lost {
            lost = losses.total();
            setup.note(&format!("warning: not readable so far: {losses}"));
        }
        if stop.wait(args.interval) {
            setup.note(&format!(
                "{}, {}; {} lost",
                several(written.events as f64, "event"),
                several(written.findings.ranked().len() as f64, "finding"),
                losses.total()
            ));
            return Ok(0);
        }
    }
}

/// What came so far, and what of it was told.
struct Written<'a> {
    out: Box<dyn Write>,
    to_stdout: bool,
    json: bool,
    quiet: bool,
    setup: &'a Setup,
    style: Style,
    context: Context,
    findings: Findings,
    told: BTreeMap<(Kind, String), u64>,
    events: u64,
    line: String,
}

impl<'a> Written<'a> {
    fn new(args: &Logs, setup: &'a Setup, path: &Path) -> Result<Self, Fault> {
        let failed = |error| Fault::file(path, &error, code::FAILED);
        let to_stdout = is_stdout(path);
        if !to_stdout {
            if let Some(folder) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
                make_folder(folder)?;
            }
            // The table of an earlier time is kept beside it.
            if path.exists() {
                std::fs::rename(path, path.with_extension("csv.1")).map_err(failed)?;
            }
            setup.note(&format!(
                "following, a line for each event in {}; end with Ctrl-C",
                path.display()
            ));
        }
        let mut out = output(path)?;
        writeln!(out, "{}", header()).map_err(failed)?;
        Ok(Self {
            out,
            to_stdout,
            json: args.summary.format == Some(Format::Json),
            quiet: setup.quiet,
            setup,
            style: Style::stdout(),
            context: Context::default(),
            findings: Findings::default(),
            told: BTreeMap::new(),
            events: 0,
            line: String::new(),
        })
    }

    /// Takes the events of one look in, in the order of time as far as they have one.
    fn take(&mut self, events: &mut Vec<Event>) -> std::io::Result<()> {
        events.sort_by_key(|event| event.time);
        self.events += events.len() as u64;
        for event in events.drain(..) {
            let row = self.context.absorb(&event);
            self.findings.absorb(&event, &row);
            self.line.clear();
            push(&mut self.line, &event, &row);
            writeln!(self.out, "{}", self.line)?;
        }
        self.out.flush()
    }

    /// Tells findings that are new, and those that have grown much.
    fn tell(&mut self) -> Result<(), Fault> {
        let mut news: Vec<&Finding> = Vec::new();
        for finding in self.findings.ranked() {
            let at = (finding.kind, finding.actor.clone());
            let before = self.told.get(&at).copied().unwrap_or(0);
            if before == 0 || finding.events >= GROWN.saturating_mul(before) {
                self.told.insert(at, finding.events);
                news.push(finding);
            }
        }
        for finding in news {
            let line = if self.json {
                value(finding).to_string()
            } else {
                let severity = Severity::of_evidence(finding.evidence());
                format!(
                    "{}  {}  {}: {}",
                    finding
                        .last
                        .map_or_else(|| "no time".to_owned(), |time| Stamp(time).short()),
                    self.style.severity(severity, &format!("{severity:8}")),
                    self.style.bold(finding.kind.name()),
                    escape::terminal(&finding.sentence())
                )
            };
            if self.to_stdout {
                // The table has standard output to itself.
                self.setup.note(&line);
            } else if !self.quiet || self.json {
                writeln!(std::io::stdout(), "{line}")?;
            }
        }
        Ok(())
    }
}
