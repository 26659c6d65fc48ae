//! A value as a layer gives it: out of TOML, or out of the text of a variable or a flag.

use std::fmt;

use toml::de::DeValue;

use super::keys::Kind;

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

    /// As TOML has it; nothing for what no key takes.
    pub(super) fn of_toml(value: &DeValue<'_>) -> Option<Self> {
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
