//! Which crate and which module may name which. The arrows are those of ARCHITECTURE.md.

use std::{collections::BTreeSet, fs};

use super::{expect_none, root, texts};

/// What each crate may depend on among ours.
const CRATE_EDGES: &[(&str, &[&str])] = &[
    ("sensor-ebpf", &[]),
    ("model", &[]),
    ("sensor", &["model", "sensor-ebpf"]),
    ("bench", &["model", "sensor", "sensor-ebpf"]),
    ("xtask", &[]),
];

/// What each module of `sensor` may name among the others. A stage knows the type it consumes, not where it came from.
const MODULE_EDGES: &[(&str, &[&str])] = &[
    ("attack", &[]),
    ("bounded", &[]),
    ("capabilities", &[]),
    ("config", &["time"]),
    ("intel", &["time"]),
    ("resources", &["time"]),
    ("metrics", &[]),
    ("time", &[]),
    ("lines", &[]),
    ("listen", &[]),
    ("logs", &["attack", "flow", "lines"]),
    ("capture", &["bounded", "capabilities", "time"]),
    ("flow", &["bounded", "capture"]),
    ("context", &["bounded", "capture", "flow"]),
    // A source of its own: of the flow stages it uses the vocabulary and the context.
    (
        "zeek",
        &[
            "bounded", "capture", "context", "features", "flow", "lines", "score", "time",
        ],
    ),
    ("features", &["context", "flow", "logs"]),
    // Of the context only the vocabulary of its explanations: service classes and names of windows.
    (
        "score",
        &["attack", "bounded", "context", "features", "flow", "time"],
    ),
    // Beside the stages: what scored flows teach.
    ("learn", &["features", "score"]),
    // Beside the stages, at the very end: shows what sinks stored.
    (
        "serve",
        &[
            "attack", "features", "flow", "intel", "metrics", "score", "sink", "time",
        ],
    ),
    (
        "sink",
        &[
            "attack",
            "config",
            "features",
            "flow",
            "intel",
            "logs",
            "metrics",
            "resources",
            "score",
            "time",
            "zeek",
        ],
    ),
];

/// The stages, in the order in which data runs.
const STAGES: &[&str] = &["capture", "flow", "context", "features", "score", "sink"];

/// Beside the stages, and speaking their words: sources, what learns, and what serves what is stored.
const SOURCES: &[&str] = &["learn", "logs", "serve", "zeek"];

/// These put the stages together and may name any module.
const ASSEMBLY: &[&str] = &["pipeline", "cli", "lib", "bin"];

#[test]
fn crates_depend_as_drawn() {
    let ours: Vec<&str> = CRATE_EDGES.iter().map(|(name, _)| *name).collect();
    let mut findings = Vec::new();
    for (name, allowed) in CRATE_EDGES {
        let text = fs::read_to_string(root().join(name).join("Cargo.toml"))
            .expect("each crate has a manifest");
        let manifest: toml::Table = text.parse().expect("a manifest is TOML");
        for dependency in dependencies(&manifest) {
            if ours.contains(&dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                findings.push(format!(
                    "{name}/Cargo.toml: {name} must not depend on {dependency}"
                ));
            }
        }
    }
    expect_none(&findings, "A crate depends on one that it must not know.");
}

/// Every dependency named anywhere in a manifest: plain, dev, build, and by target.
fn dependencies(table: &toml::Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        let Some(inner) = value.as_table() else {
            continue;
        };
        if key.ends_with("dependencies") {
            found.extend(inner.keys().cloned());
        } else if key != "features" {
            found.extend(dependencies(inner));
        }
    }
    found
}

#[test]
fn modules_name_each_other_as_drawn() {
    let mut findings = Vec::new();
    for text in texts("sensor/src", "rs") {
        let module = module_of(&text.path);
        if ASSEMBLY.contains(&module) {
            continue;
        }
        let Some((_, allowed)) = MODULE_EDGES.iter().find(|(name, _)| *name == module) else {
            findings.push(format!(
                "{}: module `{module}` is not in MODULE_EDGES of {}",
                text.path,
                file!()
            ));
            continue;
        };
        for named in named_modules(&text.text) {
            if named != module && is_module(&named) && !allowed.contains(&named.as_str()) {
                findings.push(format!("{}: `{module}` must not name `{named}`", text.path));
            }
        }
    }
    expect_none(&findings, "A module names one that it must not know.");
}

#[test]
fn stages_run_one_way() {
    let rank = |name: &str| STAGES.iter().position(|stage| *stage == name);
    for (module, allowed) in MODULE_EDGES {
        for named in *allowed {
            assert!(
                ASSEMBLY.iter().all(|assembly| assembly != named),
                "{module} names {named}, which names everything"
            );
            if let (Some(from), Some(to)) = (rank(module), rank(named)) {
                assert!(to < from, "{module} names {named}: data runs the other way");
            }
            if rank(module).is_none() && !SOURCES.contains(module) {
                assert!(
                    rank(named).is_none(),
                    "{module} is a leaf and names the stage {named}"
                );
            }
        }
    }
}

/// The time of day is data: only the edges may read a clock (clippy bans `SystemTime::now` everywhere else).
#[test]
fn no_clock_between_capture_and_sink() {
    let mut findings = Vec::new();
    for stage in ["flow", "context", "features", "score"] {
        for text in texts(&format!("sensor/src/{stage}"), "rs") {
            for clock in [
                "Instant::now",
                "SystemTime",
                "Timestamp::now",
                "Zoned::now",
                "tokio::",
            ] {
                if text.text.contains(clock) {
                    findings.push(format!("{}: `{clock}`", text.path));
                }
            }
        }
    }
    expect_none(
        &findings,
        "Nothing between capture and sink reads a clock or is asynchronous.",
    );
}

fn is_module(name: &str) -> bool {
    ASSEMBLY.contains(&name) || MODULE_EDGES.iter().any(|(module, _)| *module == name)
}

/// `sensor/src/flow/table.rs` is in `flow`, `sensor/src/time.rs` is `time`.
fn module_of(path: &str) -> &str {
    let below = path.trim_start_matches("sensor/src/");
    below
        .split('/')
        .next()
        .unwrap_or(below)
        .trim_end_matches(".rs")
}

/// The first path segment of every `crate::a` and of every branch of `crate::{a::.., b}`, comments left out.
fn named_modules(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n");
    let mut named = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            named.extend(branches(group));
        } else {
            named.insert(identifier(rest));
        }
    }
    named
}

/// First identifiers of the branches of a `use` group whose opening brace was consumed.
fn branches(group: &str) -> Vec<String> {
    let mut depth = 0usize;
    let mut found = vec![identifier(group.trim_start())];
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => found.push(identifier(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    found
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|character| character.is_alphanumeric() || *character == '_')
        .collect()
}

#[test]
fn the_reader_of_uses_reads_them() {
    let text = "use crate::{\n    bounded::{Store, Lists},\n    flow::Table, capture::Epoch,\n};\n// crate::sink\nlet x = crate::score::one();";
    let expected = ["bounded", "capture", "flow", "score"].map(str::to_owned);
    let mut named = named_modules(text);
    named.remove("");
    assert_eq!(named, BTreeSet::from(expected));
}
