//! Whatever bytes come, loading ends with a model or an error.

use crate::support::{schema, traffic};
use model::{LoadError, Model, Settings, Shape};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// A small model of each shape, and one with an autoencoder and peer groups.
static MODELS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    [
        (Shape::LevelShared, 0.0),
        (Shape::Ordinary, 0.0),
        (Shape::Ordinary, 0.5),
    ]
    .map(|(shape, autoencoder)| {
        let settings = Settings {
            shape,
            autoencoder,
            groups: vec!["port_0".into()],
            peers: autoencoder,
            // Enough held out for a group or two.
            holdout: if autoencoder > 0.0 { 0.9 } else { 0.2 },
            trees: 3,
            subsample: 64,
            ..Settings::default()
        };
        let rows = if autoencoder > 0.0 { 3000 } else { 600 };
        Model::train(&traffic(rows, 6, 1), &schema(6), &settings)
            .unwrap()
            .to_bytes()
    })
});

/// Puts right the checksums of bytes that were tampered with, so that what lies behind them is reached.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(36));
    let check = crc32fast::hash(&bytes);
    bytes.extend(check.to_le_bytes());
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

/// A way to damage a model.
#[derive(Clone, Debug)]
enum Damage {
    Set(usize, u8),
    Number(usize, u32),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (
            any::<usize>(),
            prop_oneof![
                any::<u32>(),
                Just(u32::MAX),
                Just(0),
                Just(0x7fc0_0000),
                0u32..300
            ]
        )
            .prop_map(|(at, number)| Damage::Number(at, number)),
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (any::<usize>(), 1usize..200).prop_map(|(at, count)| Damage::Remove(at, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let length = bytes.len().max(1);
    match damage {
        Damage::Set(at, byte) => {
            if let Some(there) = bytes.get_mut(at % length) {
                *there = *byte;
            }
        }
        Damage::Number(at, number) => {
            let at = at % length;
            if let Some(there) = bytes.get_mut(at..at + 4) {
                there.copy_from_slice(&number.to_le_bytes());
            }
        }
        Damage::Cut(at) => bytes.truncate(at % length),
        Damage::Insert(at, new) => {
            let at = at % length;
            bytes.splice(at..at, new.iter().copied());
        }
        Damage::Remove(at, count) => {
            let at = at % length;
            let end = bytes.len().min(at + count);
            bytes.drain(at..end);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn damaged_bytes_are_an_error(which in 0usize..3, damage in prop::collection::vec(damage(), 1..4)) {
        let mut bytes = MODELS[which].clone();
        damage.iter().for_each(|damage| apply(&mut bytes, damage));
        if bytes != MODELS[which] {
            prop_assert!(Model::from_bytes(&bytes).is_err());
        }
    }

    #[test]
    fn forged_bytes_are_an_error_or_a_model_that_works(
        which in 0usize..3,
        damage in prop::collection::vec(damage(), 1..4),
    ) {
        let mut bytes = MODELS[which].clone();
        damage.iter().for_each(|damage| apply(&mut bytes, damage));
        if let Ok(model) = Model::from_bytes(&seal(bytes)) {
            let rows = traffic(70, model.schema().len(), 2);
            let mut scores = vec![0.0; rows.len()];
            model.scorer().score(&rows, &mut scores);
            prop_assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
            for score in scores {
                let p = model.p_value(score);
                prop_assert!(p > 0.0 && p <= 1.0);
            }
            model.explain(rows.row(0), 3);
            model.counterfactual(rows.row(0), 3);
            model.trees();
            prop_assert!(Model::from_bytes(&model.to_bytes()).is_ok());
        }
    }

    #[test]
    fn noise_is_not_a_model(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Model::from_bytes(&bytes).is_err());
        let headed = [b"anomaly-detect model 5\n", &bytes[..]].concat();
        prop_assert!(Model::from_bytes(&headed).is_err());
    }
}

#[test]
fn every_truncation_is_an_error() {
    for bytes in MODELS.iter() {
        for length in 0..bytes.len() {
            assert!(Model::from_bytes(&bytes[..length]).is_err(), "{length}");
            if length % 7 == 0 {
                assert!(
                    Model::from_bytes(&seal(bytes[..length].to_vec())).is_err(),
                    "sealed {length}"
                );
            }
        }
    }
}

#[test]
fn a_length_is_compared_with_what_is_left_before_memory_is_taken() {
    // The number of trees is the second field of the forest; wherever it is, claim four thousand million of everything.
    let bytes = &MODELS[1];
    let body = bytes.len() - 3000;
    for at in body..bytes.len() - 40 {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        // Returning at all, and at once, is the point: 2^32 nodes would not fit this machine.
        let _ = Model::from_bytes(&seal(bytes));
    }
}

#[test]
fn the_header_is_for_people() {
    let text = String::from_utf8_lossy(&MODELS[0]);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("anomaly-detect model 5"));
    let header: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(header["schema_digest"], schema(6).digest());
    assert_eq!(header["schema"]["columns"][0]["name"], "bytes_0");
    assert_eq!(header["info"]["settings"]["seed"], 0);
    assert_eq!(header["info"]["rows"], 600);
    assert!(
        header["info"]["created_by"]
            .as_str()
            .unwrap()
            .starts_with("anomaly-detect ")
    );
}

#[test]
fn another_schema_is_refused() {
    let model = Model::from_bytes(&MODELS[0]).unwrap();
    assert!(model.accepts(&schema(6)).is_ok());
    assert!(model.accepts(&schema(7)).is_err());
    let mut other = schema(6);
    other.columns[2].unit = "bit".into();
    assert!(model.accepts(&other).is_err());
}

#[test]
fn errors_say_what_is_wrong() {
    let version = b"anomaly-detect model 1\n{}\n".to_vec();
    assert_eq!(
        Model::from_bytes(&version).unwrap_err().to_string(),
        "a model of format version 1; this program reads version 5"
    );
    let mut flipped = MODELS[0].clone();
    flipped[100] ^= 4;
    assert!(matches!(
        Model::from_bytes(&flipped),
        Err(LoadError::Checksum("CRC-32"))
    ));
    assert!(
        Model::load("/dev/null")
            .unwrap_err()
            .to_string()
            .contains("not a model")
    );
}
