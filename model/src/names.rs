//! Codes of categories: a hash table made so that no look-up has to search.

use crate::baseline::ordered;

/// The codes of the categories of one column.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    slots: Vec<(u32, u8)>,
    /// Odd multiplier of the hash, chosen for few probes.
    multiplier: u32,
    /// The hash is the product's highest bits: `32 - shift` of them.
    shift: u32,
    /// Slots that a category may have been put in, from its hash on.
    probes: usize,
    /// Code of the categories that are not there: the rarest's.
    other: u8,
    missing: u8,
}

impl Names {
    /// A table of different categories with their codes, for all others `other`; a missing value has the code of
    /// the category `median`.
    pub(crate) fn new(known: &[(f32, u8)], other: u8, median: f32) -> Self {
        let known: Vec<(u32, u8)> = known
            .iter()
            .map(|&(value, code)| (ordered(value), code))
            .collect();
        let slots = (known.len() * 4).next_power_of_two().max(16);
        let shift = 32 - slots.trailing_zeros();
        // A few multipliers are tried, and the one with which the unluckiest category lies nearest to its hash is kept.
        let tried = (0..32u32).map(|turn| {
            let multiplier = 0x9e37_79b1u32.wrapping_mul(2 * turn + 1);
            Self::fill(&known, slots, multiplier, shift, other)
        });
        let mut names = tried
            .min_by_key(|names| names.probes)
            .expect("32 were tried");
        names.missing = names.code(median);
        names
    }

    fn fill(known: &[(u32, u8)], slots: usize, multiplier: u32, shift: u32, other: u8) -> Self {
        // NaN has no key among the ordered ones, so 0 marks a free slot; it has the code of what is not there.
        let mut names = Self {
            slots: vec![(0, other); slots],
            multiplier,
            shift,
            probes: 1,
            other,
            missing: other,
        };
        for &(key, code) in known {
            let home = names.home(key);
            let mut probe = 0;
            while names.slots[(home + probe) & (slots - 1)].0 != 0 {
                probe += 1;
            }
            names.slots[(home + probe) & (slots - 1)] = (key, code);
            names.probes = names.probes.max(probe + 1);
        }
        names
    }

    fn home(&self, key: u32) -> usize {
        (key.wrapping_mul(self.multiplier) >> self.shift) as usize
    }

    /// The code of a raw value.
    #[inline]
    pub(crate) fn code(&self, value: f32) -> u8 {
        let key = ordered(value);
        let home = self.home(key);
        let mut code = self.other;
        for probe in 0..self.probes {
            let (there, its) = self.slots[(home + probe) & (self.slots.len() - 1)];
            code = if there == key { its } else { code };
        }
        if value.is_nan() { self.missing } else { code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_is_found_and_nothing_else() {
        for count in [0, 1, 4, 100, 4096] {
            let known: Vec<(f32, u8)> = (0..count)
                .map(|i| ((i * 13) as f32, (i % 251) as u8))
                .collect();
            let names = Names::new(&known, 255, 13.0);
            for &(value, code) in &known {
                assert_eq!(names.code(value), code);
                assert_eq!(names.code(value + 0.5), 255);
            }
            assert_eq!(names.code(f32::NAN), if count > 1 { 1 } else { 255 });
            assert!(names.probes <= 24, "{} probes for {count}", names.probes);
        }
    }
}
