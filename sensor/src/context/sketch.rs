//! Counting distinct values in 32 bytes: a multiresolution bitmap.
//!
//! Estan, Varghese, Fisk, "Bitmap Algorithms for Counting Active Flows on High Speed Links" (IMC 2003), with three
//! components that see all values, an eighth and a sixty-fourth of them. Setting bits commutes, so neither
//! order nor repetition matters, and the union of two is their OR. Exact to a few percent up to about 200, within a
//! quarter up to about 10,000; beyond that it stays at its greatest value.

/// A set of 64-bit hashes of which only the size is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sketch([u64; 4]);

/// Below this many bits set, a component is not full enough to be unreliable (load about 1.9).
const FULL: [u32; 2] = [108, 54];

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
    /// Adds a value by its hash.
    #[inline(always)]
    pub(super) fn add(&mut self, hash: u64) {
        let bit = hash & 127;
        self.0[(bit >> 6) as usize] |= 1 << (bit & 63);
        // Independent bits of the hash choose the sample and the place in it.
        let sample = hash >> 32;
        let place = 1 << (hash >> 16 & 63);
        if sample & 7 == 0 {
            self.0[2] |= place;
            if sample & 63 == 0 {
                self.0[3] |= 1 << (hash >> 24 & 63);
            }
        }
    }

    /// Values in either.
    #[inline(always)]
    pub(super) fn union(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// Estimated number of distinct values.
    #[inline(always)]
    pub(super) fn estimate(&self) -> f32 {
        let [a, b, c, d] = self.0.map(u64::count_ones);
        if a + b <= FULL[0] {
            OF_128[(a + b) as usize]
        } else if c <= FULL[1] {
            OF_64[c as usize] * 8.0
        } else {
            OF_64[d as usize] * 64.0
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
