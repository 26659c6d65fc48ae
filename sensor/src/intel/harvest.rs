//! What one list gives, while it is read.

use std::collections::HashMap;

use super::{Indicator, Loss, Losses, Prefix, Space};

/// Longest label or source kept, characters.
const WORDS_MAX: usize = 120;
/// Different labels and sources kept of one list. A list with a label of its own for each entry says nothing by it.
const NOTES_MAX: usize = 65_536;
/// Entries quoted in warnings.
const QUOTED: usize = 5;

/// What a list says of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Note {
    pub(super) label: String,
    pub(super) source: String,
}

/// Confidence that is not known.
pub(super) const UNSURE: u8 = u8::MAX;

/// An entry of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed<T> {
    pub(super) what: T,
    /// Which of the notes.
    pub(super) note: u32,
    /// 0 to 100, or [`UNSURE`].
    pub(super) confidence: u8,
}

/// What is found by its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Name {
    Domain(String),
    Ja3(String),
    Ja4(String),
}

/// Entries of one list.
#[derive(Clone, Debug, Default)]
pub struct Harvest {
    pub(super) prefixes: Vec<Listed<Prefix>>,
    pub(super) names: Vec<Listed<Name>>,
    pub(super) notes: Vec<Note>,
    /// Entries not used, by reason.
    pub losses: Losses,
    /// The first of those that somebody should look at: where they stand, and what they are.
    pub quoted: Vec<String>,
    known: HashMap<Note, u32>,
    room: usize,
    space: Space,
}

impl Harvest {
    /// Nothing yet; at most `room` entries, none of them in space that is refused.
    pub(super) fn new(room: usize, space: &Space) -> Self {
        let mut empty = Self {
            room,
            space: space.clone(),
            ..Self::default()
        };
        // What has no note has the first.
        empty.note("", "");
        empty
    }

    /// Entries so far.
    pub fn entries(&self) -> usize {
        self.prefixes.len() + self.names.len()
    }

    /// An entry that gave nothing.
    pub(super) fn lose(&mut self, loss: Loss, place: Place, text: &str) {
        self.losses.add(loss);
        if loss.is_warning() && self.quoted.len() < QUOTED {
            let text = words(text);
            self.quoted
                .push(format!("{place}: {text} ({})", loss.name()));
        }
    }

    /// Adds what an entry says, or counts why not.
    pub(super) fn take(
        &mut self,
        read: Result<Vec<Indicator>, Loss>,
        (place, text): (Place, &str),
        (label, source): (&str, &str),
        confidence: Option<u8>,
    ) {
        let note = match &read {
            Ok(_) => self.note(label, source),
            Err(_) => 0,
        };
        let confidence = confidence.map_or(UNSURE, |confidence| confidence.min(100));
        match read {
            Err(loss) => self.lose(loss, place, text),
            Ok(found) => {
                for indicator in found {
                    self.add(indicator, (place, text), note, confidence);
                }
            }
        }
    }

    fn add(
        &mut self,
        indicator: Indicator,
        (place, text): (Place, &str),
        note: u32,
        confidence: u8,
    ) {
        let parts = match indicator {
            Indicator::Prefixes(parts) => parts,
            Indicator::Domain(name) => return self.name(Name::Domain(name), note, confidence),
            Indicator::Ja3(print) => return self.name(Name::Ja3(print), note, confidence),
            Indicator::Ja4(print) => return self.name(Name::Ja4(print), note, confidence),
        };
        for what in parts {
            if let Some(loss) = self.space.refuses(what) {
                self.lose(loss, place, text);
            } else if self.entries() >= self.room {
                self.lose(Loss::Room, place, text);
            } else {
                self.prefixes.push(Listed {
                    what,
                    note,
                    confidence,
                });
            }
        }
    }

    fn name(&mut self, what: Name, note: u32, confidence: u8) {
        if self.entries() >= self.room {
            return self.losses.add(Loss::Room);
        }
        self.names.push(Listed {
            what,
            note,
            confidence,
        });
    }

    fn note(&mut self, label: &str, source: &str) -> u32 {
        let note = Note {
            label: words(label),
            source: words(source),
        };
        if let Some(at) = self.known.get(&note) {
            return *at;
        }
        if self.notes.len() >= NOTES_MAX {
            return 0;
        }
        let at = self.notes.len() as u32;
        self.known.insert(note.clone(), at);
        self.notes.push(note);
        at
    }

    /// Gives all entries from these positions on a label and a source where they have none.
    pub(super) fn credit(&mut self, from: (usize, usize), label: &str, source: &str) {
        let mut renamed = HashMap::new();
        let notes: Vec<u32> = self.prefixes[from.0..]
            .iter()
            .map(|entry| entry.note)
            .collect();
        let notes = notes.into_iter().chain(
            self.names[from.1..]
                .iter()
                .map(|entry| entry.note)
                .collect::<Vec<_>>(),
        );
        for note in notes {
            if renamed.contains_key(&note) {
                continue;
            }
            let old = self.notes[note as usize].clone();
            let choose = |own: String, given: &str| {
                if own.is_empty() {
                    given.to_owned()
                } else {
                    own
                }
            };
            let (label, source) = (choose(old.label, label), choose(old.source, source));
            let new = self.note(&label, &source);
            renamed.insert(note, new);
        }
        for entry in &mut self.prefixes[from.0..] {
            entry.note = renamed[&entry.note];
        }
        for entry in &mut self.names[from.1..] {
            entry.note = renamed[&entry.note];
        }
    }

    /// Where the next entries will be.
    pub(super) const fn mark(&self) -> (usize, usize) {
        (self.prefixes.len(), self.names.len())
    }

    /// Replaces sources by their names.
    pub(super) fn rename_sources(&mut self, names: &HashMap<String, String>) {
        for note in &mut self.notes {
            if let Some(name) = names.get(&note.source) {
                note.source = words(name);
            }
        }
    }

    /// Orders entries and drops what is there twice, the surer one staying.
    pub(super) fn settle(&mut self) {
        let sure = |confidence: u8| {
            if confidence == UNSURE {
                0
            } else {
                confidence + 1
            }
        };
        self.prefixes.sort_by(|a, b| {
            a.what
                .cmp(&b.what)
                .then(sure(b.confidence).cmp(&sure(a.confidence)))
        });
        self.names.sort_by(|a, b| {
            a.what
                .cmp(&b.what)
                .then(sure(b.confidence).cmp(&sure(a.confidence)))
        });
        let before = self.entries();
        self.prefixes.dedup_by(|a, b| a.what == b.what);
        self.names.dedup_by(|a, b| a.what == b.what);
        for _ in self.entries()..before {
            self.losses.add(Loss::Duplicate);
        }
        self.known = HashMap::new();
    }
}

/// Where in a list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Line, from 1.
    Line(u64),
    /// Object of JSON, from 1.
    Object(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Object(number) => write!(f, "object {number}"),
        }
    }
}

/// Words of a list, short and without what could move a cursor.
pub(super) fn words(text: &str) -> String {
    let mut words: String = text
        .trim()
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(WORDS_MAX + 1)
        .collect();
    if words.chars().count() > WORDS_MAX {
        words.pop();
        words.push('…');
    }
    words
}
