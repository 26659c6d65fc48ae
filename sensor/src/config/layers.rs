//! Reads the layers and merges them, remembering where each value came from.

use std::{collections::BTreeMap, fs, path::Path};

use toml::de::{DeTable, DeValue};

use super::{
    ConfigError, Origin, Value,
    fault::{nearest, unknown},
    keys::{KEYS, Key, PREFIX, RESERVED},
};

/// All layers, merged.
#[derive(Clone, Debug)]
pub struct Layers {
    values: BTreeMap<&'static str, (Value, Origin)>,
}

impl Default for Layers {
    fn default() -> Self {
        let value = |key: &Key| (key.path, (key.default_value(), Origin::Default));
        Self {
            values: KEYS.iter().map(value).collect(),
        }
    }
}

impl Layers {
    /// Reads a file, and `conf.d/*.toml` beside it in order of their names.
    ///
    /// # Errors
    /// Unreadable, not TOML, an unknown key.
    pub fn read(&mut self, path: &Path) -> Result<(), ConfigError> {
        self.read_file(path)?;
        let folder = path.with_file_name("conf.d");
        let Ok(entries) = fs::read_dir(&folder) else {
            return Ok(());
        };
        let mut files: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
            .collect();
        files.sort();
        files.iter().try_for_each(|file| self.read_file(file))
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        self.read_text(path, &text)
    }

    /// Reads TOML; `path` is for messages.
    ///
    /// # Errors
    /// Not TOML, an unknown key.
    pub fn read_text(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let line_of = |offset: usize| {
            let before = &text.as_bytes()[..offset.min(text.len())];
            before.iter().filter(|byte| **byte == b'\n').count() + 1
        };
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(span.start)),
            what: error.message().replace('\n', " "),
        })?;
        for (section, content) in table.get_ref() {
            let origin = |offset| Origin::File {
                path: path.to_owned(),
                line: line_of(offset),
            };
            let DeValue::Table(content) = content.get_ref() else {
                let key = section.get_ref().to_string();
                return Err(unknown(key, origin(section.span().start)));
            };
            for (name, value) in content {
                let key = format!("{}.{}", section.get_ref(), name.get_ref());
                let origin = origin(name.span().start);
                let Some(known) = find(&key) else {
                    return Err(unknown(key, origin));
                };
                let value = Value::of_toml(value.get_ref()).ok_or_else(|| ConfigError::Value {
                    key: known.path,
                    origin: origin.clone(),
                    what: known.kind.wants().to_owned(),
                })?;
                self.values.insert(known.path, (value, origin));
            }
        }
        Ok(())
    }

    /// Reads environment variables.
    ///
    /// # Errors
    /// A variable that begins like ours and is no key.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        let mut ours: Vec<_> = variables
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX) && !RESERVED.contains(&name.as_str()))
            .collect();
        ours.sort();
        for (name, value) in ours {
            let origin = Origin::Environment(name.clone());
            let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
                let names = KEYS.iter().map(Key::variable);
                let nearest = nearest(&name, names);
                return Err(ConfigError::Unknown {
                    key: name,
                    origin,
                    nearest,
                });
            };
            self.values
                .insert(key.path, (Value::parse(&value, key.kind), origin));
        }
        Ok(())
    }

    /// Sets a key from a flag.
    ///
    /// # Errors
    /// No such key.
    pub fn flag(&mut self, path: &str, value: &str, flag: &str) -> Result<(), ConfigError> {
        let origin = Origin::Flag(flag.to_owned());
        let Some(key) = find(path) else {
            return Err(unknown(path.to_owned(), origin));
        };
        self.values
            .insert(key.path, (Value::parse(value, key.kind), origin));
        Ok(())
    }

    /// Every key with its value and where that came from, in the order of the table.
    pub fn all(&self) -> impl Iterator<Item = (&'static Key, &Value, &Origin)> {
        KEYS.iter().map(|key| {
            let (value, origin) = &self.values[key.path];
            (key, value, origin)
        })
    }

    /// Where the value of a key comes from.
    pub(super) fn origin(&self, key: &'static str) -> &Origin {
        &self.values[key].1
    }

    /// Keys whose values are others there, in the order of the table; where a value stands does not matter.
    pub fn differing(&self, other: &Self) -> Vec<&'static Key> {
        let differs = |key: &&Key| self.values[key.path].0 != other.values[key.path].0;
        KEYS.iter().filter(differs).collect()
    }

    /// Takes over one key, with its place.
    pub fn adopt(&mut self, key: &Key, from: &Self) {
        self.values.insert(key.path, from.values[key.path].clone());
    }

    /// The value of a key, of whatever kind.
    pub(super) fn value(&self, key: &'static str) -> &Value {
        &self.values[key].0
    }

    pub(super) fn refused<T>(&self, key: &'static str, what: String) -> Result<T, ConfigError> {
        Err(ConfigError::Value {
            key,
            origin: self.values[key].1.clone(),
            what,
        })
    }
}

