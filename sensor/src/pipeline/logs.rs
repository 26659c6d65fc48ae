//! Host logs beside captures: read, their clocks set by the captures, joined with the flows.

use std::path::PathBuf;

use super::{Error, Settings, Tick, flows};
use crate::{
    features::{self, Row},
    flow::FlowRecord,
    logs::{self, Context, Event, Findings, Join, JoinReport, Losses, Offset, ReadError, View},
    score::{count, several},
};

/// Events held at once; what is beyond is left out and counted.
const EVENTS_MAX: usize = 8_000_000;

/// Logs of hosts, ready to be joined with flows.
#[derive(Debug)]
pub struct HostLogs {
    events: Vec<Event>,
    join: Join,
    losses: Losses,
    left_out: u64,
    files: usize,
}

impl HostLogs {
    /// Reads logs: files, and folders of them.
    ///
    /// # Errors
    /// [`ReadError`]: a path is not there, or no event log.
    pub fn read(paths: &[PathBuf]) -> Result<Self, ReadError> {
        let mut all = Self {
            events: Vec::new(),
            join: Join::default(),
            losses: Losses::default(),
            left_out: 0,
            files: 0,
        };
        for file in logs::inputs(paths)? {
            let report = logs::read(&file, &mut |event| {
                if all.events.len() < EVENTS_MAX {
                    all.join.absorb(&event);
                    all.events.push(event);
                } else {
                    all.left_out += 1;
                }
            })?;
            all.losses.merge(&report.losses);
            all.files += 1;
        }
        Ok(all)
    }

    /// Reads the captures once to set the clocks of the logs by them.
    ///
    /// # Errors
    /// What the captures say.
    pub fn set_clocks(
        &mut self,
        captures: &[PathBuf],
        settings: &Settings,
        tick: &mut dyn FnMut(Tick),
    ) -> Result<(), Error> {
        flows(captures, settings, tick, &mut |batch| {
            for (record, _) in batch.iter().filter(|(record, _)| record.is_final()) {
                self.join.compare(record);
            }
            Ok(())
        })?;
        self.join.settle();
        Ok(())
    }

    /// Fills in what the logs say of a flow.
    pub fn fill(&self, record: &FlowRecord, row: &mut Row) -> View {
        let view = self.join.view(record);
        features::fill_log(row, &view);
        view
    }

    /// Counts a flow that ended in the report.
    pub fn tally(&mut self, view: &View) {
        self.join.tally(view);
    }

    /// The process behind a flow in words, for example `powershell.exe on pc5`.
    pub fn process(&self, record: &FlowRecord) -> Option<String> {
        let process = self.join.process(record)?;
        Some(format!("{} on {}", process.program, process.host))
    }

    /// What the events add up to, in the time of the capture.
    pub fn findings(&mut self) -> Findings {
        for event in &mut self.events {
            let add = self.join.add_ns(&event.computer);
            event.time = event.time.map(|time| time.saturating_add_signed(add));
        }
        self.events.sort_by_key(|event| event.time);
        let (mut context, mut findings) = (Context::default(), Findings::default());
        for event in &self.events {
            let row = context.absorb(event);
            findings.absorb(event, &row);
        }
        findings
    }

    /// How well flows and logs fit together.
    pub fn report(&self) -> &JoinReport {
        self.join.report()
    }

    /// The same in words, a line each.
    pub fn words(&self) -> Vec<String> {
        let report = self.report();
        let share = |part: u64| 100.0 * part as f64 / (report.flows.max(1)) as f64;
        let mut lines = vec![
            format!(
                "Joined with {} of {} from {}: {} of {} ({:.1} %), {} of them ({:.1} %) with their process",
                several(self.events.len() as f64, "event"),
                several(report.clocks.len() as f64, "host"),
                several(self.files as f64, "log file"),
                count(report.joined as f64),
                several(report.flows as f64, "flow"),
                share(report.joined),
                count(report.named as f64),
                share(report.named),
            ),
            clock_words(report),
        ];
        if self.losses.total() > 0 {
            lines.push(format!("Not readable in the logs: {}", self.losses));
        }
        if self.left_out + report.forgotten > 0 {
            lines.push(format!(
                "Left out for want of room: {} events",
                self.left_out + report.forgotten
            ));
        }
        lines
    }
}

fn clock_words(report: &JoinReport) -> String {
    let Some(all) = report.clock else {
        return "Clock of the logs: too few connections are in both to compare; taken as the capture's".to_owned();
    };
    let own = report.clocks.iter().filter_map(|(host, offset)| {
        offset.map(|offset| format!("{host} {:+.1} s ({})", offset.seconds(), offset.agree))
    });
    let zone = match all.zone_hours() {
        0 => String::new(),
        hours => format!(", a time zone of {hours:+} h"),
    };
    let Offset { agree, matches, .. } = all;
    format!(
        "Clock of the logs: {:+.1} s added{zone}; {agree} of {matches} connections in both agree: {}",
        all.seconds(),
        own.collect::<Vec<_>>().join(", ")
    )
}
