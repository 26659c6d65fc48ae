//! `config check`, `config dump` and `config explain`.

use std::io::{self, Write};

use super::{
    args::{ConfigArgs, Dump, ExplainKeys},
    fault::Fault,
    setup::{Flags, layers, output},
};
use crate::config::{self, Config, Key, Layers, Origin, Value};

/// Columns that comments are wrapped at.
const COLUMNS: usize = 96;

fn read(args: &ConfigArgs) -> Result<(Layers, Config), Fault> {
    let file = args.file.as_ref().or(args.common.config.as_ref());
    let layers = layers(&args.common.with(file.cloned()), &Flags::default())?;
    let config = Config::from_layers(&layers)?;
    Ok((layers, config))
}

/// Says whether every layer is valid, and what each key that is set means.
pub(super) fn check(args: &ConfigArgs) -> Result<u8, Fault> {
    let (layers, config) = read(args)?;
    let set: Vec<_> = (layers.all())
        .filter(|(_, _, origin)| **origin != Origin::Default)
        .collect();
    let mut out = output(&args.output.path)?;
    writeln!(
        out,
        "valid; {} of {} keys set",
        set.len(),
        config::KEYS.len()
    )?;
    if !args.common.quiet {
        for (key, value, origin) in &set {
            writeln!(out, "\n{} = {value}  # {origin}", key.path)?;
            wrapped(&mut out, key.about, "  ")?;
        }
        let limits = config.limits;
        if limits.memory_bytes.is_some() {
            let follows = format!(
                "limits.memory leaves room for {} flows, {} hosts and {} conversations at once, and {} MiB for the kernel's flow tables",
                limits.flows,
                limits.hosts,
                limits.conversations,
                limits.table_bytes.unwrap_or(0) >> 20
            );
            writeln!(out)?;
            wrapped(&mut out, &follows, "")?;
        }
        writeln!(
            out,
            "\n`anomaly-detect config explain` says the same of every key, set or not"
        )?;
    }
    out.flush()?;
    Ok(0)
}

/// Says what keys are for, what they take, and what they are now.
pub(super) fn explain(args: &ExplainKeys) -> Result<u8, Fault> {
    let layers = layers(&args.common, &Flags::default())?;
    Config::from_layers(&layers)?;
    let mut wanted: Vec<&Key> = Vec::new();
    for name in &args.keys {
        wanted.extend(config::named(name)?);
    }
    let mut out = output(&args.output.path)?;
    let mut first = true;
    for (key, value, origin) in layers.all() {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted.path == key.path) {
            continue;
        }
        if !first {
            writeln!(out)?;
        }
        first = false;
        writeln!(out, "{}", key.path)?;
        wrapped(&mut out, key.about, "  ")?;
        writeln!(out, "  {}", key.kind.wants())?;
        writeln!(out, "  default {}", default(key))?;
        if *origin != Origin::Default {
            writeln!(out, "  now {value} ({origin})")?;
        }
        if key.is_taken_running() {
            writeln!(
                out,
                "  a sensor that runs takes it at SIGHUP (systemctl reload)"
            )?;
        }
        writeln!(
            out,
            "  also by --set {}=... or the environment: {}",
            key.path,
            key.variable()
        )?;
    }
    out.flush()?;
    Ok(0)
}

/// Prints every key.
pub(super) fn dump(args: &Dump) -> Result<u8, Fault> {
    let (layers, _) = read(&args.config)?;
    let mut out = output(&args.config.output.path)?;
    if args.commented {
        commented(&layers, &mut out)?;
    } else {
        let mut section = "";
        for (key, value, origin) in layers.all() {
            if key.section() != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                section = key.section();
                writeln!(out, "{gap}[{section}]")?;
            }
            writeln!(out, "# {} ({})", key.about, key.variable())?;
            writeln!(out, "{} = {value}  # {origin}", key.name())?;
        }
    }
    out.flush()?;
    Ok(0)
}

