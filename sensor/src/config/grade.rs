//! How grave an alert must be before a sink tells it.

use super::{ConfigError, Layers};

/// Least severity that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Everything.
    Low,
    /// Medium and above.
    Medium,
    /// High and above.
    High,
    /// The gravest only.
    Critical,
}

impl Grade {
    /// All of them by name, mildest first.
    pub const ALL: [(&'static str, Self); 4] = [
        ("low", Self::Low),
        ("medium", Self::Medium),
        ("high", Self::High),
        ("critical", Self::Critical),
    ];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let (_, grade) = Self::ALL.iter().find(|(name, _)| *name == text)?;
        Some(*grade)
    }

    /// The value of a key.
    pub(super) fn of(layers: &Layers, key: &'static str) -> Result<Self, ConfigError> {
        layers.choice(key, &Self::ALL)
    }
}
