//! Reads the layers and merges them, remembering where each value came from.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, Key, Kind, PREFIX, RESERVED};
use super::{AlertBudget, Endpoint};
use crate::time::parse_duration;

/// A value as a layer gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text, also of a length of time.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Flag(bool),
    /// Texts.
    List(Vec<String>),
}

impl Value {
    /// Reads the text of an environment variable or a flag; what does not fit the kind stays text, and is refused
    /// when it is checked.
    pub(super) fn parse(text: &str, kind: Kind) -> Self {
        let plain = || Self::Text(text.to_owned());
        match kind {
            Kind::Text | Kind::Duration => plain(),
            Kind::Integer => text.parse().map_or_else(|_| plain(), Self::Integer),
            Kind::Float => text.parse().map_or_else(|_| plain(), Self::Float),
            Kind::Flag => text.parse().map_or_else(|_| plain(), Self::Flag),
            Kind::List => Self::List(
                text.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
        }
    }

    fn of_toml(value: &DeValue<'_>) -> Option<Self> {
        Some(match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => {
                Self::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
            }
            DeValue::Float(number) => Self::Float(number.as_str().parse().ok()?),
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Array(parts) => Self::List(
                parts
                    .iter()
                    .map(|part| match part.get_ref() {
                        DeValue::String(text) => Some(text.to_string()),
                        _ => None,
                    })
                    .collect::<Option<_>>()?,
            ),
            DeValue::Datetime(_) | DeValue::Table(_) => return None,
        })
    }
}

