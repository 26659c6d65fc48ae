//! Flows in files for other programs, read by libraries of others: Parquet by Arrow, conn.log by zat, EVE by a JSON Schema.

#[path = "../cli_support/mod.rs"]
mod cli;
mod conn_log;
mod eve;
mod parquet;
#[path = "../support/python.rs"]
mod python;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use sensor::{
    config::{Config, Layers},
    pipeline,
    score::Stage,
    sink::{
        alert::Alert,
        message::{EndedFlow, Message, Verdict},
    },
};

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/office.pcap.zst")
}

fn config(keys: &[(&str, &str)]) -> Config {
    let mut layers = Layers::default();
    for (key, value) in keys {
        layers.flag(key, value, "--set").expect("a key");
    }
    Config::from_layers(&layers).expect("settings")
}

/// The capture of the project as a live sensor tells it: flows without a verdict while it learns, then with one, and incidents.
fn told() -> (Vec<EndedFlow>, Vec<Alert>) {
    let inputs = [demo()];
    let settings = pipeline::Settings::default();
    let training = pipeline::Training {
        model: model::Settings {
            trees: 20,
            ..model::Settings::default()
        },
        rows: 2000,
        trusting: false,
    };
    let learned =
        pipeline::train_on_captures(&inputs, &settings, &training, &mut |_| {}, &mut |_, _| {
            Ok(())
        })
        .expect("a model");
    let mut flows = Vec::new();
    let summary = pipeline::score_capture(
        &inputs,
        &settings,
        &learned.model,
        &mut |_| {},
        &mut |scored, _| {
            flows.push(EndedFlow {
                record: scored.record.clone(),
                row: scored.row,
                verdict: (flows.len() >= 100).then(|| Verdict::from(scored)),
                intel: Vec::new(),
            });
            Ok(())
        },
    )
    .expect("a capture");
    let stages = [Stage::New, Stage::Grown, Stage::Over];
    let alerts = summary
        .incidents
        .ranked()
        .into_iter()
        .flat_map(|incident| stages.map(|stage| Alert::of_flows(incident, stage)))
        .collect();
    (flows, alerts)
}

/// Messages as they come: what ended in one epoch together.
fn messages(flows: &[EndedFlow]) -> Vec<Message> {
    flows
        .chunk_by(|a, b| a.record.due == b.record.due)
        .map(|flows| Message::Flows(Arc::new(flows.to_vec())))
        .collect()
}

/// Names in a folder that end so, in order.
fn names(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    names.sort();
    names
}

/// How many flows a second each form takes, on this machine and in this build: told, not judged.
#[test]
fn how_fast_flows_are_written() {
    use sensor::sink::{conn_log::Lines, ipfix, outlet::Encode, parquet::Rows};
    let (flows, _) = told();
    let messages = messages(&flows);
    let mut forms: [(&str, Box<dyn Encode>); 4] = [
        (
            "IPFIX, biflows",
            Box::new(ipfix::Encoder::new(ipfix::Form {
                biflow: true,
                nanoseconds: false,
                message_bytes: 1400,
            })),
        ),
        ("rows for Parquet", Box::new(Rows::default())),
        ("conn.log", Box::new(Lines)),
        (
            "EVE",
            Box::new(sensor::sink::eve::Eve(sensor::sink::eve::Events {
                alert: false,
                anomaly: false,
                flow: true,
            })),
        ),
    ];
    for (name, encode) in &mut forms {
        let begun = std::time::Instant::now();
        let mut bytes = 0;
        const TIMES: usize = 5;
        for _ in 0..TIMES {
            for message in &messages {
                let mut parcels = Vec::new();
                encode.encode(message, &mut parcels);
                bytes += parcels.iter().map(Vec::len).sum::<usize>();
            }
        }
        let count = flows.len() * TIMES;
        println!(
            "{name}: {:.0} flows/s, {} bytes a flow",
            count as f64 / begun.elapsed().as_secs_f64(),
            bytes / count
        );
    }
}
