//! The command line.
use crate::{
    pipeline,
    sink::{
        csv::FlowCsv,
        table::{self, Style},
    },
};
use std::{io::Write, path::PathBuf, process::ExitCode};

/// Runs the program; never panics on bad input.
pub fn main() -> ExitCode {
    let inputs: Vec<PathBuf> = std::env::args_os().skip(2).map(PathBuf::from).collect();
    let settings = pipeline::Settings::default();
    let (model, _) = pipeline::train_on_captures(
        &inputs,
        &settings,
        &model::Settings::default(),
        200_000,
        &mut |_| {},
        &mut |_, _| Ok(()),
    )
    .unwrap();
    let mut csv = FlowCsv::new(
        std::io::BufWriter::new(std::fs::File::create("/tmp/predictions.csv").unwrap()),
        true,
    )
    .unwrap();
    let summary =
        pipeline::score_capture(&inputs, &settings, &model, &mut |_| {}, &mut |scored, _| {
            Ok(csv.scored(scored)?)
        })
        .unwrap();
    csv.finish().unwrap();
    println!(
        "{} flows, {} anomalous, {} scored, {} incidents",
        summary.flows,
        summary.anomalous,
        summary.scored,
        summary.incidents.len()
    );
    let mut out = std::io::stdout().lock();
    let style = Style::stdout();
    for (rank, incident) in summary.incidents.ranked().iter().take(10).enumerate() {
        writeln!(
            out,
            "{}. {:8} {} [{:.1}] p={:.1e} anomalous {}/{}",
            rank + 1,
            incident.severity(),
            incident.kind,
            incident.evidence(),
            incident.worst.p_value,
            incident.anomalous,
            incident.flows
        )
        .unwrap();
        table::paragraph(&mut out, &incident.sentence(), "   ", style.width).unwrap();
        for reason in &incident.worst.reasons {
            table::paragraph(&mut out, &reason.to_string(), "     - ", style.width).unwrap();
        }
    }
    ExitCode::SUCCESS
}
