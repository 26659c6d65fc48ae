//! Walks ordinary trees, up to four vectors of rows at once (of 32 with AVX2, of 64 with AVX-512: `avx512::ordinary`), by
//! walking all of every tree: from the leaves up, each node picks, row by row, the path length of its left or its right
//! child. That is a comparison and a selection of bytes per node and vector, without a branch or a gather, and for trees
//! of 256 rows cheaper than to follow each row down.
//!
//! A node nearly always waits for the one before it, its child. So several trees are walked in turns, and several vectors
//! at each node: they do not wait for each other, and the vectors share what it costs to read the node. The codes of 256
//! rows and the operands fit the first cache.

use crate::forest::{MAX_DEPTH, Node};
use crate::walk::BLOCK;
use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Rows of a vector.
pub(crate) const LANES: usize = 32;
/// Most vectors walked together.
pub(crate) const VECTORS: usize = 4;
/// One byte per row.
type Lanes = [u8; LANES];

/// Trees whose 8-bit path lengths fit a 16-bit sum.
const TREES_PER_SUM: usize = 257;
/// Operands below are constants, path lengths, a line for all vectors; from here on they are slots, a line for each.
const SLOTS: u16 = 256;

/// Trees walked in turns.
const TOGETHER: usize = 4;

/// All trees of a forest as selections, children before their parents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    picks: Vec<Pick>,
    groups: Vec<Group>,
    /// One more than the last column that is tested.
    columns: usize,
}

/// Trees that are walked in turns.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// End of their selections.
    end: usize,
    /// Their results; the constant 0 where there are fewer trees.
    results: [Operand; TOGETHER],
}

/// Something that is picked from: a constant or a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    /// Its first line.
    line: u16,
    /// Lines from that of one vector to that of the next: 0 of constants, 1 of slots.
    apart: u16,
}

/// `out = code > threshold ? right : left`, row by row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick {
    left: Operand,
    right: Operand,
    /// First line of the slot.
    out: u16,
    column: u16,
    pub(crate) threshold: u8,
}

/// Lines of the slots of one tree: for each level that can be waiting.
const TREE_LINES: usize = (MAX_DEPTH + 2) * VECTORS;
/// Lines that selections read and write: every constant, and the slots.
pub(crate) const OPERANDS: usize = SLOTS as usize + TOGETHER * TREE_LINES;

/// Writes the constants, a line of lanes each.
pub(crate) fn set_constants<const LANES: usize>(operands: &mut [u8]) {
    for (lanes, constant) in operands.as_chunks_mut::<LANES>().0.iter_mut().zip(0..=255) {
        lanes.fill(constant);
    }
}

impl Operand {
    fn constant(path: u8) -> Self {
        Self {
            line: path.into(),
            apart: 0,
        }
    }

    const fn is_slot(self) -> bool {
        self.apart > 0
    }
}

impl Program {
    /// Of trees in pre-order, each with the path lengths of its leaves.
    pub(crate) fn new<'a>(trees: impl Iterator<Item = (&'a [Node], Vec<u8>)>) -> Self {
        let mut trees: Vec<_> = trees.collect();
        // Those of one length go together. Path lengths are integers: the order of trees makes no difference to their sum.
        trees.sort_by_key(|(nodes, _)| nodes.len());
        let mut program = Self::default();
        for trees in trees.chunks(TOGETHER) {
            let mut results = [Operand::constant(0); TOGETHER];
            let mut parts: [Vec<Pick>; TOGETHER] = Default::default();
            for (at, (nodes, paths)) in trees.iter().enumerate() {
                let mut paths = paths.iter().copied();
                let first = usize::from(SLOTS) + at * TREE_LINES;
                let free = first as u16..(first + TREE_LINES) as u16;
                results[at] = subtree(&mut parts[at], &mut nodes.iter(), &mut paths, free);
            }
            let longest = parts.iter().map(Vec::len).max().unwrap_or(0);
            let turns = (0..longest).flat_map(|turn| parts.iter().map(move |part| part.get(turn)));
            program.picks.extend(turns.flatten());
            program.groups.push(Group {
                end: program.picks.len(),
                results,
            });
        }
        let columns = program
            .picks
            .iter()
            .map(|pick| usize::from(pick.column) + 1);
        program.columns = columns.max().unwrap_or(0);
        program
    }

    /// The program as something to run on up to [`VECTORS`] vectors of `LANES` rows from `start` on.
    ///
    /// # Panics
    /// If there are fewer codes or operands than it reads and writes.
    #[inline(always)]
    pub(crate) fn on<'a, const LANES: usize>(
        &'a self,
        vectors: usize,
        codes: &'a [u8],
        start: usize,
        operands: &'a mut [[u8; LANES]],
    ) -> Run<'a, LANES> {
        assert!(vectors <= VECTORS && start + vectors * LANES <= BLOCK);
        assert!(codes.len() >= self.columns * BLOCK && operands.len() >= OPERANDS);
        Run {
            program: self,
            vectors,
            codes: codes[start..].as_ptr(),
            operands: operands.as_mut_ptr(),
            borrowed: PhantomData,
        }
    }

    /// Adds the path lengths of up to `COUNT` vectors of rows from `start` on to `sums`; `codes[column * BLOCK + row]`.
    #[target_feature(enable = "avx2")]
    pub(crate) fn run<const COUNT: usize>(
        &self,
        codes: &[u8],
        start: usize,
        operands: &mut [Lanes],
        sums: &mut [u32],
    ) {
        let low_bytes = _mm256_set1_epi16(0xff);
        let mut run = self.on::<LANES>(COUNT, codes, start, operands);
        for groups in run.sums() {
            let mut even = [_mm256_setzero_si256(); COUNT];
            let mut odd = even;
            for group in groups {
                for pick in run.picks(group) {
                    let threshold = _mm256_set1_epi8(pick.threshold as i8);
                    let mut picked = [_mm256_setzero_si256(); COUNT];
                    for (i, picked) in picked.iter_mut().enumerate() {
                        let [code, left, right] = run.read(pick, i);
                        // What is left of a code after taking the threshold away, and never below 0, is 0 if it stays left.
                        let over = _mm256_subs_epu8(load(code), threshold);
                        let stays = _mm256_cmpeq_epi8(over, _mm256_setzero_si256());
                        *picked = _mm256_blendv_epi8(load(right), load(left), stays);
                    }
                    for (i, picked) in picked.into_iter().enumerate() {
                        // SAFETY: the slot is 32 bytes long, and the store needs no alignment.
                        unsafe { _mm256_storeu_si256(run.out(pick, i).cast(), picked) };
                    }
                }
                for i in 0..COUNT {
                    for paths in run.results(group, i) {
                        let paths = load(paths);
                        even[i] = _mm256_add_epi16(even[i], _mm256_and_si256(paths, low_bytes));
                        odd[i] = _mm256_add_epi16(odd[i], _mm256_srli_epi16::<8>(paths));
                    }
                }
            }
            for (sums, (even, odd)) in sums.chunks_mut(LANES).zip(even.into_iter().zip(odd)) {
                let (even, odd) = (crate::avx2::store(even), crate::avx2::store(odd));
                for (row, sum) in sums.iter_mut().enumerate() {
                    let half = if row % 2 == 0 { &even } else { &odd };
                    *sum += u32::from(half[row / 2]);
                }
            }
        }
    }
}

