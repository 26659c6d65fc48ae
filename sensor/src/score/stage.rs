//! How far the telling of an incident has come.

use serde::{Deserialize, Serialize};

/// Why an incident is told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// For the first time: this is what an alert budget counts.
    New,
    /// Again: it has four times the flows it had when it was told last, or is graver.
    Grown,
    /// Its numbers moved, and that is all: for those who keep a list, not for those who call a person.
    Progress,
    /// It is over; these are its last numbers.
    Over,
    /// Nobody is told: there is no room for it in the alert budget, or not enough speaks for it. For the store alone.
    Untold,
}

impl Stage {
    /// All of them, in the order in which an incident passes through them; one that is not told stays where it is.
    pub const ALL: [Self; 5] = [
        Self::New,
        Self::Grown,
        Self::Progress,
        Self::Over,
        Self::Untold,
    ];

    /// Name for files and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Grown => "grown",
            Self::Progress => "progress",
            Self::Over => "over",
            Self::Untold => "untold",
        }
    }

    /// Whether a person wants to hear it: what merely moved is for lists.
    pub const fn is_telling(self) -> bool {
        matches!(self, Self::New | Self::Grown)
    }
}
