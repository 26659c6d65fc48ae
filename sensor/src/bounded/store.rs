//! A bounded map with two generations of residents, for keys that an attacker can invent.

use super::{Index, Lists, Seed, prefetch};

/// Which resident had to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evicted {
    /// Nobody.
    None,
    /// One that had not yet proved itself.
    Newcomer,
    /// One that had come back before.
    Resident,
}

const NEW: usize = 0;
const PROVEN: usize = 1;

/// A map from `[u64; K]` to `V` for at most `capacity` keys: segmented LRU (Karedla, Love, Wherry 1994).
///
/// A key enters among the newcomers, who may hold a quarter of the room once it is full, and is promoted when it is
/// used in a later epoch. A flood of invented keys, each used once, therefore pushes out other newcomers and
/// leaves those alone that have come back.
#[derive(Debug)]
pub(crate) struct Store<const K: usize, V> {
    seed: Seed,
    index: Index,
    lists: Lists<2>,
    slots: Vec<Slot<K, V>>,
    capacity: u32,
    protected: u32,
}

#[derive(Debug)]
struct Slot<const K: usize, V> {
    key: [u64; K],
    list: u32,
    value: V,
}

impl<const K: usize, V> Store<K, V> {
    /// An empty store.
    pub(crate) fn new(capacity: u32, seed: Seed) -> Self {
        let capacity = capacity.max(4);
        Self {
            seed,
            index: Index::new(capacity),
            lists: Lists::new(capacity),
            slots: Vec::with_capacity(capacity as usize),
            capacity,
            protected: capacity - capacity / 4,
        }
    }

    /// Keys held.
    pub(crate) fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The value under `key`.
    #[inline]
    pub(crate) fn get(&self, key: &[u64; K]) -> Option<&V> {
        let slot = self.index.find(self.seed.hash(key), |slot| {
            self.slots[slot as usize].key == *key
        })?;
        Some(&self.slots[slot as usize].value)
    }

    /// The same, to change it; it does not count as use.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: &[u64; K]) -> Option<&mut V> {
        let slot = self.index.find(self.seed.hash(key), |slot| {
            self.slots[slot as usize].key == *key
        })?;
        Some(&mut self.slots[slot as usize].value)
    }

    /// Asks the cache for what `key` will need.
    #[inline]
    pub(crate) fn prefetch_slot(&self, key: &[u64; K]) {
        if let Some(slot) = self.index.guess(self.seed.hash(key)) {
            self.lists.prefetch(slot);
            let mut byte = 0;
            while byte < size_of::<Slot<K, V>>().min(512) {
                prefetch(&self.slots, slot as usize, byte);
                byte += 64;
            }
        }
    }

    /// The value under `key`, made by `new` if it is not there, used in `epoch`.
    #[inline]
    pub(crate) fn entry(
        &mut self,
        key: &[u64; K],
        epoch: u64,
        new: impl FnOnce() -> V,
    ) -> (&mut V, Evicted) {
        let hash = self.seed.hash(key);
        let found = self
            .index
            .find(hash, |slot| self.slots[slot as usize].key == *key);
        let (slot, evicted) = match found {
            Some(slot) => {
                self.touch(slot, epoch);
                (slot, Evicted::None)
            }
            None => {
                let (slot, evicted) = self.room(Slot {
                    key: *key,
                    list: NEW as u32,
                    value: new(),
                });
                self.index.insert(hash, slot);
                self.lists.push_back(NEW, slot, epoch);
                (slot, evicted)
            }
        };
        (&mut self.slots[slot as usize].value, evicted)
    }

    #[inline]
    fn touch(&mut self, slot: u32, epoch: u64) {
        if self.lists.stamp(slot) == epoch {
            return;
        }
        self.lists
            .remove(self.slots[slot as usize].list as usize, slot);
        self.slots[slot as usize].list = PROVEN as u32;
        self.lists.push_back(PROVEN, slot, epoch);
        if self.lists.len(PROVEN) > self.protected
            && let Some((oldest, stamp)) = self.lists.front(PROVEN)
        {
            self.lists.remove(PROVEN, oldest);
            self.slots[oldest as usize].list = NEW as u32;
            self.lists.push_back(NEW, oldest, stamp);
        }
    }

    fn room(&mut self, slot: Slot<K, V>) -> (u32, Evicted) {
        if self.len() < self.capacity {
            self.slots.push(slot);
            return (self.len() - 1, Evicted::None);
        }
        let (list, evicted) = if self.lists.len(NEW) > 0 {
            (NEW, Evicted::Newcomer)
        } else {
            (PROVEN, Evicted::Resident)
        };
        let (victim, _) = self.lists.front(list).expect("a full store has residents");
        self.lists.remove(list, victim);
        let hash = self.seed.hash(&self.slots[victim as usize].key);
        self.index.remove(hash, victim);
        self.slots[victim as usize] = slot;
        (victim, evicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store<1, u32> {
        Store::new(100, Seed(1))
    }

    #[test]
    fn a_flood_of_new_keys_leaves_those_alone_that_came_back() {
        let mut store = store();
        for epoch in 0..3 {
            for host in 0..50 {
                store.entry(&[host], epoch, || 0);
            }
        }
        let mut newcomers = 0;
        for invented in 1_000..100_000 {
            let (_, evicted) = store.entry(&[invented], 4, || 0);
            assert_ne!(evicted, Evicted::Resident);
            newcomers += u32::from(evicted == Evicted::Newcomer);
        }
        assert_eq!(store.len(), 100);
        assert_eq!(newcomers, 99_000 - 50);
        assert!((0..50).all(|host| store.get(&[host]).is_some()));
    }

    #[test]
    fn the_longest_unused_goes_first_when_all_have_proved_themselves() {
        let mut store = store();
        for epoch in 0..3 {
            for host in 0..100 {
                store.entry(&[host], epoch, || 0);
            }
        }
        store.entry(&[0], 3, || 0);
        store.entry(&[500], 4, || 0);
        assert!(store.get(&[0]).is_some());
        assert!(store.get(&[500]).is_some());
        assert_eq!(
            (0..100)
                .filter(|host| store.get(&[*host]).is_some())
                .count(),
            99
        );
    }
}
