//! A live sensor over the demo capture, as if its packets came now: models are swapped and restarts survived, and no flow
//! goes without a score.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
};

use model::{Model, Published};
use sensor::{
    capture::{
        Capture, CaptureError, Epoch, Progress,
        replay::{self, Replay},
    },
    features::{Row, model_row},
    flow::FlowRecord,
    learn,
    metrics::Metrics,
    pipeline::{
        self, Batch, Health, Learning, Listener, LiveCapture, Memory, Retraining, Training, Watch,
        Watched,
    },
    score::{Judge, Scored},
};

pub(crate) fn demo() -> Vec<PathBuf> {
    vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/office.pcap.zst")]
}

/// A capture file that pretends to be an interface.
pub(crate) struct Pretended(pub(crate) Replay);

impl Capture for Pretended {
    fn next_epoch(&mut self, epoch: &mut Epoch) -> Result<Progress, CaptureError> {
        self.0.next_epoch(epoch)
    }
}

impl LiveCapture for Pretended {
    fn health(&self) -> Health {
        Health::default()
    }
}

pub(crate) fn settings() -> pipeline::Settings {
    let mut settings = pipeline::Settings::default();
    settings.flow.checkpoints = true;
    settings
}

/// Two models of the same traffic that score differently.
pub(crate) fn models() -> [Model; 2] {
    let mut rows = model::Rows::with_columns(sensor::features::MODEL_COUNT);
    let mut fill = |batch: &mut Batch| {
        for (_, row) in batch.drain(..) {
            rows.push(&model_row(&row));
        }
        Ok(())
    };
    pipeline::flows(&demo(), &settings(), &mut |_| {}, &mut fill).unwrap();
    [1, 2].map(|seed| {
        let how = model::Settings {
            seed,
            trees: 40,
            threads: 1,
            ..model::Settings::default()
        };
        Model::train(&rows, &sensor::features::schema(), &how).unwrap()
    })
}

/// Sees what a person would, and does something at some epoch.
#[derive(Default)]
struct Witness {
    flows: Vec<(Row, Option<f32>)>,
    epochs: u64,
    replaced: Vec<(usize, String)>,
    restored: Option<usize>,
    troubles: Vec<String>,
    send: Option<(u64, Sender<Model>, Vec<Model>)>,
}

impl Listener for Witness {
    fn flow(&mut self, _: &FlowRecord, row: &Row, verdict: Option<&Scored>) {
        self.flows.push((*row, verdict.map(|scored| scored.score)));
    }
    fn memory(&mut self, memory: &Memory) {
        match memory {
            Memory::Restored(rows) => self.restored = Some(*rows),
            Memory::Unusable(error) | Memory::Unwritten(error) => {
                self.troubles.push(error.to_string());
            }
        }
    }
    fn replaced(&mut self, model: &Model) {
        self.replaced.push((self.flows.len(), model.digest()));
    }
    fn epoch(&mut self) {
        self.epochs += 1;
        if let Some((at, send, models)) = &self.send
            && *at == self.epochs
        {
            for model in models {
                send.send(model.clone()).unwrap();
            }
        }
    }
}

fn watch(
    first: Option<&Model>,
    memory: Option<PathBuf>,
    send: Option<(u64, Vec<Model>)>,
) -> (Witness, Watched) {
    let learning = Learning {
        training: Training {
            model: model::Settings {
                trees: 20,
                threads: 1,
                ..model::Settings::default()
            },
            rows: 10_000,
            trusting: false,
        },
        flows: 1_000_000,
        time: None,
        retrain: memory.map(|path| Retraining {
            settings: learn::Settings::default(),
            memory: Some(path),
        }),
    };
    let metrics = Metrics::new();
    let (sender, receiver) = channel();
    let mut witness = Witness {
        send: send.map(|(at, models)| (at, sender, models)),
        ..Witness::default()
    };
    let mut capture = Pretended(Replay::open(&demo(), replay::Settings::default()).unwrap());
    let first = first.map(|model| Arc::new(Published::new(model.clone())));
    let watched = Watch::new(&settings(), first, &learning, &metrics)
        .heeding(receiver)
        .run(
            &mut capture,
            &mut |model| Arc::new(Published::new(model)),
            &mut witness,
        )
        .unwrap();
    (witness, watched)
}

#[test]
fn a_swap_leaves_no_flow_without_a_score_and_none_between_two_models() {
    let [first, second] = models();
    // The same twice is no swap; of several at once the last counts.
    let sent = vec![first.clone(), second.clone()];
    let (seen, watched) = watch(Some(&first), None, Some((60, sent)));
    let [(at, digest)] = &seen.replaced[..] else {
        panic!("{:?}", seen.replaced)
    };
    assert_eq!(*digest, second.digest());
    assert_eq!(seen.flows.len() as u64, watched.flows);
    assert!(
        0 < *at && *at < seen.flows.len(),
        "{at} of {}",
        seen.flows.len()
    );
    let mut judge = Judge::default();
    for (place, (row, score)) in seen.flows.iter().enumerate() {
        let model = if place < *at { &first } else { &second };
        let expected = judge.score_row(model, row);
        assert_eq!(*score, Some(expected), "flow {place}");
    }
    // The model that is in use already is no news.
    let (seen, _) = watch(Some(&first), None, Some((60, vec![first.clone()])));
    assert!(seen.replaced.is_empty());
}

#[test]
fn a_model_that_a_person_chose_ends_the_learning_of_a_baseline() {
    let [first, _] = models();
    let (seen, watched) = watch(None, None, Some((60, vec![first.clone()])));
    assert!(watched.has_model);
    let scored = seen.flows.iter().position(|(_, score)| score.is_some());
    assert_eq!(scored, Some(seen.replaced[0].0));
}

#[test]
fn a_restart_remembers_and_damage_is_said() {
    let [first, _] = models();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.bin");
    let (seen, _) = watch(Some(&first), Some(path.clone()), None);
    assert_eq!((seen.restored, seen.troubles.len()), (None, 0));
    let (seen, _) = watch(Some(&first), Some(path.clone()), None);
    let rows = seen.restored.expect("nothing was restored");
    assert!(rows > 100, "{rows}");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (seen, _) = watch(Some(&first), Some(path.clone()), None);
    assert_eq!(
        (seen.restored, &seen.troubles[..]),
        (None, &["damaged".to_owned()][..])
    );
    // The watch ended and wrote a whole file again.
    let (seen, _) = watch(Some(&first), Some(path), None);
    assert!(seen.restored.is_some() && seen.troubles.is_empty());
    // A place that cannot be written is said, and no more.
    let (seen, _) = watch(
        Some(&first),
        Some(folder.path().join("none/memory.bin")),
        None,
    );
    assert_eq!(seen.troubles.len(), 1);
}
