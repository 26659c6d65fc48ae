//! All lists together, ready to be asked.

use std::{collections::HashMap, net::IpAddr};

use super::{
    Indicator, ListInfo, Match, Prefix,
    harvest::{Harvest, Listed, Name, Note, UNSURE},
    prefix,
    table::{Intervals, NONE},
};

/// Matches told of one address, at most.
pub const MATCHES_MAX: usize = 8;

/// An entry of addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) what: Prefix,
    note: u32,
    /// The entry that holds this one, or [`NONE`].
    pub(super) around: u32,
    pub(super) list: u16,
    confidence: u8,
}

/// An entry that is found by its text.
#[derive(Clone, Debug)]
struct Named {
    note: u32,
    /// Another with the same text, or [`NONE`].
    next: u32,
    list: u16,
    confidence: u8,
}

/// All lists, compiled.
#[derive(Debug)]
pub struct Lists {
    pub(super) v4: Intervals<u32, 16>,
    pub(super) v6: Intervals<u128, 8>,
    pub(super) entries: Vec<Entry>,
    names: HashMap<Name, u32>,
    named: Vec<Named>,
    notes: Vec<Note>,
    lists: Vec<ListInfo>,
    pub(super) allowed: Vec<Prefix>,
    allowed_domains: Vec<String>,
}

impl Default for Lists {
    fn default() -> Self {
        Self::new(Vec::new(), &[])
    }
}

