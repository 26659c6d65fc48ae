//! Longest prefix match over a million prefixes.
//!
//! Prefixes nest or are apart, so together they cut the addresses into intervals, each with one innermost prefix (or
//! none): at most two intervals for each prefix, and one more. A look-up is then the search for the last interval that begins
//! at or before the address, over beginnings in blocks of cache lines with one layer of signposts above the other (a
//! static B-tree; Khuong and Morin, Array Layouts for Comparison-Based Searching, 2017). It neither allocates nor branches
//! on the data, and costs the same whoever chose the entries.

/// No prefix.
pub(super) const NONE: u32 = u32::MAX;

/// Ascending keys, `B` to a block; the search answers which is the last that is not greater.
#[derive(Clone, Debug)]
struct Search<K, const B: usize> {
    /// From the few signposts at the top down to all keys: blocks, and keys in them without the filling.
    layers: Vec<(Vec<[K; B]>, usize)>,
}

impl<K: Copy + Ord, const B: usize> Search<K, B> {
    /// Of keys in order. The first must be the least value there is: then each block that is looked at has a key that is
    /// not greater than what is wanted.
    fn new(keys: Vec<K>) -> Self {
        debug_assert!(keys.is_sorted());
        let mut layers = Vec::new();
        let mut keys = keys;
        loop {
            let blocks: Vec<[K; B]> = keys
                .chunks(B)
                .map(|part| std::array::from_fn(|at| part[at.min(part.len() - 1)]))
                .collect();
            let signposts: Vec<K> = blocks.iter().map(|block| block[0]).collect();
            let is_top = blocks.len() <= 1;
            layers.push((blocks, keys.len()));
            if is_top {
                layers.reverse();
                return Self { layers };
            }
            keys = signposts;
        }
    }

    /// Position of the last key that is not greater.
    #[inline]
    fn at(&self, wanted: K) -> usize {
        let mut at = 0;
        for (blocks, keys) in &self.layers {
            let reached: usize = blocks[at]
                .iter()
                .map(|key| usize::from(*key <= wanted))
                .sum();
            // A filled block repeats its last key: not beyond that.
            at = (at * B + reached.saturating_sub(1)).min(keys - 1);
        }
        at
    }
}

/// Values over intervals of keys.
#[derive(Clone, Debug)]
pub(super) struct Intervals<K, const B: usize> {
    search: Search<K, B>,
    values: Vec<u32>,
}

impl<K: Copy + Ord, const B: usize> Intervals<K, B> {
    /// Of where each begins and what holds from there, in order. Before the first, from `least` on, is nothing.
    pub(super) fn new(least: K, steps: impl Iterator<Item = (K, u32)>) -> Self {
        let (mut keys, mut values) = (vec![least], vec![NONE]);
        for (key, value) in steps {
            if keys.last() == Some(&key) {
                values.pop();
                values.push(value);
                // What begins here may be what held before.
                if values.len() > 1 && values[values.len() - 2] == value {
                    keys.pop();
                    values.pop();
                }
            } else if values.last() != Some(&value) {
                keys.push(key);
                values.push(value);
            }
        }
        keys.shrink_to_fit();
        values.shrink_to_fit();
        Self {
            search: Search::new(keys),
            values,
        }
    }

    /// What holds at a key.
    #[inline]
    pub(super) fn at(&self, key: K) -> u32 {
        self.values[self.search.at(key)]
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        let blocks = |(blocks, _): &(Vec<[K; B]>, usize)| size_of_val(blocks.as_slice());
        self.search.layers.iter().map(blocks).sum::<usize>() + size_of_val(self.values.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a scan, with keys at both ends of what there is.
        #[test]
        fn finds_what_a_scan_finds(
            mut keys in prop::collection::btree_set(any::<u32>(), 0..600),
            wanted in prop::collection::vec(any::<u32>(), 1..50),
            ends in any::<bool>(),
        ) {
            keys.insert(0);
            if ends {
                keys.insert(u32::MAX);
            }
            let keys: Vec<u32> = keys.into_iter().collect();
            let search = Search::<u32, 16>::new(keys.clone());
            let near = keys.iter().flat_map(|key| [key.wrapping_sub(1), *key, key.wrapping_add(1)]);
            for wanted in wanted.iter().copied().chain(near) {
                let scanned = keys.iter().rposition(|key| *key <= wanted).unwrap();
                prop_assert_eq!(search.at(wanted), scanned, "{} in {:?}", wanted, keys);
            }
        }
    }
}
