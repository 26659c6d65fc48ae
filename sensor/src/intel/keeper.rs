//! Lists that are looked after: read again when they change, and kept as they were when they go bad.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use super::{
    Lists,
    compiled::Read,
    harvest::Harvest,
    load::{self, Limits, ListError, Look},
};

/// What a look at the lists found.
#[derive(Debug)]
pub enum Event {
    /// A list was read.
    Read {
        /// Its name.
        list: String,
        /// Its entries.
        entries: usize,
    },
    /// A list cannot be used; what it said before, if anything, stays.
    Refused {
        /// Its name.
        list: String,
        /// Why.
        why: ListError,
        /// Whether what it said before stays.
        kept: bool,
    },
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    name: String,
    allows: bool,
    /// What it was like when it was last read, well or not.
    taken: Option<Look>,
    /// What it was like at the last look: a file that is still being written changes between two.
    seen: Option<Look>,
    /// Of a list of what is allowed: what it said.
    allowed: Option<Harvest>,
}

/// Which lists there are, and what they may cost.
#[derive(Debug, Default)]
struct Watching {
    limits: Limits,
    lists: Vec<Watched>,
}

impl Watching {
    /// Other lists; those that were there keep what is known of them.
    fn set(&mut self, lists: &[PathBuf], allow: &[PathBuf], limits: Limits) {
        self.limits = limits;
        let mut before = std::mem::take(&mut self.lists);
        let all = lists
            .iter()
            .map(|path| (path, false))
            .chain(allow.iter().map(|path| (path, true)));
        for (path, allows) in all {
            let known = (before.iter()).position(|one| one.path == *path && one.allows == allows);
            let list = match known {
                Some(at) => before.remove(at),
                None => {
                    let others = || self.lists.iter().chain(&before);
                    Watched {
                        path: path.clone(),
                        name: unique(path, |name| others().any(|list| list.name == name)),
                        allows,
                        taken: None,
                        seen: None,
                        allowed: None,
                    }
                }
            };
            self.lists.push(list);
        }
    }
}

/// Lists with what they say now.
#[derive(Debug)]
pub struct Keeper {
    current: RwLock<Arc<Lists>>,
    watching: Mutex<Watching>,
}

impl Keeper {
    /// Reads lists, and lists of what is allowed. Those that cannot be read are told, and tried again when they change.
    pub fn open(
        lists: &[PathBuf],
        allow: &[PathBuf],
        limits: Limits,
        now_ns: u64,
    ) -> (Self, Vec<Event>) {
        let keeper = Self {
            current: RwLock::new(Arc::new(Lists::default())),
            watching: Mutex::default(),
        };
        let events = keeper.set(lists, allow, limits, now_ns);
        (keeper, events)
    }

    /// Has it look after other lists from now on, and reads all of them. What a list said that stays is what it says until it is
    /// read.
    pub fn set(
        &self,
        lists: &[PathBuf],
        allow: &[PathBuf],
        limits: Limits,
        now_ns: u64,
    ) -> Vec<Event> {
        let mut watching = self.lock();
        watching.set(lists, allow, limits);
        self.read(&mut watching, now_ns, true)
    }

    fn lock(&self) -> MutexGuard<'_, Watching> {
        self.watching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the lists say now.
    pub fn current(&self) -> Arc<Lists> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// Looks whether lists changed, and reads those that did and have come to rest; all of them where it is `forced`
    /// (a signal, or that entries expire).
    pub fn look(&self, now_ns: u64, forced: bool) -> Vec<Event> {
        self.read(&mut self.lock(), now_ns, forced)
    }

    fn read(&self, watching: &mut Watching, now_ns: u64, forced: bool) -> Vec<Event> {
        let Watching {
            limits: all,
            lists: watched,
        } = watching;
        let mut due = Vec::new();
        for (at, list) in watched.iter_mut().enumerate() {
            let look = load::look(&list.path);
            let at_rest = look == list.seen;
            list.seen = look;
            // A list that vanished stays as it was, unless somebody asks.
            if forced || (at_rest && look.is_some() && look != list.taken) {
                list.taken = look;
                due.push(at);
            }
        }
        if due.is_empty() && !forced {
            return Vec::new();
        }
        let old = self.current();
        let mut events = Vec::new();
        let mut left = all.entries;
        let mut lists: Vec<Read> = Vec::new();
        for (at, list) in watched.iter_mut().enumerate() {
            let before = if list.allows {
                None
            } else {
                old.again(&list.name)
            };
            if !due.contains(&at) {
                left = left.saturating_sub(before.as_ref().map_or(0, |read| read.2.entries()));
                lists.extend(before);
                continue;
            }
            let limits = Limits {
                entries: left,
                ..all.clone()
            };
            // What is allowed may well be our own.
            let limits = if list.allows {
                Limits {
                    space: super::Space::new(Vec::new(), true),
                    ..limits
                }
            } else {
                limits
            };
            let held = match (&list.allowed, &before) {
                (Some(allowed), _) => allowed.entries(),
                (None, Some(before)) => before.2.entries(),
                (None, None) => 0,
            };
            let read = load::read(&list.path, &limits, now_ns).and_then(|(harvest, form)| {
                if harvest.entries() == 0 && held > 0 {
                    Err(ListError::Emptied {
                        path: list.path.clone(),
                    })
                } else {
                    Ok((harvest, form))
                }
            });
            match read {
                Ok((harvest, form)) => {
                    events.push(Event::Read {
                        list: list.name.clone(),
                        entries: harvest.entries(),
                    });
                    if list.allows {
                        list.allowed = Some(harvest);
                    } else {
                        left = left.saturating_sub(harvest.entries());
                        lists.push((list.name.clone(), form, harvest));
                    }
                }
                Err(why) => {
                    events.push(Event::Refused {
                        list: list.name.clone(),
                        why,
                        kept: held > 0,
                    });
                    left = left.saturating_sub(before.as_ref().map_or(0, |read| read.2.entries()));
                    lists.extend(before);
                }
            }
        }
        let allow: Vec<Harvest> = watched
            .iter()
            .filter_map(|list| list.allowed.clone())
            .collect();
        let compiled = Arc::new(Lists::new(lists, &allow));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = compiled;
        events
    }
}

/// A name that no other list has.
fn unique(path: &Path, is_taken: impl Fn(&str) -> bool) -> String {
    let name = load::name(path);
    let mut wanted = name.clone();
    let mut number = 2;
    while is_taken(&wanted) {
        wanted = format!("{name}-{number}");
        number += 1;
    }
    wanted
}
