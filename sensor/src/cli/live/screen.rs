//! What a person at the terminal sees of a live sensor, and its log of flows.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
};

use model::Model;

use super::{asked::Asked, describe_model, log::Log};
use crate::{
    cli::{
        fault::{Fault, code},
        setup::{self, Setup, output},
    },
    config::Format,
    features::Row,
    flow::{FlowRecord, Stats},
    learn::Decision,
    metrics::{Id, Metrics},
    pipeline::{Listener, Memory, News, Watched},
    score::{Kind, Scored, count, several},
    sink::{json, rollup::facts, store::Facts, table::Style},
    time::{self, Stamp},
};

/// What a person and the log see.
pub(super) struct Screen<'a> {
    asked: &'a Asked,
    setup: &'a Setup,
    metrics: &'a Metrics,
    log: Log,
    /// Rows since the last flush.
    unflushed: u64,
    /// Whether the log could not be written; said once, and tried again.
    failing: bool,
    reader_gone: bool,
    path: PathBuf,
    style: Style,
    tenths: usize,
    /// Where it is noted for those who look at what was stored.
    pub(super) facts: Option<Facts>,
}

impl<'a> Screen<'a> {
    pub(super) fn new(asked: &'a Asked, metrics: &'a Metrics) -> Result<Self, Fault> {
        let (setup, to_stdout) = (&asked.setup, asked.to_stdout);
        let path = if to_stdout {
            PathBuf::from("-")
        } else {
            setup.folder().join("live_capture_log.csv")
        };
        let log = if to_stdout {
            Log::to(output(&path)?)
        } else {
            Log::file(path.clone(), setup.config.output.log_bytes)
        };
        let log = log.map_err(|error| Fault::file(&path, &error, code::FAILED))?;
        Ok(Self {
            asked,
            setup,
            metrics,
            log,
            unflushed: 0,
            failing: false,
            reader_gone: false,
            path,
            style: Style::stdout(),
            tenths: 0,
            facts: None,
        })
    }

    /// Says of a model that it is in use, wherever that is asked.
    fn in_use(&self, model: &Model) {
        describe_model(self.metrics, model);
        if let Some(facts) = &self.facts {
            facts.put("model", facts::model(model));
        }
    }

    fn wrote(&mut self, result: std::io::Result<bool>) {
        if matches!(result, Ok(false)) {
            return;
        }
        let state = if result.is_ok() { "written" } else { "lost" };
        self.metrics.add(Id::LogRowsTotal, &[state], 1.0);
        self.unflushed += 1;
        self.check(&result.map(drop));
    }

    fn check(&mut self, result: &std::io::Result<()>) {
        match result {
            Ok(()) => self.failing = false,
            Err(error)
                if self.asked.to_stdout && error.kind() == std::io::ErrorKind::BrokenPipe =>
            {
                self.reader_gone = true;
            }
            Err(error) if !self.failing => {
                self.failing = true;
                let path = self.path.display();
                self.setup.note(&format!(
                    "warning: {path}: {error}; rows are lost until it works again"
                ));
            }
            Err(_) => {}
        }
    }

    fn say(&mut self, line: &str) {
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            self.reader_gone = true;
        }
    }

    pub(super) fn finish(mut self, watched: &Watched) -> Result<(), Fault> {
        let ledger = &watched.ledger;
        let text = format!(
            "watched {} in {} over {}; {}, {}, {} of them told; {} packets in no flow for want of room, {} unaccounted",
            several(ledger.seen as f64, "packet"),
            several(watched.flows as f64, "flow"),
            time::words(watched.seconds),
            several(watched.anomalous as f64, "anomalous flow"),
            several(watched.incidents as f64, "incident"),
            watched.told,
            ledger.overflow(),
            ledger.unaccounted()
        );
        let flushed = self.log.flush();
        self.check(&flushed);
        self.setup.note(&text);
        if !watched.has_model {
            self.setup
                .note("stopped while still learning; nothing was scored");
        }
        if self.reader_gone {
            return Err(Fault::new(0, ""));
        }
        Ok(())
    }
}

