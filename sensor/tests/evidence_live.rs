//! Evidence of a live sensor, over the demo capture as if its packets came now: what is kept holds, what is lost is counted, and
//! nothing grows.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use model::{Model, Published};
use sensor::{
    capture::{
        Capture, CaptureError, Copies, CopyCounts, CopySettings, Epoch, Progress, Record, frames,
        link::{self, LinkType},
        replay::{self, Replay},
    },
    features::model_row,
    metrics::Metrics,
    pipeline::{
        self, Batch, Health, Learning, Listener, LiveCapture, News, Training, Watch,
        evidence::{self, Keep, LiveSettings, Recorder},
    },
};
use sensor_ebpf::{flow::FlowKey, frame::Parsed};

fn demo() -> Vec<PathBuf> {
    vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/office.pcap.zst")]
}

fn settings() -> pipeline::Settings {
    let mut settings = pipeline::Settings::default();
    settings.flow.checkpoints = true;
    settings
}

fn model() -> Model {
    let mut rows = model::Rows::with_columns(sensor::features::MODEL_COUNT);
    let mut fill = |batch: &mut Batch| {
        for (_, row) in batch.drain(..) {
            rows.push(&model_row(&row));
        }
        Ok(())
    };
    pipeline::flows(&demo(), &settings(), &mut |_| {}, &mut fill).expect("the demo");
    let how = model::Settings {
        trees: 40,
        threads: 1,
        ..model::Settings::default()
    };
    Model::train(&rows, &sensor::features::schema(), &how).expect("a model")
}

/// A frame of the capture.
type Frame = (u64, LinkType, u32, Vec<u8>);

/// A capture file that pretends to be an interface, and copies packets as one would.
struct Pretended {
    replay: Replay,
    frames: VecDeque<Frame>,
    copies: Copies,
    watched: u64,
}

impl Pretended {
    fn new(copies: CopySettings) -> Self {
        let mut all = VecDeque::new();
        frames::each(&demo(), &mut |record| {
            let frame = record.frame.to_vec();
            all.push_back((record.time, record.link, record.wire_length, frame));
            Ok(())
        })
        .expect("the demo");
        Self {
            replay: Replay::open(&demo(), replay::Settings::default()).expect("the demo"),
            frames: all,
            copies: Copies::new(copies),
            watched: 0,
        }
    }
}

impl Capture for Pretended {
    fn next_epoch(&mut self, epoch: &mut Epoch) -> Result<Progress, CaptureError> {
        let progress = self.replay.next_epoch(epoch)?;
        let end = (epoch.index + 1) << sensor_ebpf::flow::EPOCH_SHIFT;
        while self.frames.front().is_some_and(|frame| frame.0 < end) {
            let Some((time, link, wire_length, frame)) = self.frames.pop_front() else {
                break;
            };
            if let Parsed::Flow(packet) = link::parse(link, &frame) {
                let record = Record {
                    time,
                    link,
                    wire_length,
                    frame: &frame,
                };
                self.copies.offer(&packet.key, &record);
            }
        }
        Ok(progress)
    }
}

