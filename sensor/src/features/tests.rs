use std::{collections::BTreeSet, path::Path};

use super::*;

#[test]
fn names_are_unique_and_csv_safe() {
    let names: BTreeSet<_> = TABLE.iter().map(|feature| feature.name).collect();
    assert_eq!(names.len(), COUNT);
    assert!(names.iter().all(|name| {
        name.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }));
    const { assert!(COUNT >= 60) };
}

#[test]
fn families_stand_together() {
    let mut families: Vec<_> = TABLE.iter().map(|feature| feature.family).collect();
    families.dedup();
    assert_eq!(families, Family::ALL);
}

#[test]
fn the_log_family_is_what_a_join_fills_in() {
    let names: Vec<_> = TABLE[LOG_FROM..]
        .iter()
        .map(|feature| feature.name)
        .collect();
    assert_eq!(names, View::NAMES);
    let family = |feature: &&Feature| feature.family == Family::Log;
    assert_eq!(TABLE.iter().filter(family).count(), View::COUNT);
}

#[test]
fn features_doc_is_generated_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/features.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, markdown()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/features.md is not what the table says; rewrite it with:\n  UPDATE=1 cargo test -p sensor --lib features_doc"
    );
}
