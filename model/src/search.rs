//! A value's code by binary search without a branch: the cuts lie in heap order, so that a step of the search is
//! `h = 2h + above`, the same as a step down a level-shared tree, and small enough for vector registers.

/// Values coded in one go.
pub(crate) const STRIP: usize = 32;

/// The cuts of one column, laid out for searching.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Search {
    /// The middle cut at 1, the middles of the halves at 2 and 3, and so on; infinity where there is none.
    pub(crate) heap: [f32; 256],
    /// Steps of a search, 1 to 8.
    pub(crate) levels: usize,
    /// Code of a missing value.
    pub(crate) missing: u8,
}

impl Search {
    /// For at most 255 ascending cuts.
    pub(crate) fn new(cuts: &[f32], missing: u8) -> Self {
        let levels = (cuts.len() + 1)
            .next_power_of_two()
            .trailing_zeros()
            .clamp(1, 8) as usize;
        let mut heap = [f32::INFINITY; 256];
        for (index, slot) in heap.iter_mut().enumerate().take(1 << levels).skip(1) {
            // The index's leading 1 has the level's place; what follows is the way there.
            let level = index.ilog2() as usize;
            let way = index - (1 << level);
            let rank = ((2 * way + 1) << (levels - 1 - level)) - 1;
            *slot = cuts.get(rank).copied().unwrap_or(f32::INFINITY);
        }
        Self {
            heap,
            levels,
            missing,
        }
    }

    /// The number of cuts below a value.
    #[inline]
    pub(crate) fn code(&self, value: f32) -> u8 {
        let mut heap = 1usize;
        for _ in 0..self.levels {
            heap = 2 * heap + usize::from(value > self.heap[heap & 255]);
        }
        // The leading 1 has moved to the place of the level after the last.
        if value.is_nan() {
            self.missing
        } else {
            (heap - (1 << self.levels)) as u8
        }
    }

    /// The codes of a strip of values, level by level: the steps of one level do not wait for each other.
    pub(crate) fn codes(&self, values: &[f32; STRIP]) -> [u8; STRIP] {
        let mut heap = [1u16; STRIP];
        for _ in 0..self.levels {
            for (heap, value) in heap.iter_mut().zip(values) {
                *heap = 2 * *heap + u16::from(*value > self.heap[usize::from(*heap & 255)]);
            }
        }
        std::array::from_fn(|i| {
            if values[i].is_nan() {
                self.missing
            } else {
                (heap[i] - (1 << self.levels)) as u8
            }
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_value() -> impl Strategy<Value = f32> {
        prop_oneof![
            4 => any::<u32>().prop_map(f32::from_bits),
            4 => -1000f32..1000.0,
            2 => (0u32..2000).prop_map(|n| n as f32),
            1 => Just(f32::NAN),
        ]
    }

    pub(crate) fn any_cuts() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(
            any_value().prop_filter("finite", |cut| cut.is_finite()),
            1..=255,
        )
        .prop_map(|mut cuts| {
            cuts.iter_mut().for_each(|cut| *cut += 0.0);
            cuts.sort_unstable_by(f32::total_cmp);
            cuts.dedup();
            cuts
        })
    }

    proptest! {
        #[test]
        fn a_code_is_the_number_of_cuts_below(cuts in any_cuts(), values in prop::collection::vec(any_value(), 1..50)) {
            let search = Search::new(&cuts, 77);
            // The cuts themselves and their neighbours are the hard cases.
            let near = cuts.iter().flat_map(|&cut| [cut.next_down(), cut, cut.next_up()]);
            for value in values.into_iter().chain(near).chain([f32::INFINITY, f32::NEG_INFINITY]) {
                let right = if value.is_nan() { 77 } else { cuts.partition_point(|&cut| value > cut) as u8 };
                prop_assert_eq!(search.code(value), right, "{}", value);
            }
        }
    }
}