/// A program with what it reads and writes, looked at once before it runs: it reads far more than it computes, and to ask
/// each time whether it may would cost as much again.
pub(crate) struct Run<'a, const LANES: usize> {
    program: &'a Program,
    vectors: usize,
    /// From the first row on. `columns` times [`BLOCK`] bytes long, less the rows before; what is read of a column are `vectors`
    /// that its block has from there.
    codes: *const u8,
    /// [`OPERANDS`] of them.
    operands: *mut [u8; LANES],
    borrowed: PhantomData<&'a mut [u8]>,
}

impl<'a, const LANES: usize> Run<'a, LANES> {
    /// The groups of trees, as many at a time as a 16-bit sum holds.
    #[inline(always)]
    pub(crate) fn sums(&self) -> impl Iterator<Item = Range<usize>> + use<LANES> {
        const GROUPS: usize = TREES_PER_SUM / TOGETHER;
        let count = self.program.groups.len();
        (0..count)
            .step_by(GROUPS)
            .map(move |from| from..count.min(from + GROUPS))
    }

    /// The selections of a group.
    #[inline(always)]
    pub(crate) fn picks(&self, group: usize) -> &'a [Pick] {
        let groups = &self.program.groups;
        let begin = group.checked_sub(1).map_or(0, |before| groups[before].end);
        &self.program.picks[begin..groups[group].end]
    }

    /// Codes, left and right of vector `i`.
    #[inline(always)]
    pub(crate) fn read(&self, pick: &Pick, i: usize) -> [&[u8; LANES]; 3] {
        // Known when this is compiled, as below.
        assert!(i < self.vectors);
        let at = usize::from(pick.column) * BLOCK + i * LANES;
        // SAFETY: the column is one of the program's, whose codes were there when the run was made, and the vector one of
        // those left in the block.
        let codes = unsafe { &*self.codes.wrapping_add(at).cast() };
        [codes, self.line(pick.left, i), self.line(pick.right, i)]
    }

    #[inline(always)]
    fn line(&self, operand: Operand, i: usize) -> &[u8; LANES] {
        assert!(i < self.vectors);
        let line = usize::from(operand.line) + i * usize::from(operand.apart);
        // SAFETY: constants lie before the slots, and slots have been found to end within the operands when the program
        // was made.
        unsafe { &*self.operands.wrapping_add(line) }
    }

    /// Where vector `i` of the result is to be written: a line, within the operands as those that are read.
    #[inline(always)]
    pub(crate) fn out(&mut self, pick: &Pick, i: usize) -> *mut u8 {
        assert!(i < self.vectors);
        let slot = usize::from(pick.out) + i;
        self.operands.wrapping_add(slot).cast()
    }

    /// Path lengths in the trees of a group whose selections have been made.
    #[inline(always)]
    pub(crate) fn results(&self, group: usize, i: usize) -> [&[u8; LANES]; TOGETHER] {
        self.program.groups[group]
            .results
            .map(|result| self.line(result, i))
    }
}

/// Appends the selections of the subtree that comes next, and answers what is its result; `free` are the lines of the slots
/// that it may use.
fn subtree(
    picks: &mut Vec<Pick>,
    rest: &mut std::slice::Iter<'_, Node>,
    paths: &mut impl Iterator<Item = u8>,
    free: Range<u16>,
) -> Operand {
    let Some(&Node::Split { column, threshold }) = rest.next() else {
        return Operand::constant(paths.next().unwrap_or(0));
    };
    assert!(free.len() >= VECTORS, "a tree deeper than any");
    let left = subtree(picks, rest, paths, free.clone());
    // The left result waits in the first slot while the right is made.
    let waiting = if left.is_slot() { VECTORS as u16 } else { 0 };
    let right = subtree(picks, rest, paths, free.start + waiting..free.end);
    picks.push(Pick {
        left,
        right,
        out: free.start,
        column,
        threshold,
    });
    Operand {
        line: free.start,
        apart: 1,
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(lanes: &Lanes) -> __m256i {
    // SAFETY: the array is 32 bytes long, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
}
