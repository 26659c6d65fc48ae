//! `run`: captures in; features, model, predictions, summary and report out.

mod keep;
mod next;
mod top;

use std::{collections::HashMap, io::Write, path::Path, sync::Arc};

use model::Model;

pub(super) use self::top::Top;
use super::{
    args::Run,
    draft::Draft,
    fault::{Fault, code},
    setup::{Flags, Setup, host_logs, is_stdout, make_folder, output, show, stdout},
};
use crate::{
    capture::{frames::FramesError, input::is_standard_input},
    config::Format,
    pipeline::{
        self, HostLogs, Spooled, Summary,
        evidence::{self, Keep},
    },
    score::{Scored, Severity, count},
    sink::{
        csv::FlowCsv,
        report::Tally,
        summary::{self, Findings},
        table::Style,
        told::{self, Told},
    },
};

pub(super) fn run(args: &Run) -> Result<u8, Fault> {
    let to_stdout = args.output.as_deref().is_some_and(is_stdout);
    let folder = args.output.as_ref().filter(|_| !to_stdout);
    let flags = Flags::default()
        .timeouts(&args.timeouts)
        .training(&args.training)
        .alerts(&args.alerts)
        .format(args.summary.format)
        .add("output.top", args.top, "--top")
        .add(
            "output.folder",
            folder.map(|path| path.display().to_string()),
            "--output",
        );
    let mut setup = Setup::new(&args.common, &flags)?.ending_when_told()?;
    pipeline::check(&args.captures.paths)?;
    let inputs = pipeline::spool(&args.captures.paths, setup.stop.as_ref())
        .map_err(|error| Fault::new(code::FAILED, format!("cannot keep the input: {error}")))?;
    if setup.is_told_to_stop() {
        // So ends a recording that comes by a pipe. All of it is used.
        setup.stop = None;
    }
    work(args, &setup, &inputs, to_stdout).map_err(|fault| Fault {
        message: inputs.in_words(&fault.message),
        ..fault
    })
}

fn work(args: &Run, setup: &Setup, inputs: &Spooled, to_stdout: bool) -> Result<u8, Fault> {
    if !to_stdout {
        make_folder(setup.folder())?;
    }
    let mut logs = host_logs(setup, &args.logs, &inputs.inputs)?;
    if setup.is_told_to_stop() {
        return Err(Fault::interrupted("nothing was written"));
    }
    let mut read = setup.stages();
    let (model, learned) = match &args.model.name {
        Some(wanted) => {
            let path = setup.model_path(Some(wanted))?;
            let model = setup.model(Some(wanted))?;
            let learned = format!("Scored with the model {}.", path.display());
            (model, learned)
        }
        None => learn(setup, inputs, logs.as_ref(), &mut read, to_stdout)?,
    };
    let stores = !to_stdout && setup.config.store.enabled;
    let lists = if to_stdout {
        Arc::default()
    } else {
        super::intel::configured(setup)
    };
    let mut kept = stores.then(|| keep::Keep::new(setup, Arc::clone(&lists)));
    let SecondPass {
        summary,
        top,
        tally,
        processes,
    } = score(
        setup,
        inputs,
        &model,
        (logs.as_mut(), kept.as_mut()),
        read,
        to_stdout,
    )?;
    setup.damage(&summary.pass);
    let interrupted = setup.interrupted(&summary.pass);
    setup.told(&summary);
    let log_findings = logs.as_mut().map(HostLogs::findings).unwrap_or_default();
    let flows = summary
        .told()
        .into_iter()
        .map(|incident| Told::Flows(incident, processes.get(&incident.worst.flow).cloned()));
    let log = log_findings.ranked().into_iter().map(Told::Log);
    let told = told::ranked(flows.chain(log).collect());
    let words = logs.as_ref().map(HostLogs::words).unwrap_or_default();
    let findings = findings(setup, args, &summary, &model, learned, (&top, told, words));
    if !to_stdout {
        keep_evidence(setup, inputs, &summary, &model)?;
    }
    if let Some(kept) = kept {
        kept.store(setup, &args.captures.paths, &summary, &model)?;
    }
    let worst = findings
        .incidents
        .iter()
        .map(|incident| incident.severity())
        .max();
    if !to_stdout {
        super::report::of_run(setup, &findings, &tally, &model, &lists)?;
        print(setup, args.model.name.as_deref(), &findings)?;
    }
    let fail = args.fail_on.map(Severity::from);
    Ok(match (fail, worst) {
        (Some(fail), Some(worst)) if worst >= fail => code::FINDINGS,
        _ => interrupted,
    })
}

