//! A fast hash of short keys: folded multiplication, as in wyhash and foldhash.

use std::hash::{BuildHasher, RandomState};

/// Secret of one table. Two processes have different ones, so nobody can prepare keys that collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// From the operating system's randomness.
    pub(crate) fn random() -> Self {
        Self(RandomState::new().hash_one(0_u64))
    }

    /// Hash of `words` under this seed.
    #[inline(always)]
    pub(crate) fn hash(self, words: &[u64]) -> u64 {
        hash(self.0, words)
    }
}

/// Hash of `words` that is the same everywhere and always: for ids and sketches, whose values are output.
#[inline(always)]
pub(crate) fn fixed_hash(words: &[u64]) -> u64 {
    hash(0x243f_6a88_85a3_08d3, words)
}

/// Odd constants from the digits of pi (Blowfish's P-array), nothing up the sleeve.
const ODD: [u64; 2] = [0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1];

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline(always)]
fn hash(seed: u64, words: &[u64]) -> u64 {
    let mut state = seed ^ ODD[0];
    for pair in words.chunks(2) {
        // The seed is in both factors, so a zero factor cannot be chosen from outside.
        let second = pair.get(1).copied().unwrap_or(0);
        state = fold(pair[0] ^ state, second ^ seed.rotate_left(32) ^ ODD[1]);
    }
    fold(state ^ ODD[1], seed ^ ODD[0] ^ words.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_the_key_moves_about_half_of_the_hash() {
        let base = [1_u64, 2, 3, 4, 5];
        let origin = Seed(7).hash(&base);
        for word in 0..5 {
            for bit in 0..64 {
                let mut other = base;
                other[word] ^= 1 << bit;
                let moved = (origin ^ Seed(7).hash(&other)).count_ones();
                assert!(
                    (12..=52).contains(&moved),
                    "word {word} bit {bit}: {moved} bits"
                );
            }
        }
    }

    #[test]
    fn fixed_hash_is_pinned() {
        // Flow ids are output: a change of this value is a change of the format.
        assert_eq!(fixed_hash(&[1, 2, 3]), 18_320_922_470_605_510_922);
        assert_ne!(fixed_hash(&[1, 2, 3]), fixed_hash(&[1, 2, 3, 0]));
    }
}