/// A file to begin with: every key with what it is for, at its default and commented out; what is set, set.
fn commented(layers: &Layers, out: &mut impl Write) -> io::Result<()> {
    out.write_all(HEAD.as_bytes())?;
    let mut section = "";
    for (key, value, origin) in layers.all() {
        if key.section() != section {
            section = key.section();
            writeln!(out, "\n\n[{section}]")?;
        }
        writeln!(out)?;
        wrapped(out, key.about, "# ")?;
        if *origin == Origin::Default {
            writeln!(out, "#{} = {}", key.name(), default(key))?;
        } else {
            writeln!(out, "{} = {value}", key.name())?;
        }
    }
    Ok(())
}

/// What a person reads first.
const HEAD: &str = "\
# Configuration of anomaly-detect.
#
# Every key there is, with its default: take the `#` from before a key to change it. What is wrong is said with its
# line: `anomaly-detect config check FILE`. One key at length: `anomaly-detect config explain flow.idle_timeout`.
#
# Later layers win: defaults, this file, conf.d/*.toml beside it (by name), the environment, flags.
# Lengths of time: \"120s\", \"30m\", \"1h30m\", \"500ms\"; 0 switches off. Sizes: 65536, \"64Ki\", \"1M\".
";

/// The default as one would write it in the file.
fn default(key: &Key) -> String {
    match key.default_value() {
        Value::Text(text) if text.is_empty() => "\"\"".to_owned(),
        value => value.to_string(),
    }
}

/// Writes text in lines that begin with `before`, broken between words.
fn wrapped(out: &mut (impl Write + ?Sized), text: &str, before: &str) -> io::Result<()> {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && before.len() + line.chars().count() + 1 + word.len() > COLUMNS {
            writeln!(out, "{before}{line}")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(out, "{before}{line}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn file(layers: &Layers) -> String {
        let mut out = Vec::new();
        commented(layers, &mut out).expect("memory");
        String::from_utf8(out).expect("UTF-8")
    }

    fn values(layers: &Layers) -> Vec<(&'static str, String)> {
        layers
            .all()
            .map(|(key, value, _)| (key.path, value.to_string()))
            .collect()
    }

    #[test]
    fn the_commented_file_changes_nothing() {
        let mut layers = Layers::default();
        layers
            .read_text(Path::new("config.toml"), &file(&Layers::default()))
            .expect("our own file");
        assert!(
            layers
                .all()
                .all(|(_, _, origin)| *origin == Origin::Default)
        );
    }

    #[test]
    fn each_commented_key_is_its_default() {
        let text = file(&Layers::default());
        // `#key = value`, as opposed to `# words`.
        let mut bare = String::new();
        for line in text.lines() {
            let key = line
                .strip_prefix('#')
                .filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()));
            bare.push_str(key.unwrap_or(line));
            bare.push('\n');
        }
        let mut layers = Layers::default();
        layers
            .read_text(Path::new("config.toml"), &bare)
            .expect("every key as it is written");
        let unset: Vec<_> = layers
            .all()
            .filter(|(_, _, origin)| **origin == Origin::Default)
            .map(|(key, _, _)| key.path)
            .collect();
        assert!(unset.is_empty(), "not in the file: {unset:?}");
        assert_eq!(values(&layers), values(&Layers::default()));
        assert_eq!(
            Config::from_layers(&layers).expect("defaults"),
            Config::from_layers(&Layers::default()).expect("defaults")
        );
    }

    #[test]
    fn what_is_set_is_set_in_the_file() {
        let mut layers = Layers::default();
        layers
            .flag("output.folder", "/var/lib/anomaly-detect", "--set")
            .expect("a key");
        layers
            .flag("capture.interfaces", "eth0,eth1", "--set")
            .expect("a key");
        let mut again = Layers::default();
        again
            .read_text(Path::new("config.toml"), &file(&layers))
            .expect("our own file");
        assert_eq!(values(&again), values(&layers));
    }

    #[test]
    fn lines_are_broken_between_words() {
        let mut out = Vec::new();
        wrapped(&mut out, &"word ".repeat(60), "# ").expect("memory");
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(text.lines().all(|line| line.len() <= COLUMNS
            && line.starts_with("# word")
            && line.ends_with("word")));
        assert_eq!(text.matches("word").count(), 60);
    }
}