/// Flow records below which a baseline is thin.
const FEW_ROWS: u64 = 500;

/// First pass: features to a file, a sample to the model. If it is stopped, `read` is then what the second one is to read.
fn learn(
    setup: &Setup,
    inputs: &Spooled,
    logs: Option<&HostLogs>,
    read: &mut pipeline::Settings,
    to_stdout: bool,
) -> Result<(Model, String), Fault> {
    let bar = setup.progress("reading", &inputs.inputs);
    let features = setup.folder().join("pcap_features.csv");
    let failed = |error| Fault::file(&features, &error, code::FAILED);
    let (draft, mut table) = if to_stdout {
        (None, None)
    } else {
        let (draft, out) = Draft::written(&features)?;
        let table = FlowCsv::new(out, false).map_err(failed)?;
        (Some(draft), Some(table))
    };
    let learned = pipeline::train_on_captures(
        &inputs.inputs,
        read,
        &setup.training(),
        &mut |tick| show(&bar, tick),
        &mut |record, row| match &mut table {
            Some(table) if record.is_final() => {
                let mut row = *row;
                if let Some(logs) = logs {
                    logs.fill(record, &mut row);
                }
                Ok(table.flow(record, &row)?)
            }
            _ => Ok(()),
        },
    );
    bar.finish_and_clear();
    let learned = learned.map_err(|error| Fault::of_pass(&features, error))?;
    if let (Some(draft), Some(table)) = (draft, table) {
        drop(table.finish().map_err(failed)?);
        draft.keep()?;
    }
    if learned.pass.stopped {
        read.epochs = learned.pass.epochs;
    }
    if setup.is_told_to_stop() {
        // What was learned from is scored.
        read.stop = None;
    }
    let name = if to_stdout {
        "not kept".to_owned()
    } else {
        setup.store().add(&learned.model)?
    };
    let rows = count(learned.model.info().rows as f64);
    let mut text = format!(
        "Learned what is usual from {rows} records of these flows, as they ended and before (model {name})"
    );
    if learned.desperate {
        text.push_str(
            "; with so little traffic, flows that behave like an attack had to be among them",
        );
    } else if learned.left_out > 0 {
        text.push_str(&format!(
            ", leaving out {} that behave like an attack",
            count(learned.left_out as f64)
        ));
    }
    text.push('.');
    if learned.model.info().rows < FEW_ROWS {
        text.push_str(" That is little to tell what is usual by: p-values are coarse.");
    }
    Ok((learned.model, text))
}

/// Processes behind flows, by flow id.
type Processes = HashMap<u64, String>;

/// Flows of incidents whose process is remembered.
const PROCESSES_MAX: usize = 1 << 16;

/// What scoring gives.
struct SecondPass {
    summary: Summary,
    /// The most anomalous flows, explained.
    top: Vec<Scored>,
    /// What a report says of all flows.
    tally: Tally,
    /// Behind flows that are part of an incident.
    processes: Processes,
}