impl Listener for Screen<'_> {
    fn learning(&mut self, have: usize, want: usize) {
        // A line for each tenth: a log keeps it, and a terminal is not flooded.
        let tenths = (have * 10 / want.max(1)).min(10);
        if tenths > self.tenths {
            self.tenths = tenths;
            self.setup.note(&format!(
                "learning what is usual: {} of {} flow records",
                count(have as f64),
                count(want as f64)
            ));
        }
    }

    fn learned(&mut self, model: &Model) {
        self.in_use(model);
        self.setup.note(&format!(
            "learned from {} flow records; watching (threshold {})",
            count(model.info().rows as f64),
            model.threshold()
        ));
        if model.threshold().is_infinite() {
            self.setup.note(setup::TOO_FEW);
        }
    }

    fn flow(&mut self, record: &FlowRecord, row: &Row, verdict: Option<&Scored>) {
        let result = self.log.flow(record, row, verdict);
        self.wrote(result);
    }

    fn decided(&mut self, decision: &Decision) {
        match decision {
            Decision::Promoted(model) => {
                self.in_use(model);
                self.setup
                    .note("learned anew from this traffic; in use now");
                self.asked.keep(model);
            }
            Decision::Refused(why) => self.setup.note(&format!(
                "learned anew, and kept the model in use: {}",
                why.name()
            )),
            Decision::RolledBack(model, failing) => {
                self.in_use(model);
                self.setup.note(&format!(
                    "warning: the new model {failing}; the one before is in use again"
                ));
                self.asked.keep(model);
            }
        }
    }

    fn memory(&mut self, memory: &Memory) {
        let path = self.setup.store().folder().join("memory.bin");
        let path = path.display();
        self.setup.note(&match memory {
            Memory::Restored(rows) => format!("remembered {rows} flow records of earlier"),
            Memory::Unusable(error) => {
                format!("warning: {path}: {error}; what was remembered is lost, and remembering begins anew")
            }
            Memory::Unwritten(error) => {
                format!("warning: {path}: {error}; a restart will forget what was learned since")
            }
        });
    }

    fn unkept(&mut self, error: &std::io::Error) {
        let folder = self.setup.folder().join("evidence");
        self.setup.note(&format!(
            "warning: {}: {error}; evidence is lost until it works again",
            folder.display()
        ));
    }

    fn replaced(&mut self, model: &Model) {
        self.in_use(model);
        self.setup.note(&format!(
            "another model is in use now: {} (threshold {})",
            &model.digest()[..8],
            model.threshold()
        ));
    }

    fn incident(&mut self, news: &News<'_>) {
        let incident = news.incident;
        let is_taken = self.asked.to_stdout || super::writers::take_stdout(&self.setup.config);
        if is_taken || !news.stage.is_telling() {
            return;
        }
        let line = match self.setup.config.output.format {
            Format::Json => json::incident(incident).to_string(),
            _ => {
                let severity = incident.severity();
                let why = match incident.worst.reasons.first() {
                    Some(reason) if incident.kind == Kind::UnusualFlow => {
                        format!(" ({reason})")
                    }
                    _ => String::new(),
                };
                format!(
                    "{}  {}  {}: {}{why}",
                    Stamp(incident.last).clock(),
                    self.style.severity(severity, &format!("{severity:8}")),
                    self.style.bold(incident.kind.name()),
                    incident.sentence()
                )
            }
        };
        self.say(&line);
    }

    fn pressed(&mut self, is_pressed: bool, stats: &Stats) {
        self.setup.note(&if is_pressed {
            "half-open flows pour in: those that repeat themselves are accounted by prefix until it is over".to_owned()
        } else {
            format!(
                "the flood of half-open flows is over; {} packets so far were accounted by prefix",
                count(stats.aggregated.packets as f64)
            )
        });
    }

    fn epoch(&mut self) {
        // At a terminal the log is for later; a pipe wants it now.
        if self.unflushed > 0 && (!self.asked.to_stdout || !std::io::stdout().is_terminal()) {
            self.unflushed = 0;
            let flushed = self.log.flush();
            self.check(&flushed);
        }
    }
}
