//! Gate A: the committed BPF object belongs to the sources beside it. Needs no BPF toolchain.

use std::{fs, path::Path};

#[path = "../../xtask/src/build_ebpf/digest.rs"]
mod digest;

const AGAIN: &str = "run `cargo xtask build-ebpf` and commit sensor-ebpf/objects/";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a member of the workspace")
}

fn recorded(key: &str) -> String {
    let provenance =
        fs::read_to_string(root().join("sensor-ebpf/objects/provenance.toml")).expect("committed");
    let value = provenance
        .lines()
        .find_map(|line| digest::quoted(line, key));
    value
        .unwrap_or_else(|| panic!("provenance.toml has no {key}; {AGAIN}"))
        .to_owned()
}

#[test]
fn the_object_was_built_from_these_sources() {
    let now = digest::sources(root()).expect("sources are readable");
    assert_eq!(
        recorded("sources"),
        now,
        "the sources of the BPF programs have changed since; {AGAIN}"
    );
}

#[test]
fn the_object_is_the_one_that_was_built() {
    assert_eq!(
        recorded("object"),
        digest::sha256(sensor_ebpf::OBJECT),
        "the object was changed by hand; {AGAIN}"
    );
}