/// Second pass: the same traffic scored.
fn score(
    setup: &Setup,
    inputs: &Spooled,
    model: &Model,
    (mut logs, mut kept): (Option<&mut HostLogs>, Option<&mut keep::Keep>),
    read: pipeline::Settings,
    to_stdout: bool,
) -> Result<SecondPass, Fault> {
    let is_part = read.epochs < u64::MAX;
    let bar = setup.progress("scoring", &inputs.inputs);
    let path = if to_stdout {
        stdout()
    } else {
        setup.folder().join("predictions.csv")
    };
    let failed = |error| Fault::file(&path, &error, code::FAILED);
    let (draft, out) = Draft::written(&path)?;
    let mut table = FlowCsv::new(out, true).map_err(failed)?;
    let mut top = Top::new(setup.config.output.top);
    let mut processes = Processes::new();
    let summary = pipeline::score_capture(
        &inputs.inputs,
        &pipeline::Settings {
            mutes: setup.mutes(kept.is_some())?,
            ..read
        },
        model,
        &mut |tick| show(&bar, tick),
        &mut |scored, _| {
            if let Some(kept) = &mut kept {
                kept.absorb(scored);
            }
            let Some(logs) = &mut logs else {
                top.offer(scored);
                return Ok(table.scored(scored)?);
            };
            let mut scored = scored.clone();
            let view = logs.fill(&scored.record, &mut scored.row);
            logs.tally(&view);
            if scored.kind.is_some()
                && processes.len() < PROCESSES_MAX
                && let Some(process) = logs.process(&scored.record)
            {
                processes.insert(scored.record.id, process);
            }
            top.offer(&scored);
            Ok(table.scored(&scored)?)
        },
    );
    bar.finish_and_clear();
    let mut summary = summary.map_err(|error| Fault::of_pass(&path, error))?;
    // Stopped is what either pass was stopped in.
    summary.pass.stopped |= is_part;
    drop(table.finish().map_err(failed)?);
    draft.keep()?;
    let tally = std::mem::take(&mut top.tally);
    Ok(SecondPass {
        summary,
        top: top.explained(model),
        tally,
        processes,
    })
}

/// Third pass: packets of the gravest incidents, beside what was made of them.
fn keep_evidence(
    setup: &Setup,
    inputs: &Spooled,
    summary: &Summary,
    model: &Model,
) -> Result<(), Fault> {
    let incidents = summary.told();
    let keep = Keep {
        alerts: setup.config.evidence.alerts,
        bytes_per_alert: setup.config.evidence.bytes_per_alert,
    };
    let folder = setup.folder().join("evidence");
    if keep.alerts == 0 || incidents.is_empty() {
        return Ok(());
    }
    let digests = (&*model.digest(), &*setup.digest);
    let packets = match summary.pass.stopped {
        true => summary.pass.replay.packets,
        false => u64::MAX,
    };
    evidence::keep(
        (&inputs.inputs[..], packets),
        &incidents,
        digests,
        &setup.stages(),
        keep,
        &folder,
    )
    .map_err(|error| match error {
        FramesError::Output(error) => Fault::file(&folder, &error, code::FAILED),
        FramesError::Capture(error) => error.into(),
    })?;
    Ok(())
}

fn findings<'a>(
    setup: &Setup,
    args: &Run,
    summary: &'a Summary,
    model: &Model,
    learned: String,
    (top, incidents, logs): (&'a [Scored], Vec<Told<'a>>, Vec<String>),
) -> Findings<'a> {
    let name = |path: &Path| match is_standard_input(path) {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    Findings {
        inputs: args.captures.paths.iter().map(|path| name(path)).collect(),
        damage: summary.pass.warnings(),
        ledger: summary.pass.ledger,
        seconds: summary.pass.seconds,
        flows: summary.flows,
        anomalous: summary.anomalous,
        histogram: &summary.histogram,
        threshold: model.threshold(),
        model: model.digest()[..16].to_owned(),
        learned,
        incidents,
        logs,
        top,
        shown: setup.config.output.top,
    }
}

fn print(setup: &Setup, model: Option<&str>, findings: &Findings<'_>) -> Result<(), Fault> {
    let mut out = output(&stdout())?;
    match setup.config.output.format {
        Format::Table => {
            summary::table(&mut out, findings, Style::stdout())?;
            next::write(&mut out, setup, model, findings)?;
        }
        Format::Csv => summary::csv(&mut out, findings)?,
        Format::Json => writeln!(out, "{:#}", summary::value(findings))?,
    }
    out.flush()?;
    Ok(())
}
