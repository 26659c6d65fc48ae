//! Digest of everything that decides the bytes of the BPF object, but for the tools.
//!
//! Gate A, the test `sensor-ebpf/tests/object.rs`, includes this very file, so that both compute the same.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// Compiler flags of the BPF build. A CPU of version 3 (32-bit arithmetic and jumps) is any kernel since 5.1; packet
/// memory may be read unaligned, as the verifier allows wherever the sensor runs.
pub(crate) const FLAGS: [&str; 4] = [
    "-Clinker=bpf-linker",
    "-Clink-arg=--btf",
    "-Ctarget-cpu=v3",
    "-Clink-arg=--cpu-features=+alu32,+allows-misaligned-mem-access",
];

/// Cargo profile of the BPF build, as environment. Type information is made from full debug information, which is then
/// taken out of the object.
pub(crate) const PROFILE: [(&str, &str); 6] = [
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "full"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "false"),
];

/// SHA-256 over the sources of `sensor-ebpf`, the locked versions of what it is built from, flags and profile.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn sources(root: &Path) -> io::Result<String> {
    let mut files = vec![root.join("sensor-ebpf/Cargo.toml")];
    collect(&root.join("sensor-ebpf/src"), &mut files)?;
    let mut named = BTreeMap::new();
    for file in files {
        let name: Vec<_> = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        // A checkout on Windows may have other line ends.
        let text = fs::read_to_string(&file)?.replace("\r\n", "\n");
        named.insert(name.join("/"), text);
    }
    let mut hash = Sha256::new();
    for (name, text) in &named {
        hash.update(format!("{name}\n{}\n{text}\n", text.len()));
    }
    for (name, version) in dependencies(root)? {
        hash.update(format!("{name} {version}\n"));
    }
    for flag in FLAGS {
        hash.update(format!("{flag}\n"));
    }
    for (name, value) in PROFILE {
        hash.update(format!("{name}={value}\n"));
    }
    Ok(hex(&hash.finalize()))
}

/// The locked packages that become part of the object, with their versions.
///
/// # Errors
/// When `Cargo.lock` cannot be read.
pub(crate) fn dependencies(root: &Path) -> io::Result<BTreeMap<String, String>> {
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    let mut found = BTreeMap::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(value) = quoted(line, "name") {
            name = value;
        } else if let Some(version) = quoted(line, "version")
            && (name.starts_with("aya-ebpf")
                || name.starts_with("aya-log-ebpf")
                || name == "aya-log-common")
        {
            found.insert(name.to_owned(), version.to_owned());
        }
    }
    Ok(found)
}

/// The value of a line `key = "value"`.
pub(crate) fn quoted<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.strip_prefix(key)?
        .trim_start()
        .strip_prefix('=')?
        .trim()
        .strip_prefix('"')?
        .strip_suffix('"')
}

/// SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
