//! Walks level-shared trees with AVX-512 VBMI, 64 rows at a time: as `avx2`, but a look-up in 64 bytes is one
//! `vpermb` and one in 128 bytes one `vpermi2b`.

use crate::mux::Program;
use crate::search::{STRIP, Search};
use crate::walk::{BLOCK, LevelWalk};
use std::arch::x86_64::*;

/// Rows walked together.
pub(crate) const LANES: usize = 64;

/// Trees whose 8-bit path lengths fit a 16-bit sum.
const TREES_PER_SUM: usize = 257;

/// Adds the path lengths of up to [`LANES`] rows from `start` on to `sums`; `codes[column * BLOCK + row]`.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(crate) fn level_shared(trees: &[LevelWalk], codes: &[u8], start: usize, sums: &mut [u32]) {
    for trees in trees.chunks(TREES_PER_SUM) {
        let low_bytes = _mm512_set1_epi16(0xff);
        let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for tree in trees {
            let paths = tree_paths(tree, codes, start);
            even = _mm512_add_epi16(even, _mm512_and_si512(paths, low_bytes));
            odd = _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(paths));
        }
        let (even, odd) = (store(even), store(odd));
        for (row, sum) in sums.iter_mut().enumerate() {
            let half = if row % 2 == 0 { &even } else { &odd };
            *sum += u32::from(half[row / 2]);
        }
    }
}

/// As [`Program::run`], with vectors of [`LANES`] rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(crate) fn ordinary<const COUNT: usize>(
    program: &Program,
    codes: &[u8],
    start: usize,
    operands: &mut [[u8; LANES]],
    sums: &mut [u32],
) {
    let low_bytes = _mm512_set1_epi16(0xff);
    let mut run = program.on::<LANES>(COUNT, codes, start, operands);
    for groups in run.sums() {
        let mut even = [_mm512_setzero_si512(); COUNT];
        let mut odd = even;
        for group in groups {
            for pick in run.picks(group) {
                let threshold = _mm512_set1_epi8(pick.threshold as i8);
                let mut picked = [_mm512_setzero_si512(); COUNT];
                for (i, picked) in picked.iter_mut().enumerate() {
                    let [code, left, right] = run.read(pick, i);
                    let above = _mm512_cmpgt_epu8_mask(load(code), threshold);
                    *picked = _mm512_mask_blend_epi8(above, load(left), load(right));
                }
                for (i, picked) in picked.into_iter().enumerate() {
                    // SAFETY: the slot is 64 bytes long, and the store needs no alignment.
                    unsafe { _mm512_storeu_si512(run.out(pick, i).cast(), picked) };
                }
            }
            for i in 0..COUNT {
                for paths in run.results(group, i) {
                    let paths = load(paths);
                    even[i] = _mm512_add_epi16(even[i], _mm512_and_si512(paths, low_bytes));
                    odd[i] = _mm512_add_epi16(odd[i], _mm512_srli_epi16::<8>(paths));
                }
            }
        }
        for (sums, (even, odd)) in sums.chunks_mut(LANES).zip(even.into_iter().zip(odd)) {
            let (even, odd) = (store(even), store(odd));
            for (row, sum) in sums.iter_mut().enumerate() {
                let half = if row % 2 == 0 { &even } else { &odd };
                *sum += u32::from(half[row / 2]);
            }
        }
    }
}

/// The codes of at least the first `count` values of a strip: as [`Search::code`], sixteen at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(crate) fn codes(search: &Search, values: &[f32; STRIP], count: usize, codes: &mut [u8; STRIP]) {
    let parts = values
        .as_chunks::<16>()
        .0
        .iter()
        .zip(codes.as_chunks_mut::<16>().0);
    for (values, codes) in parts.take(count.div_ceil(16)) {
        let packed = _mm512_cvtepi32_epi8(sixteen_codes(search, values));
        // SAFETY: the array is 16 bytes long, and the store needs no alignment.
        unsafe { _mm_storeu_si128(codes.as_mut_ptr().cast(), packed) };
    }
}