impl LiveCapture for Pretended {
    fn health(&self) -> Health {
        Health::default()
    }
    fn watch(&mut self, key: &FlowKey, packets: u32) -> bool {
        self.watched += 1;
        self.copies.watch(key, packets)
    }
    fn unwatch(&mut self, key: &FlowKey) {
        self.copies.unwatch(key);
    }
    fn copies(&mut self, each: &mut dyn FnMut(&Record<'_>)) -> CopyCounts {
        self.copies.take(each);
        self.copies.counts()
    }
}

#[derive(Default)]
struct Witness {
    told: Vec<String>,
    troubles: usize,
}

impl Listener for Witness {
    fn incident(&mut self, news: &News<'_>) {
        if news.stage.is_telling() {
            self.told.push(news.incident.id());
        }
    }
    fn unkept(&mut self, _: &io::Error) {
        self.troubles += 1;
    }
}

fn kept(folder: &Path) -> LiveSettings {
    LiveSettings {
        folder: folder.to_owned(),
        keep: Keep {
            alerts: 20,
            bytes_per_alert: 1 << 20,
        },
        bytes_in_all: 1 << 28,
        watch_p_value: 0.05,
        watch_packets: 64,
        memory_bytes: 16 << 20,
        config: "0".repeat(64),
    }
}

/// Watches the demo; what was told, flows that were watched, and the metrics.
fn watch(model: &Model, kept: LiveSettings, first_packets: u32) -> (Witness, u64, String) {
    let learning = Learning {
        training: Training {
            model: model::Settings::default(),
            rows: 10_000,
            trusting: false,
        },
        flows: 10_000,
        time: None,
        retrain: None,
    };
    let metrics = Metrics::new();
    let mut source = Pretended::new(CopySettings {
        bytes: 128,
        first_packets,
        waiting_bytes: 4 << 20,
    });
    let mut witness = Witness::default();
    Watch::new(
        &settings(),
        Some(Arc::new(Published::new(model.clone()))),
        &learning,
        &metrics,
    )
    .recording(Recorder::new(kept, &settings()))
    .run(
        &mut source,
        &mut |model| Arc::new(Published::new(model)),
        &mut witness,
    )
    .expect("watched");
    (witness, source.watched, metrics.text())
}

fn bundles(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.expect(name).parse().expect("a number")
}

#[test]
fn every_alert_of_a_live_sensor_comes_out_again() {
    let here = tempfile::tempdir().expect("a folder");
    let model = model();
    let (witness, watched, metrics) = watch(&model, kept(here.path()), 1 << 20);
    assert!(witness.told.len() >= 10, "{:?}", witness.told);
    assert_eq!(witness.troubles, 0);
    assert!(watched > 0);
    let folders = bundles(here.path());
    let mut told = witness.told.clone();
    told.sort();
    told.dedup();
    assert_eq!(folders.len(), told.len());
    let whole = folders
        .iter()
        .map(|folder| evidence::replay(folder, &model).expect("it holds"))
        .filter(|replayed| replayed.features > 90)
        .count();
    assert!(whole * 2 > folders.len(), "{whole} of {}", folders.len());
    let copied = metric(
        &metrics,
        "anomaly_detect_evidence_packets_total{state=\"copied\"}",
    );
    assert!(copied > 1000.0, "{copied}");
    let bytes = metric(&metrics, "anomaly_detect_evidence_bytes{where=\"disk\"}");
    let on_disk = folders.iter().flat_map(|folder| {
        let files = fs::read_dir(folder).expect("a folder").flatten();
        files.map(|file| file.metadata().expect("a file").len())
    });
    assert_eq!(bytes, on_disk.sum::<u64>() as f64);
}

/// Without the first packets of every flow there are those that a score asked for.
#[test]
fn watched_flows_leave_packets_and_others_do_not() {
    let here = tempfile::tempdir().expect("a folder");
    let (_, watched, metrics) = watch(&model(), kept(here.path()), 0);
    assert!(watched > 0);
    let copied = metric(
        &metrics,
        "anomaly_detect_evidence_packets_total{state=\"copied\"}",
    );
    assert!(copied > 0.0 && copied <= 64.0 * watched as f64, "{copied}");
}

#[test]
fn all_bounds_are_kept_and_what_they_cost_is_counted() {
    let here = tempfile::tempdir().expect("a folder");
    let tight = LiveSettings {
        keep: Keep {
            alerts: 2,
            bytes_per_alert: 4096,
        },
        bytes_in_all: 150_000,
        memory_bytes: 100_000,
        ..kept(here.path())
    };
    let (_, _, metrics) = watch(&model(), tight, 1 << 20);
    let total = |name: &str| metric(&metrics, &format!("anomaly_detect_evidence_{name}"));
    assert!(total("bytes{where=\"disk\"}") <= 150_000.0);
    assert!(total("bytes{where=\"memory\"}") <= 100_000.0);
    for name in [
        "bundles_total{state=\"removed\"}",
        "packets_total{state=\"aged_out\"}",
        "packets_total{state=\"left_out\"}",
    ] {
        assert!(total(name) > 0.0, "{name}");
    }
    for folder in bundles(here.path()) {
        let packets = fs::metadata(folder.join("packets.pcapng")).expect("packets");
        // Half for the flow, half for its host; comments and headers come on top.
        assert!(packets.len() < 4096 + 8192, "{}", packets.len());
    }
}

/// A folder that cannot be written is said once, counted each time, and the sensor goes on.
#[test]
fn a_disk_that_fails_is_said_once_and_the_sensor_goes_on() {
    let here = tempfile::tempdir().expect("a folder");
    let file = here.path().join("file");
    fs::write(&file, "in the way").expect("a file");
    let (witness, _, metrics) = watch(&model(), kept(&file.join("evidence")), 4);
    assert_eq!(witness.troubles, 1);
    let failed = metric(
        &metrics,
        "anomaly_detect_evidence_bundles_total{state=\"failed\"}",
    );
    assert!(failed >= witness.told.len() as f64, "{failed}");
}
