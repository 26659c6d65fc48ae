//! What keys hold, checked: of the kind that is wanted, and within bounds. A value that is refused is refused with its place.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{AlertBudget, ConfigError, Endpoint, Layers, Value, keys::Kind};
use crate::time::parse_duration;

impl Layers {
    pub(super) fn text(&self, key: &'static str) -> Result<String, ConfigError> {
        match self.value(key) {
            Value::Text(text) => Ok(text.clone()),
            _ => self.refused(key, Kind::Text.wants().to_owned()),
        }
    }

    pub(super) fn list(&self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        match self.value(key) {
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
        let number = match self.value(key) {
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
        let number = match self.value(key) {
            Value::Float(number) => *number,
            Value::Integer(number) => *number as f64,
            _ => return self.refused(key, Kind::Float.wants().to_owned()),
        };
        if (least..=most).contains(&number) {
            Ok(number)
        } else {
            self.refused(key, format!("{number} is not within {least} to {most}"))
        }
    }

    pub(super) fn duration(&self, key: &'static str) -> Result<Option<Duration>, ConfigError> {
        let duration = match self.value(key) {
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
        match self.value(key) {
            Value::Flag(flag) => Ok(*flag),
            _ => self.refused(key, Kind::Flag.wants().to_owned()),
        }
    }
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
