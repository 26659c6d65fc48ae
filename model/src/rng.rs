//! Random numbers that are the same everywhere, for ever: part of what "deterministic from a seed" means.

/// SplitMix64's finaliser, a bijection of `u64` that mixes every bit into every other.
///
/// Guy Steele, Doug Lea, Christine Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a stream of random numbers is for: streams of one seed are independent of each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Which rows a tree sees, and its splits.
    Tree(u32),
    /// Which rows are held out.
    Holdout,
    /// An autoencoder's first weights, and the order of its rows.
    Autoencoder,
}

/// Seed of a stream, by hashing: `seed + tree` would give neighbouring seeds nearly all their trees in common.
pub(crate) fn stream(seed: u64, purpose: Purpose) -> u64 {
    let tag = match purpose {
        Purpose::Tree(tree) => u64::from(tree),
        Purpose::Holdout => 1 << 32,
        Purpose::Autoencoder => 2 << 32,
    };
    mix(mix(seed) ^ mix(tag ^ 0x6973_6f6c_6174_696f))
}

/// xoshiro256++ 1.0 by David Blackman and Sebastiano Vigna.
#[derive(Clone, Debug)]
pub(crate) struct Rng([u64; 4]);

impl Rng {
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Self {
        let mut state = stream(seed, purpose);
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(state)
        }))
    }

    pub(crate) fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..bound`, without bias (Lemire 2019).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        loop {
            let wide = u128::from(self.next()) * u128::from(bound);
            if wide as u64 >= bound.wrapping_neg() % bound {
                return (wide >> 64) as u64;
            }
        }
    }

    /// `count` different numbers of `0..bound` (Floyd's algorithm), ascending; all of them if there are fewer.
    pub(crate) fn distinct(&mut self, count: usize, bound: usize) -> Vec<u32> {
        if count >= bound {
            return (0..bound as u32).collect();
        }
        let mut chosen = std::collections::BTreeSet::new();
        for top in bound - count..bound {
            let pick = self.below(top as u64 + 1) as u32;
            if !chosen.insert(pick) {
                chosen.insert(top as u32);
            }
        }
        chosen.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ten_neighbouring_seeds_share_no_tree() {
        let streams: HashSet<u64> = (0..10)
            .flat_map(|seed| (0..1000).map(move |tree| stream(seed, Purpose::Tree(tree))))
            .collect();
        assert_eq!(streams.len(), 10_000);
    }

    #[test]
    fn xoshiro_is_the_published_generator() {
        // First outputs of the reference C code from the state 1, 2, 3, 4.
        let mut rng = Rng([1, 2, 3, 4]);
        assert_eq!(
            [rng.next(), rng.next(), rng.next()],
            [41_943_041, 58_720_359, 3_588_806_011_781_223]
        );
    }

    #[test]
    fn a_sample_has_no_row_twice_and_reaches_every_row() {
        let mut rng = Rng::new(7, Purpose::Tree(0));
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let sample = rng.distinct(20, 50);
            assert_eq!(sample.len(), 20);
            assert!(sample.windows(2).all(|pair| pair[0] < pair[1]));
            seen.extend(sample);
        }
        assert_eq!(seen.len(), 50);
        assert_eq!(rng.distinct(9, 3), [0, 1, 2]);
    }
}