/// The keys that a person means by `name`: the one of that name, or those of the section of that name.
///
/// # Errors
/// There are none; the message names the nearest.
pub fn named(name: &str) -> Result<Vec<&'static Key>, ConfigError> {
    let found: Vec<_> = KEYS
        .iter()
        .filter(|key| key.path == name || key.section() == name || key.variable() == name)
        .collect();
    if found.is_empty() {
        return Err(unknown(
            name.to_owned(),
            Origin::Flag("config explain".to_owned()),
        ));
    }
    Ok(found)
}

fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn fault(text: &str) -> String {
        let mut layers = Layers::default();
        layers
            .read_text(Path::new("sensor.toml"), text)
            .and_then(|()| Config::from_layers(&layers).map(drop))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn defaults_are_valid() {
        assert!(Config::from_layers(&Layers::default()).is_ok());
    }

    #[test]
    fn later_layers_win_and_say_where_they_are() {
        let mut layers = Layers::default();
        layers
            .read_text(
                Path::new("a.toml"),
                "[flow]\nidle_timeout = \"60s\"\ncapacity = \"64Ki\"\n[model]\ntrees = 50\n",
            )
            .unwrap();
        layers
            .environment([("ANOMALY_DETECT_MODEL_TREES".to_owned(), "60".to_owned())])
            .unwrap();
        layers
            .flag("flow.idle_timeout", "0", "--idle-timeout")
            .unwrap();
        let config = Config::from_layers(&layers).unwrap();
        assert_eq!(config.flow.idle_timeout, None);
        assert_eq!((config.flow.capacity, config.model.trees), (65_536, 60));
        let origins: Vec<_> = layers
            .all()
            .filter(|(_, _, origin)| **origin != Origin::Default)
            .map(|(key, _, origin)| format!("{} {origin}", key.path))
            .collect();
        assert_eq!(
            origins,
            [
                "flow.idle_timeout --idle-timeout",
                "flow.capacity a.toml:3",
                "model.trees environment ANOMALY_DETECT_MODEL_TREES",
            ]
        );
    }

    #[test]
    fn faults_name_key_line_and_nearest() {
        assert_eq!(
            fault("[flow]\n\nidle_timeuot = 3\n"),
            "sensor.toml:3: unknown key `flow.idle_timeuot`; did you mean `flow.idle_timeout`?"
        );
        assert_eq!(
            fault("[flows]\ncapacity = 3\n"),
            "sensor.toml:2: unknown key `flows.capacity`; did you mean `flow.capacity`?"
        );
        assert_eq!(
            fault("[flow]\nidle_timeout = \"12 parsecs\"\n"),
            "sensor.toml:2: flow.idle_timeout: `12 parsecs` is no length of time; write for example 120s, 30m, 1h30m, 500ms or 0"
        );
        assert!(fault("[flow]\ncapacity = 0\n").contains("not within 1 to"));
        assert!(fault("[flow\n").starts_with("sensor.toml:1: not TOML:"));
        assert!(fault("colour = 1\n").contains("unknown key `colour`"));
        let mut layers = Layers::default();
        let error =
            layers.environment([("ANOMALY_DETECT_FLOW_CAPACTIY".to_owned(), "1".to_owned())]);
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("did you mean `ANOMALY_DETECT_FLOW_CAPACITY`")
        );
    }
}
