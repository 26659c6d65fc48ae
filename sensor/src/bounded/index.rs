//! Open-addressing index from a hash to a slot number: linear probing, backward-shift deletion, at most half full.
//! It is as large as what it has held at once, so that few flows stay in the cache however many there may be.

/// Maps hashes to slot numbers; the keys themselves live in the caller's slots.
#[derive(Debug)]
pub(crate) struct Index {
    /// 0 is empty, otherwise `tag << 32 | slot + 1`. The tag is the upper half of the hash and also says where
    /// the entry is at home, so that moving entries never needs the key.
    entries: Vec<u64>,
    mask: u32,
    /// Entries in use.
    held: u32,
}

const SIZE_MIN: usize = 1 << 10;

#[inline(always)]
const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Index {
    /// For at most `capacity` slots.
    pub(crate) fn new(capacity: u32) -> Self {
        let size = (u64::from(capacity.max(8)) * 2).next_power_of_two();
        assert!(size <= 1 << 31, "index capacity {capacity}");
        let size = (size as usize).min(SIZE_MIN);
        Self {
            entries: vec![0; size],
            mask: (size - 1) as u32,
            held: 0,
        }
    }

    #[inline(always)]
    fn home(&self, tag: u32) -> u32 {
        tag & self.mask
    }

    /// Asks the cache for the home of `hash`.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        super::prefetch(&self.entries, self.home(tag(hash)) as usize, 0);
    }

    /// The first slot whose tag fits: very likely the right one, good enough to prefetch it.
    #[inline(always)]
    pub(crate) fn guess(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// The slot under `hash` that `is` accepts.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut at = self.home(tag);
        loop {
            let entry = self.entries[at as usize];
            if entry == 0 {
                return None;
            }
            let slot = entry as u32 - 1;
            if (entry >> 32) as u32 == tag && is(slot) {
                return Some(slot);
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Adds `slot`; the caller has made sure that there is room and that it is not there yet.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, slot: u32) {
        self.held += 1;
        if self.held as usize * 2 > self.entries.len() {
            self.grow();
        }
        self.put(u64::from(tag(hash)) << 32 | u64::from(slot + 1));
    }

    #[inline(always)]
    fn put(&mut self, entry: u64) {
        let mut at = self.home((entry >> 32) as u32);
        while self.entries[at as usize] != 0 {
            at = (at + 1) & self.mask;
        }
        self.entries[at as usize] = entry;
    }

    /// Twice the size. The capacity bounds what is held and with it this.
    #[cold]
    fn grow(&mut self) {
        let size = self.entries.len() * 2;
        let entries = std::mem::replace(&mut self.entries, vec![0; size]);
        self.mask = (size - 1) as u32;
        for entry in entries {
            if entry != 0 {
                self.put(entry);
            }
        }
    }

    /// Removes `slot`, which is in the index under `hash`.
    #[inline]
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        let mut hole = self.home(tag(hash));
        while self.entries[hole as usize] as u32 != slot + 1 {
            debug_assert_ne!(
                self.entries[hole as usize], 0,
                "slot {slot} is not in the index"
            );
            hole = (hole + 1) & self.mask;
        }
        // Move back whatever would not be found any more across the hole (Knuth, TAOCP 6.4, algorithm R).
        let mut next = hole;
        loop {
            next = (next + 1) & self.mask;
            let entry = self.entries[next as usize];
            if entry == 0 {
                break;
            }
            let home = self.home((entry >> 32) as u32);
            let distance_to_home = next.wrapping_sub(home) & self.mask;
            let distance_to_hole = next.wrapping_sub(hole) & self.mask;
            if distance_to_home >= distance_to_hole {
                self.entries[hole as usize] = entry;
                hole = next;
            }
        }
        self.entries[hole as usize] = 0;
        self.held -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn grows_with_what_it_holds_and_loses_nothing() {
        const CAPACITY: u32 = 5_000;
        let hash = |slot: u32| crate::bounded::fixed_hash(&[u64::from(slot)]);
        let mut index = Index::new(CAPACITY);
        let at_first = index.entries.len();
        for slot in 0..CAPACITY {
            index.insert(hash(slot), slot);
            if slot % 3 == 0 {
                index.remove(hash(slot), slot);
            }
        }
        for slot in 0..CAPACITY {
            let expected = (slot % 3 != 0).then_some(slot);
            assert_eq!(index.find(hash(slot), |found| found == slot), expected);
        }
        assert!(index.entries.len() > at_first);
        // At most half full, and never larger than the capacity asks for.
        assert_eq!(index.entries.len(), 8_192);
    }

    proptest! {
        /// Against a plain map, with hashes drawn from so few values that they collide all the time.
        #[test]
        fn agrees_with_a_map(steps in prop::collection::vec((0_u64..24, any::<bool>()), 0..200)) {
            let mut index = Index::new(24);
            let mut model = std::collections::BTreeMap::new();
            for (key, add) in steps {
                let hash = (key % 5) << 32 | key << 60;
                let slot = key as u32;
                if add && model.insert(key, slot).is_none() {
                    index.insert(hash, slot);
                } else if !add && model.remove(&key).is_some() {
                    index.remove(hash, slot);
                }
                for key in 0..24 {
                    let found = index.find((key % 5) << 32 | key << 60, |slot| slot == key as u32);
                    prop_assert_eq!(found, model.get(&key).copied());
                }
            }
        }
    }
}
