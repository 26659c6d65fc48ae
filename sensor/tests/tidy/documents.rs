//! Documents that name a command, a file or a metric are held to it.

use std::{collections::BTreeSet, fs, process::Command};

use super::{expect_none, root, texts};

/// The two commands that a newcomer types.
const README_COMMANDS: &[&str] = &["cargo run --release -- run demo/", "cargo xtask test"];

#[test]
fn readme_names_the_two_commands() {
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
    for command in README_COMMANDS {
        assert!(
            readme.lines().any(|line| line.trim().starts_with(command)),
            "README.md does not show `{command}`"
        );
    }
    assert!(
        root().join("demo").is_dir(),
        "README.md runs demo/, which is not there"
    );
    let alias = fs::read_to_string(root().join(".cargo/config.toml"))
        .expect("there is a cargo configuration");
    assert!(alias.contains("xtask = "), "`cargo xtask` is not an alias");
}

/// Our documents, and no others'.
fn documents() -> Vec<super::Text> {
    let mut all: Vec<_> = ["docs", "demo", "deploy", "bench", ".github"]
        .iter()
        .flat_map(|folder| texts(folder, "md"))
        .collect();
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ] {
        if let Ok(text) = fs::read_to_string(root().join(name)) {
            all.push(super::Text {
                path: name.to_owned(),
                text,
            });
        }
    }
    all
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_anomaly-detect"))
        .args(arguments)
        .output()
        .expect("our program starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The commands of `anomaly-detect --help`.
fn commands() -> BTreeSet<String> {
    let text = help(&["--help"]);
    text.lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

#[test]
fn commands_in_documents_exist() {
    let known = commands();
    assert!(
        known.contains("run"),
        "`anomaly-detect --help` lists no `run`: {known:?}"
    );
    let mut findings = Vec::new();
    for document in documents() {
        for (number, line) in document.text.lines().enumerate() {
            for words in invocations(line) {
                let word = words.trim_matches(|c: char| !c.is_alphanumeric());
                let is_command = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
                if is_command && !known.contains(word) {
                    findings.push(format!(
                        "{}:{}: `anomaly-detect {word}`",
                        document.path,
                        number + 1
                    ));
                }
            }
        }
    }
    expect_none(&findings, "A document names a command that there is not.");
}

/// What follows the program's name where it is run: in code, by `cargo run`, not in prose or a path.
fn invocations(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for start in [
        "`anomaly-detect ",
        "$ anomaly-detect ",
        "sudo anomaly-detect ",
        "cargo run --release -- ",
    ] {
        found.extend(
            line.match_indices(start)
                .filter_map(|(at, _)| line[at + start.len()..].split_whitespace().next()),
        );
    }
    if let Some(rest) = line.trim_start().strip_prefix("anomaly-detect ") {
        found.extend(rest.split_whitespace().next());
    }
    found
}

/// Links between documents lead somewhere.
#[test]
fn relative_links_lead_somewhere() {
    let mut findings = Vec::new();
    for document in documents() {
        let folder = root()
            .join(&document.path)
            .parent()
            .expect("a file is in a folder")
            .to_path_buf();
        for (number, line) in document.text.lines().enumerate() {
            for (at, _) in line.match_indices("](") {
                let target = line[at + 2..]
                    .split([')', '#', ' '])
                    .next()
                    .unwrap_or_default();
                if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                    findings.push(format!("{}:{}: {target}", document.path, number + 1));
                }
            }
        }
    }
    expect_none(&findings, "A link leads nowhere.");
}