impl fmt::Display for Value {
    /// As TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", toml::Value::String(text.clone())),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{}", toml::Value::Float(*number)),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(parts) => {
                let parts = parts.iter().cloned().map(toml::Value::String).collect();
                write!(f, "{}", toml::Value::Array(parts))
            }
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The table of keys.
    Default,
    /// A line of a file, counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// What is wrong with the configuration; one line each.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{}:{line}: not TOML: {what}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line of the fault.
        line: usize,
        /// What the parser said.
        what: String,
    },
    /// No such key.
    #[error("{origin}: unknown key `{key}`{}", hint(nearest.as_deref()))]
    Unknown {
        /// The key.
        key: String,
        /// Its place.
        origin: Origin,
        /// The key that was probably meant.
        nearest: Option<String>,
    },
    /// A value that its key cannot take.
    #[error("{origin}: {key}: {what}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its place.
        origin: Origin,
        /// What is wrong, and what would be right.
        what: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; `anomaly-detect config dump` lists all keys".to_owned(),
        |nearest| format!("; did you mean `{nearest}`?"),
    )
}

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

    pub(super) fn refused<T>(&self, key: &'static str, what: String) -> Result<T, ConfigError> {
        Err(ConfigError::Value {
            key,
            origin: self.values[key].1.clone(),
            what,
        })
    }

    pub(super) fn text(&self, key: &'static str) -> Result<String, ConfigError> {
        match &self.values[key].0 {
            Value::Text(text) => Ok(text.clone()),
            _ => self.refused(key, Kind::Text.wants().to_owned()),
        }
    }

    pub(super) fn list(&self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        match &self.values[key].0 {
            Value::List(parts) => Ok(parts.clone()),
            Value::Text(text) => Ok(vec![text.clone()]),
            _ => self.refused(key, Kind::List.wants().to_owned()),
        }
    }

    pub(super) fn integer(
        &self,
        key: &'static str,
        least: i64,
        most: i64,
    ) -> Result<i64, ConfigError> {
        let number = match &self.values[key].0 {
            Value::Integer(number) => Some(*number),
            Value::Text(text) => size(text),
            _ => None,
        };
        match number {
            Some(number) if (least..=most).contains(&number) => Ok(number),
            Some(number) => self.refused(key, format!("{number} is not within {least} to {most}")),
            None => self.refused(key, Kind::Integer.wants().to_owned()),
        }
    }

    pub(super) fn float(
        &self,
        key: &'static str,
        least: f64,
        most: f64,
    ) -> Result<f64, ConfigError> {
        let number = match self.values[key].0 {
            Value::Float(number) => number,
            Value::Integer(number) => number as f64,
            _ => return self.refused(key, Kind::Float.wants().to_owned()),
        };
        if (least..=most).contains(&number) {
            Ok(number)
        } else {
            self.refused(key, format!("{number} is not within {least} to {most}"))
        }
    }

    pub(super) fn duration(&self, key: &'static str) -> Result<Option<Duration>, ConfigError> {
        let duration = match &self.values[key].0 {
            Value::Text(text) => parse_duration(text),
            Value::Integer(seconds) => parse_duration(&seconds.to_string()),
            Value::Float(seconds) => parse_duration(&seconds.to_string()),
            _ => Err(Kind::Duration.wants().to_owned()),
        };
        match duration {
            Ok(duration) => Ok((!duration.is_zero()).then_some(duration)),
            Err(what) => self.refused(key, what),
        }
    }

    pub(super) fn budget(&self, key: &'static str) -> Result<Option<AlertBudget>, ConfigError> {
        let text = self.text(key)?;
        match AlertBudget::parse(&text) {
            Ok(budget) => Ok(budget),
            Err(what) => self.refused(key, what),
        }
    }

    pub(super) fn address(&self, key: &'static str) -> Result<Option<SocketAddr>, ConfigError> {
        let text = self.text(key)?;
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => self.refused(
                key,
                format!("`{text}` is no address with a port; write for example 127.0.0.1:9477"),
            ),
        }
    }

    /// A path; nothing for an empty text.
    pub(super) fn file(&self, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        let text = self.text(key)?;
        Ok((!text.is_empty()).then(|| text.into()))
    }

    /// A server; nothing for an empty text.
    pub(super) fn endpoint(
        &self,
        key: &'static str,
        default_port: u16,
    ) -> Result<Option<Endpoint>, ConfigError> {
        let text = self.text(key)?;
        if text.is_empty() {
            return Ok(None);
        }
        match Endpoint::parse(&text, default_port) {
            Ok(endpoint) => Ok(Some(endpoint)),
            Err(what) => self.refused(key, what),
        }
    }

    /// How long to wait for a receiver: never for ever.
    pub(super) fn wait(&self, key: &'static str) -> Result<Duration, ConfigError> {
        const LONGEST: Duration = Duration::from_secs(60);
        match self.duration(key)? {
            Some(wait) if (Duration::from_millis(10)..=LONGEST).contains(&wait) => Ok(wait),
            _ => self.refused(key, "is not within 10ms to 1m".to_owned()),
        }
    }

    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Result<T, ConfigError> {
        let text = self.text(key)?;
        match choices.iter().find(|(name, _)| *name == text) {
            Some((_, choice)) => Ok(*choice),
            None => {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                self.refused(key, format!("`{text}` is none of {}", names.join(", ")))
            }
        }
    }

    pub(super) fn flag_of(&self, key: &'static str) -> Result<bool, ConfigError> {
        match self.values[key].0 {
            Value::Flag(flag) => Ok(flag),
            _ => self.refused(key, Kind::Flag.wants().to_owned()),
        }
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

fn unknown(key: String, origin: Origin) -> ConfigError {
    let paths = KEYS.iter().map(|key| key.path.to_owned());
    ConfigError::Unknown {
        nearest: nearest(&key, paths),
        key,
        origin,
    }
}

/// The candidate that is most alike, if any is alike at all.
fn nearest(wanted: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    candidates
        .map(|name| {
            let whole = strsim::jaro_winkler(wanted, &name);
            let part = strsim::jaro_winkler(&last(wanted), &last(&name)) * 0.98;
            (whole.max(part), name)
        })
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)))
        .map(|(_, name)| name)
}

/// A whole number with a unit of size.
fn size(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("", 1),
    ];
    let (digits, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    digits.trim().parse::<i64>().ok()?.checked_mul(*factor)
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