/// The codes of sixteen values, as integers.
///
/// `vpermps` looks up in sixteen cuts by the low four bits of the heap index, `vpermt2ps` in 32 by five; higher bits
/// choose among more.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn sixteen_codes(search: &Search, values: &[f32; 16]) -> __m512i {
    let values = load_floats(values);
    let part = |part: usize| {
        load_floats(
            search.heap[part * 16..]
                .first_chunk()
                .expect("the heap is 16 sixteens"),
        )
    };
    let one = _mm512_set1_epi32(1);
    let below = |heap: __m512i, cuts: __m512| {
        let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(values, cuts);
        let heap = _mm512_add_epi32(heap, heap);
        _mm512_mask_add_epi32(heap, above, heap, one)
    };
    let levels = search.levels;
    let mut heap = one;
    let first = part(0);
    for _ in 0..levels.min(4) {
        heap = below(heap, _mm512_permutexvar_ps(heap, first));
    }
    if levels > 4 {
        heap = below(heap, _mm512_permutexvar_ps(heap, part(1)));
    }
    let of_32 = |at: usize, heap: __m512i| _mm512_permutex2var_ps(part(at), heap, part(at + 1));
    let of_64 = |at: usize, heap: __m512i| {
        let high = _mm512_test_epi32_mask(heap, _mm512_set1_epi32(32));
        _mm512_mask_blend_ps(high, of_32(at, heap), of_32(at + 2, heap))
    };
    if levels > 5 {
        heap = below(heap, of_32(2, heap));
    }
    if levels > 6 {
        heap = below(heap, of_64(4, heap));
    }
    if levels > 7 {
        let high = _mm512_test_epi32_mask(heap, _mm512_set1_epi32(64));
        heap = below(
            heap,
            _mm512_mask_blend_ps(high, of_64(8, heap), of_64(12, heap)),
        );
    }
    let codes = _mm512_sub_epi32(heap, _mm512_set1_epi32(1 << levels));
    let missing = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(values, values);
    _mm512_mask_blend_epi32(missing, codes, _mm512_set1_epi32(i32::from(search.missing)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn load_floats(floats: &[f32; 16]) -> __m512 {
    // SAFETY: the array is 64 bytes long, and the load needs no alignment.
    unsafe { _mm512_loadu_ps(floats.as_ptr()) }
}

/// Path lengths of 64 rows in one tree.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn tree_paths(tree: &LevelWalk, codes: &[u8], start: usize) -> __m512i {
    let above = |level: usize, threshold: __m512i| {
        let column = &codes[usize::from(tree.columns[level]) * BLOCK + start..];
        _mm512_cmpgt_epu8_mask(load(column), threshold)
    };
    let minus_one = _mm512_set1_epi8(-1);
    let below = |heap: __m512i, above: __mmask64| {
        let heap = _mm512_add_epi8(heap, heap);
        _mm512_mask_sub_epi8(heap, above, heap, minus_one)
    };
    // Levels 0 to 5 have heap indices 1 to 63, level 6 has 64 to 127, of which `vpermb` sees the low six bits.
    let first = load(&tree.thresholds);
    let mut heap = _mm512_set1_epi8(1);
    for level in 0..6 {
        heap = below(heap, above(level, _mm512_permutexvar_epi8(heap, first)));
    }
    heap = below(
        heap,
        above(
            6,
            _mm512_permutexvar_epi8(heap, load(&tree.thresholds[64..])),
        ),
    );
    // Level 7 has 128 to 255, of which `vpermi2b` sees the low seven.
    let of_128 = |bytes: &[u8], heap: __m512i| {
        _mm512_permutex2var_epi8(load(bytes), heap, load(&bytes[64..]))
    };
    heap = below(heap, above(7, of_128(&tree.thresholds[128..], heap)));
    _mm512_mask_blend_epi8(
        _mm512_movepi8_mask(heap),
        of_128(&tree.path, heap),
        of_128(&tree.path[128..], heap),
    )
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn load(bytes: &[u8]) -> __m512i {
    let bytes = &bytes[..LANES];
    // SAFETY: the slice is 64 bytes long, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn store(vector: __m512i) -> [u16; 32] {
    let mut out = [0; 32];
    // SAFETY: the array is 64 bytes long, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), vector) };
    out
}