/// A list that was read, with its name and form.
pub type Read = (String, &'static str, Harvest);

impl Lists {
    /// Compiles lists, and lists of what is allowed: whatever those cover never matches.
    pub fn new(read: Vec<Read>, allow: &[Harvest]) -> Self {
        let mut compiled = Self {
            v4: Intervals::new(0, std::iter::empty()),
            v6: Intervals::new(0, std::iter::empty()),
            entries: Vec::new(),
            names: HashMap::new(),
            named: Vec::new(),
            notes: Vec::new(),
            lists: Vec::new(),
            allowed: allow
                .iter()
                .flat_map(|list| list.prefixes.iter().map(|entry| entry.what))
                .collect(),
            allowed_domains: Vec::new(),
        };
        compiled.allowed.sort();
        // Ordered by first address and length: what is within one before it adds nothing.
        compiled
            .allowed
            .dedup_by(|inner, outer| outer.overlaps(*inner));
        for entry in allow.iter().flat_map(|list| &list.names) {
            if let Name::Domain(name) = &entry.what {
                compiled.allowed_domains.push(name.clone());
            }
        }
        compiled.allowed_domains.sort();
        for (name, form, harvest) in read {
            compiled.add(name, form, harvest);
        }
        compiled.nest();
        compiled
    }

    fn add(&mut self, name: String, form: &'static str, harvest: Harvest) {
        let list = self.lists.len() as u16;
        let first_note = self.notes.len() as u32;
        let mut info = ListInfo {
            name,
            form,
            prefixes: harvest.prefixes.len() as u64,
            losses: harvest.losses,
            quoted: harvest.quoted,
            ..ListInfo::default()
        };
        self.notes.extend(harvest.notes);
        for entry in harvest.prefixes {
            let outer = self.allowed.partition_point(|one| *one <= entry.what);
            let within = |at: usize| {
                let one = self.allowed.get(at)?;
                (one.first() <= entry.what.first() && entry.what.last() <= one.last()).then_some(())
            };
            if outer.checked_sub(1).and_then(within).is_some() {
                info.allowed += 1;
            }
            self.entries.push(Entry {
                what: entry.what,
                note: first_note + entry.note,
                around: NONE,
                list,
                confidence: entry.confidence,
            });
        }
        for entry in harvest.names {
            match entry.what {
                Name::Domain(_) => info.domains += 1,
                Name::Ja3(_) | Name::Ja4(_) => info.fingerprints += 1,
            }
            let at = self.named.len() as u32;
            let next = self.names.insert(entry.what, at).unwrap_or(NONE);
            self.named.push(Named {
                note: first_note + entry.note,
                next,
                list,
                confidence: entry.confidence,
            });
        }
        self.lists.push(info);
    }

    /// Which entries hold an address, the most precise first. Nothing is allocated.
    #[inline]
    pub fn of_address(&self, address: IpAddr) -> Matches<'_> {
        let number = prefix::number(address);
        let at = match prefix::v4(number) {
            Some(v4) => self.v4.at(v4),
            None => self.v6.at(number),
        };
        Matches {
            lists: self,
            at,
            left: MATCHES_MAX,
        }
    }

    /// What lists say of an address.
    pub fn matches(&self, address: IpAddr) -> Vec<Match> {
        let told = |at: u32| {
            let entry = &self.entries[at as usize];
            self.told(
                address.to_string(),
                entry.what.to_string(),
                (entry.note, entry.list, entry.confidence),
            )
        };
        self.of_address(address).map(told).collect()
    }

    /// What lists say of both sides of a flow. Nothing is allocated where neither is listed.
    pub fn of_flow(&self, sides: [IpAddr; 2]) -> Vec<Match> {
        let mut found = Vec::new();
        for side in sides {
            found.extend(self.matches(side));
        }
        found
    }

    /// What lists say of a domain and of those above it.
    pub fn of_domain(&self, name: &str) -> Vec<Match> {
        let mut found = Vec::new();
        let Ok(Indicator::Domain(name)) = Indicator::parse(name) else {
            return found;
        };
        let mut rest = name.as_str();
        loop {
            if self
                .allowed_domains
                .binary_search_by(|one| one.as_str().cmp(rest))
                .is_ok()
            {
                return Vec::new();
            }
            let mut at = self
                .names
                .get(&Name::Domain(rest.to_owned()))
                .copied()
                .unwrap_or(NONE);
            while at != NONE && found.len() < MATCHES_MAX {
                let entry = &self.named[at as usize];
                found.push(self.told(
                    name.clone(),
                    rest.to_owned(),
                    (entry.note, entry.list, entry.confidence),
                ));
                at = entry.next;
            }
            match rest.split_once('.') {
                Some((_, above)) => rest = above,
                None => return found,
            }
        }
    }

    /// What lists say of whatever this is: an address, a domain, a fingerprint.
    pub fn of_text(&self, text: &str) -> Vec<Match> {
        let name = match Indicator::parse(text) {
            Ok(Indicator::Prefixes(parts)) => {
                let address = text.trim().parse().ok();
                // Of a prefix, what is said of all of it: of its first address.
                let first = parts.first().map(ToString::to_string);
                let first = first.and_then(|text| text.split('/').next()?.parse().ok());
                return address
                    .or(first)
                    .map_or_else(Vec::new, |address| self.matches(address));
            }
            Ok(Indicator::Domain(name)) => return self.of_domain(&name),
            Ok(Indicator::Ja3(print)) => Name::Ja3(print),
            Ok(Indicator::Ja4(print)) => Name::Ja4(print),
            Err(_) => return Vec::new(),
        };
        let at = self.names.get(&name).copied();
        let told = |at: u32| {
            let entry = &self.named[at as usize];
            let text = text.trim().to_owned();
            self.told(
                text.clone(),
                text,
                (entry.note, entry.list, entry.confidence),
            )
        };
        at.map(told).into_iter().collect()
    }

    fn told(
        &self,
        subject: String,
        entry: String,
        (note, list, confidence): (u32, u16, u8),
    ) -> Match {
        let note = &self.notes[note as usize];
        Match {
            subject,
            list: self.lists[usize::from(list)].name.clone(),
            entry,
            label: note.label.clone(),
            source: note.source.clone(),
            confidence: (confidence != UNSURE).then_some(confidence),
        }
    }

    /// The allowed prefix that holds an address.
    pub fn allowed(&self, address: IpAddr) -> Option<Prefix> {
        let at = self
            .allowed
            .partition_point(|one| *one <= Prefix::single(address));
        let around = self.allowed.get(at.checked_sub(1)?)?;
        around.contains(address).then_some(*around)
    }

    /// What became of each list.
    pub fn lists(&self) -> &[ListInfo] {
        &self.lists
    }

    /// Whether there is nothing to match.
    pub fn is_empty(&self) -> bool {
        self.entries() == 0
    }

    /// Entries of all lists.
    pub fn entries(&self) -> usize {
        self.entries.len() + self.named.len()
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        let name = |name: &Name| {
            let (Name::Domain(text) | Name::Ja3(text) | Name::Ja4(text)) = name;
            text.len()
        };
        let note = |note: &Note| note.label.len() + note.source.len() + size_of::<Note>();
        self.v4.bytes()
            + self.v6.bytes()
            + size_of_val(self.entries.as_slice())
            + size_of_val(self.named.as_slice())
            + self.names.keys().map(name).sum::<usize>()
            + self.names.capacity() * (size_of::<Name>() + 5)
            + self.notes.iter().map(note).sum::<usize>()
    }

    /// An entry of addresses, by its place among all: prefix and name of its list.
    pub fn entry(&self, at: u32) -> Option<(Prefix, &str)> {
        let entry = self.entries.get(at as usize)?;
        Some((entry.what, &self.lists[usize::from(entry.list)].name))
    }

    /// Gives back what a list was read to, so that it can be kept when it cannot be read again.
    pub(super) fn again(&self, name: &str) -> Option<Read> {
        let at = self.lists.iter().position(|list| list.name == name)?;
        let info = &self.lists[at];
        let mut harvest = Harvest::default();
        harvest.losses = info.losses;
        harvest.quoted.clone_from(&info.quoted);
        let mut notes = HashMap::new();
        let mut keep = |note: u32| {
            *notes.entry(note).or_insert_with(|| {
                harvest.notes.push(self.notes[note as usize].clone());
                harvest.notes.len() as u32 - 1
            })
        };
        let mine = |list: u16| usize::from(list) == at;
        harvest.prefixes = self
            .entries
            .iter()
            .filter(|entry| mine(entry.list))
            .map(|entry| Listed {
                what: entry.what,
                note: keep(entry.note),
                confidence: entry.confidence,
            })
            .collect();
        for (what, first) in &self.names {
            let mut at = *first;
            while at != NONE {
                let entry = &self.named[at as usize];
                if mine(entry.list) {
                    harvest.names.push(Listed {
                        what: what.clone(),
                        note: keep(entry.note),
                        confidence: entry.confidence,
                    });
                }
                at = entry.next;
            }
        }
        Some((info.name.clone(), info.form, harvest))
    }
}

/// Entries that hold an address, the most precise first, by their place.
#[derive(Clone, Debug)]
pub struct Matches<'a> {
    lists: &'a Lists,
    at: u32,
    left: usize,
}

impl Iterator for Matches<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.at == NONE || self.left == 0 {
            return None;
        }
        let at = self.at;
        self.left -= 1;
        self.at = self.lists.entries[at as usize].around;
        Some(at)
    }
}
