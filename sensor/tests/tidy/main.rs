//! What a reviewer would have to look for each time: which part may know which, how long a file may be, and that
//! documents say what is so. Each rule fails with the file, the line and what to do.

use std::{
    fs,
    path::{Path, PathBuf},
};

mod deploy;
mod documents;
mod edges;
mod files;

/// Root of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("sensor is a member of the workspace")
        .to_path_buf()
}

/// The folders with our code.
const CRATES: &[&str] = &["sensor-ebpf", "model", "sensor", "bench", "xtask"];

/// A text file of the checkout.
struct Text {
    /// Relative to the root, with `/`.
    path: String,
    /// Its content.
    text: String,
}

/// All files with this extension below `folder`, build output left out, sorted by path.
fn texts(folder: &str, extension: &str) -> Vec<Text> {
    let mut texts = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                let skipped = ["target", ".git", "anomaly-out"]
                    .iter()
                    .any(|skipped| name == *skipped);
                if !skipped {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                let relative = path
                    .strip_prefix(root())
                    .expect("below the root")
                    .to_string_lossy()
                    .replace('\\', "/");
                texts.push(Text {
                    path: relative,
                    text: fs::read_to_string(&path).expect("our texts are UTF-8"),
                });
            }
        }
    }
    texts.sort_by(|a, b| a.path.cmp(&b.path));
    texts
}

/// All our Rust sources.
fn sources() -> Vec<Text> {
    CRATES.iter().flat_map(|name| texts(name, "rs")).collect()
}

/// Fails with all findings at once.
fn expect_none(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}\n  {}\n", findings.join("\n  "));
}
