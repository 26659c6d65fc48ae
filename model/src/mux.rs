//! Walks ordinary trees, 32 rows at once with AVX2 (64 with AVX-512: `avx512::ordinary`), by walking all of every tree: from the leaves up, each node picks,
//! row by row, the path length of its left or its right child. That is a comparison and a selection of bytes per node,
//! without a branch or a gather, and for trees of 256 rows cheaper than to follow each row down.

use crate::forest::{MAX_DEPTH, Node};
use crate::walk::BLOCK;
use std::arch::x86_64::*;

/// Rows walked together.
pub(crate) const LANES: usize = 32;
/// One byte per row.
type Lanes = [u8; LANES];

/// Trees whose 8-bit path lengths fit a 16-bit sum.
pub(crate) const TREES_PER_SUM: usize = 257;
/// Operands below are constants, path lengths; from here on they are slots.
const SLOTS: u16 = 256;

/// All trees of a forest as selections, children before their parents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) picks: Vec<Pick>,
    /// End of each tree's selections, and the operand that is its result.
    pub(crate) trees: Vec<(usize, u16)>,
}

/// `out = code > threshold ? right : left`, row by row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick {
    pub(crate) column: u16,
    pub(crate) left: u16,
    pub(crate) right: u16,
    pub(crate) out: u16,
    pub(crate) threshold: u8,
}

/// What selections read and write: every constant, and a slot for each level of a tree that can be waiting.
pub(crate) const OPERANDS: usize = 256 + MAX_DEPTH + 2;

/// Writes the constants, a line of lanes each.
pub(crate) fn set_constants<const LANES: usize>(operands: &mut [u8]) {
    for (lanes, constant) in operands.as_chunks_mut::<LANES>().0.iter_mut().zip(0..=255) {
        lanes.fill(constant);
    }
}

impl Program {
    /// Adds a tree in pre-order with the path lengths of its leaves.
    pub(crate) fn push(&mut self, nodes: &[Node], paths: &mut impl Iterator<Item = u8>) {
        let result = self.subtree(&mut nodes.iter(), paths, SLOTS);
        self.trees.push((self.picks.len(), result));
    }

    /// The operand that is the result of the subtree that comes next; it may use slots from `free` on.
    fn subtree(
        &mut self,
        rest: &mut std::slice::Iter<'_, Node>,
        paths: &mut impl Iterator<Item = u8>,
        free: u16,
    ) -> u16 {
        let Some(&Node::Split { column, threshold }) = rest.next() else {
            return u16::from(paths.next().unwrap_or(0));
        };
        let left = self.subtree(rest, paths, free);
        // The left result waits in `free` while the right is made.
        let right = self.subtree(rest, paths, free + u16::from(left >= SLOTS));
        self.picks.push(Pick {
            column,
            left,
            right,
            out: free,
            threshold,
        });
        free
    }

    /// Adds the path lengths of up to [`LANES`] rows from `start` on to `sums`; `codes[column * BLOCK + row]`.
    #[target_feature(enable = "avx2")]
    pub(crate) fn run(&self, codes: &[u8], start: usize, operands: &mut [Lanes], sums: &mut [u32]) {
        let low_bytes = _mm256_set1_epi16(0xff);
        let mut from = 0;
        for trees in self.trees.chunks(TREES_PER_SUM) {
            let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
            for &(end, result) in trees {
                for pick in &self.picks[from..end] {
                    let code = codes[usize::from(pick.column) * BLOCK + start..].first_chunk();
                    let code = load(code.expect("a block of codes"));
                    let left = load(&operands[usize::from(pick.left)]);
                    let right = load(&operands[usize::from(pick.right)]);
                    // What is left of a code after taking the threshold away, and never below 0, is 0 if it stays left.
                    let over = _mm256_subs_epu8(code, _mm256_set1_epi8(pick.threshold as i8));
                    let stays = _mm256_cmpeq_epi8(over, _mm256_setzero_si256());
                    let out = _mm256_blendv_epi8(right, left, stays);
                    // SAFETY: the slot is 32 bytes long, and the store needs no alignment.
                    unsafe {
                        _mm256_storeu_si256(
                            operands[usize::from(pick.out)].as_mut_ptr().cast(),
                            out,
                        );
                    };
                }
                from = end;
                let paths = load(&operands[usize::from(result)]);
                even = _mm256_add_epi16(even, _mm256_and_si256(paths, low_bytes));
                odd = _mm256_add_epi16(odd, _mm256_srli_epi16::<8>(paths));
            }
            let (even, odd) = (crate::avx2::store(even), crate::avx2::store(odd));
            for (row, sum) in sums.iter_mut().enumerate() {
                let half = if row % 2 == 0 { &even } else { &odd };
                *sum += u32::from(half[row / 2]);
            }
        }
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(lanes: &Lanes) -> __m256i {
    // SAFETY: the array is 32 bytes long, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
}
