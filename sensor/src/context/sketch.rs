//! Counting distinct values in 32 bytes: a multiresolution bitmap.
//!
//! Estan, Varghese, Fisk, "Bitmap Algorithms for Counting Active Flows on High Speed Links" (IMC 2003), with three
//! components that see all values, an eighth and a sixty-fourth of them. Setting bits commutes, so neither
//! order nor repetition matters. Exact to a few percent up to about 200, within a
//! quarter up to about 10,000; beyond that it stays at its greatest value.

/// A set of 64-bit hashes of which only the size is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sketch {
    /// Two words for all values, one for an eighth of them, one for a sixty-fourth.
    words: [u64; 4],
    /// Bits set in each component, kept as they are set: sizes are asked for far more often than they change.
    set: [u8; 3],
}

/// Below this many bits set, a component is not full enough to be unreliable (load about 1.9).
const FULL: [u8; 2] = [108, 54];

/// Expected number of values that set `k` of `bits` bits: the coupon collector's sum. Only divisions and additions,
/// so every machine has the same table.
const fn collector<const N: usize>(bits: u32) -> [f32; N] {
    let mut table = [0.0; N];
    let mut sum = 0.0_f64;
    let mut k = 1;
    while k < N {
        // The last bit would take forever; half a bit more than one missing.
        let missing = bits as f64 - k as f64 + 1.0;
        sum += bits as f64 / missing;
        table[k] = sum as f32;
        k += 1;
    }
    table
}

static OF_128: [f32; 129] = collector(128);
static OF_64: [f32; 65] = collector(64);

impl Sketch {
    /// Of no value.
    pub(super) const EMPTY: Self = Self {
        words: [0; 4],
        set: [0; 3],
    };

    /// Adds a value by its hash.
    #[inline(always)]
    pub(super) fn add(&mut self, hash: u64) {
        // Independent bits of the hash choose the places and the samples.
        let sample = hash >> 32;
        self.set(0, (hash >> 6 & 1) as usize, hash & 63);
        // One value in eight, and one in eight of those: a branch that is seldom taken, and the same way for all the
        // sketches that a value goes into.
        if sample & 7 == 0 {
            self.set(1, 2, hash >> 16 & 63);
            if sample & 63 == 0 {
                self.set(2, 3, hash >> 24 & 63);
            }
        }
    }

    #[inline(always)]
    fn set(&mut self, component: usize, word: usize, place: u64) {
        let bit = 1 << place;
        let new = bit & !self.words[word];
        self.words[word] |= bit;
        self.set[component] += u8::from(new != 0);
    }

    /// Estimated number of distinct values.
    #[inline(always)]
    pub(super) fn estimate(&self) -> f32 {
        let [all, eighth, rare] = self.set;
        if all <= FULL[0] {
            OF_128[usize::from(all)]
        } else if eighth <= FULL[1] {
            OF_64[usize::from(eighth)] * 8.0
        } else {
            OF_64[usize::from(rare)] * 64.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::fixed_hash;

    #[test]
    fn estimates_stay_within_their_bounds_from_one_to_ten_thousand() {
        for (count, tolerance) in [
            (1, 0.01),
            (2, 0.26),
            (10, 0.15),
            (100, 0.15),
            (400, 0.4),
            (2_000, 0.4),
            (10_000, 0.4),
        ] {
            for round in 0..20_u64 {
                let mut sketch = Sketch::default();
                for value in 0..count {
                    sketch.add(fixed_hash(&[round, value]));
                }
                let error = f64::from(sketch.estimate()) / count as f64 - 1.0;
                assert!(
                    error.abs() <= tolerance * 2.0,
                    "{count} values, round {round}: off by {error:.2}"
                );
            }
        }
    }

    #[test]
    fn estimates_never_fall_as_values_come() {
        let mut sketch = Sketch::default();
        let mut last = 0.0;
        let mut drops = 0;
        for value in 0..20_000_u64 {
            sketch.add(fixed_hash(&[value]));
            drops += u32::from(sketch.estimate() < last);
            last = sketch.estimate();
        }
        // Only at the two changes of component.
        assert!(drops <= 2, "{drops} drops");
    }
}
