//! A flow that ends as it was when it was looked at last keeps its row and its score: what is spared must change nothing.

use std::{collections::HashMap, path::Path};

use model::{Model, Settings};
use sensor::{
    capture::{Capture, Epoch, Progress, replay},
    features::{self, Row, model_row},
    pipeline::{self, Batch, Sample, Stages},
    score::Judge,
};

/// Hands every batch of the demo capture to `each`, as `run` does: after some 256 rows, or `most` epochs.
fn batches(most: usize, each: &mut dyn FnMut(&Batch)) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/office.pcap.zst");
    let mut replay = replay::Replay::open(&[path], replay::Settings::default()).expect("the demo");
    let mut stages = Stages::new(&pipeline::Settings::default());
    let (mut epoch, mut batch, mut epochs) = (Epoch::default(), Batch::new(), 0);
    while replay.next_epoch(&mut epoch).expect("readable") == Progress::Epoch {
        stages.observe(&epoch, &mut batch);
        epochs += 1;
        if batch.len() >= 256 || epochs % most == 0 {
            each(&batch);
            batch.clear();
        }
    }
    stages.finish(&mut batch);
    each(&batch);
}

fn bits(row: &Row) -> Vec<u32> {
    row.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn an_unchanged_flow_ends_with_the_row_it_had() {
    let mut latest: HashMap<u64, Vec<u32>> = HashMap::new();
    let (mut finals, mut unchanged) = (0, 0);
    batches(usize::MAX, &mut |batch| {
        for ((record, row), note) in batch.iter().zip(batch.notes()) {
            if record.is_final() {
                finals += 1;
                let before = latest.remove(&record.id);
                if note.unchanged {
                    unchanged += 1;
                    assert_eq!(before, Some(bits(row)), "{record:?}");
                }
            } else {
                assert!(!note.unchanged, "{record:?}");
                latest.insert(record.id, bits(row));
            }
        }
    });
    assert!(unchanged * 2 > finals, "{unchanged} of {finals} unchanged");
}

#[test]
fn remembered_scores_are_those_of_the_rows() {
    let mut sample = Sample::new(5_000, 1, false);
    batches(usize::MAX, &mut |batch| {
        for (record, row) in batch {
            sample.offer(record, row);
        }
    });
    let (rows, _) = sample.into_rows();
    let models = [1, 2].map(|seed| {
        let settings = Settings {
            seed,
            trees: 20,
            ..Settings::default()
        };
        Model::train(&rows, &features::schema(), &settings).expect("a model")
    });
    // In whole batches, epoch by epoch, and with the model swapped now and then.
    for (most, swap) in [(usize::MAX, usize::MAX), (1, usize::MAX), (1, 7)] {
        let (mut judge, mut taken) = (Judge::default(), 0);
        batches(most, &mut |batch| {
            let model = &models[taken / swap % 2];
            taken += 1;
            let scores = judge.score(model, batch);
            assert_eq!(scores.len(), batch.len());
            for ((record, row), score) in batch.iter().zip(scores) {
                let mut alone = [0.0];
                // Models are not asked about ARP.
                if !record.key.is_arp() {
                    model.scorer().score(&model_row(row), &mut alone);
                }
                assert_eq!(score.to_bits(), alone[0].to_bits(), "{record:?}");
            }
        });
    }
}
