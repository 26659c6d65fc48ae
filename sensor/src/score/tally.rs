//! Counts distinct things exactly up to a bound, and says so when there were more.

use std::collections::BTreeMap;

/// How often each of at most a fixed number of things was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<T> {
    seen: BTreeMap<T, u64>,
    bound: usize,
    full: bool,
}

impl<T: Ord + Copy> Tally<T> {
    /// Nothing seen; remembers at most `bound` distinct things.
    pub const fn new(bound: usize) -> Self {
        Self {
            seen: BTreeMap::new(),
            bound,
            full: false,
        }
    }

    /// Counts one.
    pub fn add(&mut self, thing: T) {
        self.add_many(thing, 1);
    }

    /// Counts what another counted.
    pub fn merge(&mut self, other: &Self) {
        for (thing, count) in &other.seen {
            self.add_many(*thing, *count);
        }
        self.full |= other.full;
    }

    /// Counts so many of one.
    pub fn add_many(&mut self, thing: T, many: u64) {
        if let Some(count) = self.seen.get_mut(&thing) {
            *count += many;
        } else if self.seen.len() < self.bound {
            self.seen.insert(thing, many);
        } else {
            self.full = true;
        }
    }

    /// Takes one back.
    pub fn remove(&mut self, thing: &T) {
        if let Some(count) = self.seen.get_mut(thing) {
            *count -= 1;
            if *count == 0 {
                self.seen.remove(thing);
            }
        }
    }

    /// Whether it is remembered.
    pub fn contains(&self, thing: &T) -> bool {
        self.seen.contains_key(thing)
    }

    /// How often it was seen; 0 for what is not remembered.
    pub fn count(&self, thing: &T) -> u64 {
        self.seen.get(thing).copied().unwrap_or(0)
    }

    /// What is remembered.
    pub fn things(&self) -> impl Iterator<Item = &T> {
        self.seen.keys()
    }

    /// Distinct things remembered.
    pub fn distinct(&self) -> usize {
        self.seen.len()
    }

    /// Whether there were more than could be remembered.
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// The one seen most often (the smallest of them), and how often.
    pub fn most(&self) -> Option<(T, u64)> {
        self.seen
            .iter()
            .map(|(thing, count)| (*thing, *count))
            .max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)))
    }

    /// Those seen most often, the smaller first among equals, and how often.
    pub fn top(&self, count: usize) -> Vec<(T, u64)> {
        let mut all: Vec<_> = self.seen.iter().map(|(thing, n)| (*thing, *n)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(count);
        all
    }

    /// Distinct things as text: `812`, or `more than 1024`.
    pub fn text(&self) -> String {
        if self.full {
            format!("more than {}", super::count(self.distinct() as f64))
        } else {
            super::count(self.distinct() as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_bounded_and_says_so() {
        let mut tally = Tally::new(3);
        for thing in [5, 5, 1, 2] {
            tally.add(thing);
        }
        assert_eq!(
            (tally.distinct(), tally.is_full(), tally.most()),
            (3, false, Some((5, 2)))
        );
        assert_eq!(tally.text(), "3");
        tally.add(9);
        assert_eq!(tally.text(), "more than 3");
        let mut both = Tally::new(4);
        both.add_many(2, 7);
        both.merge(&tally);
        assert_eq!((both.distinct(), both.most()), (3, Some((2, 8))));
        assert!(both.is_full(), "nobody knows what the other left out");
        tally.remove(&5);
        tally.remove(&5);
        assert_eq!(tally.most(), Some((1, 1)));
    }
}
