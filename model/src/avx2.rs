//! Walks level-shared trees with AVX2, 32 rows at a time.
//!
//! A row's place in the tree is a byte, its heap index `h`, and all rows of a level compare the same column, so a
//! level is: look the thresholds up by `h`, compare, `h = 2h + above`. A look-up in 16 bytes is one `vpshufb`; larger
//! tables are several of them, chosen among by the outcomes of the first levels, which are the high bits of `h`.

use crate::search::{STRIP, Search};
use crate::walk::{BLOCK, LevelWalk};
use std::arch::x86_64::*;

/// Rows walked together.
pub(crate) const LANES: usize = 32;

/// Trees whose 8-bit path lengths fit a 16-bit sum.
const TREES_PER_SUM: usize = 257;

/// Adds the path lengths of up to [`LANES`] rows from `start` on to `sums`; `codes[column * BLOCK + row]`.
#[target_feature(enable = "avx2")]
pub(crate) fn level_shared(trees: &[LevelWalk], codes: &[u8], start: usize, sums: &mut [u32]) {
    for trees in trees.chunks(TREES_PER_SUM) {
        let low_bytes = _mm256_set1_epi16(0xff);
        let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for tree in trees {
            let paths = tree_paths(tree, codes, start);
            even = _mm256_add_epi16(even, _mm256_and_si256(paths, low_bytes));
            odd = _mm256_add_epi16(odd, _mm256_srli_epi16::<8>(paths));
        }
        let (even, odd) = (store(even), store(odd));
        for (row, sum) in sums.iter_mut().enumerate() {
            let half = if row % 2 == 0 { &even } else { &odd };
            *sum += u32::from(half[row / 2]);
        }
    }
}

/// Turns a whole strip of at least eight columns: `room[column * STRIP + row] = rows[row * width + column]`, in
/// squares of eight.
#[target_feature(enable = "avx2")]
pub(crate) fn turn(rows: &[f32], width: usize, room: &mut [f32]) {
    for row in (0..STRIP).step_by(8) {
        // The last square overlaps the one before if the width is not a multiple of eight.
        for column in (0..width).step_by(8).map(|column| column.min(width - 8)) {
            let line = |i: usize| {
                load_floats(
                    rows[(row + i) * width + column..]
                        .first_chunk()
                        .expect("eight columns are left"),
                )
            };
            let pairs: [__m256; 8] = std::array::from_fn(|i| {
                let (a, b) = (line(i / 4 * 4 + i % 2), line(i / 4 * 4 + i % 2 + 2));
                if i % 4 < 2 {
                    _mm256_unpacklo_ps(a, b)
                } else {
                    _mm256_unpackhi_ps(a, b)
                }
            });
            // pairs[4g + k] holds, for k = 0, 1: lines 4g + k and 4g + k + 2 at columns 0, 1 | 4, 5; k = 2, 3: 2, 3 | 6, 7.
            let fours: [__m256; 8] = std::array::from_fn(|i| {
                let group = i / 4 * 4 + i % 4 / 2 * 2;
                let (a, b) = (pairs[group], pairs[group + 1]);
                if i % 2 == 0 {
                    _mm256_unpacklo_ps(a, b)
                } else {
                    _mm256_unpackhi_ps(a, b)
                }
            });
            // fours[4g + c] holds lines 4g to 4g + 3 at columns c | c + 4.
            for i in 0..8 {
                let (a, b) = (fours[i % 4], fours[4 + i % 4]);
                let out = if i < 4 {
                    _mm256_permute2f128_ps::<0x20>(a, b)
                } else {
                    _mm256_permute2f128_ps::<0x31>(a, b)
                };
                let to: &mut [f32; 8] = room[(column + i) * STRIP + row..]
                    .first_chunk_mut()
                    .expect("room for every column");
                // SAFETY: the array is 32 bytes long, and the store needs no alignment.
                unsafe { _mm256_storeu_ps(to.as_mut_ptr(), out) };
            }
        }
    }
}

/// The codes of at least the first `count` values of a strip: as [`Search::code`], eight at a time.
#[target_feature(enable = "avx2")]
pub(crate) fn codes(search: &Search, values: &[f32; STRIP], count: usize, codes: &mut [u8; STRIP]) {
    let part = |at: usize| match at < count {
        true => eight_codes(
            search,
            values[at..].first_chunk().expect("a strip is four eights"),
        ),
        false => _mm256_setzero_si256(),
    };
    let low = _mm256_packus_epi32(part(0), part(8));
    let high = _mm256_packus_epi32(part(16), part(24));
    // Packing works in each half of the vector: put the pieces of four codes back in order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let packed = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
    // SAFETY: the array is 32 bytes long, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), packed) };
}

/// The codes of eight values, as integers.
///
/// `vpermps` looks up in eight cuts by the low three bits of the heap index; the outcomes of the first levels, its
/// high bits, choose among more.
#[target_feature(enable = "avx2")]
#[inline]
fn eight_codes(search: &Search, values: &[f32; 8]) -> __m256i {
    let values = load_floats(values);
    let cuts = |part: usize, heap: __m256i| {
        let cuts = search.heap[part * 8..]
            .first_chunk()
            .expect("the heap is 32 eights");
        _mm256_permutevar8x32_ps(load_floats(cuts), heap)
    };
    let blend = |a: __m256, b: __m256, mask: __m256| _mm256_blendv_ps(a, b, mask);
    let above = |cut: __m256| _mm256_cmp_ps::<_CMP_GT_OQ>(values, cut);
    // A comparison that holds is -1.
    let below = |heap: __m256i, above: __m256| {
        _mm256_sub_epi32(_mm256_add_epi32(heap, heap), _mm256_castps_si256(above))
    };
    let levels = search.levels;
    let mut heap = _mm256_set1_epi32(1);
    let mut m = [_mm256_setzero_ps(); 5];
    for outcome in m.iter_mut().take(levels.min(3)) {
        *outcome = above(cuts(0, heap));
        heap = below(heap, *outcome);
    }
    if levels > 3 {
        m[3] = above(cuts(1, heap));
        heap = below(heap, m[3]);
    }
    let two = |part: usize, heap: __m256i, mask: __m256| {
        blend(cuts(part, heap), cuts(part + 1, heap), mask)
    };
    let four = |part: usize, heap: __m256i, [a, b]: [__m256; 2]| {
        blend(two(part, heap, b), two(part + 2, heap, b), a)
    };
    let eight = |part: usize, heap: __m256i, [a, b, c]: [__m256; 3]| {
        blend(four(part, heap, [b, c]), four(part + 4, heap, [b, c]), a)
    };
    if levels > 4 {
        m[4] = above(two(2, heap, m[0]));
        heap = below(heap, m[4]);
    }
    if levels > 5 {
        heap = below(heap, above(four(4, heap, [m[0], m[1]])));
    }
    if levels > 6 {
        heap = below(heap, above(eight(8, heap, [m[0], m[1], m[2]])));
    }
    if levels > 7 {
        let (low, high) = (
            eight(16, heap, [m[1], m[2], m[3]]),
            eight(24, heap, [m[1], m[2], m[3]]),
        );
        heap = below(heap, above(blend(low, high, m[0])));
    }
    let codes = _mm256_sub_epi32(heap, _mm256_set1_epi32(1 << levels));
    let missing = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(values, values));
    _mm256_blendv_epi8(codes, _mm256_set1_epi32(i32::from(search.missing)), missing)
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_floats(floats: &[f32; 8]) -> __m256 {
    // SAFETY: the array is 32 bytes long, and the load needs no alignment.
    unsafe { _mm256_loadu_ps(floats.as_ptr()) }
}

/// Path lengths of 32 rows in one tree.
#[target_feature(enable = "avx2")]
#[inline]
fn tree_paths(tree: &LevelWalk, codes: &[u8], start: usize) -> __m256i {
    // AVX2 compares signed bytes only: turning the highest bit over makes that the order of unsigned ones.
    let turn = _mm256_set1_epi8(-128);
    let code = |level: usize| {
        let column = &codes[usize::from(tree.columns[level]) * BLOCK + start..];
        _mm256_xor_si256(load(column), turn)
    };
    let threshold =
        |part: usize, heap: __m256i| _mm256_shuffle_epi8(table(&tree.thresholds, part), heap);
    let above = |level: usize, threshold: __m256i| {
        _mm256_cmpgt_epi8(code(level), _mm256_xor_si256(threshold, turn))
    };
    // A comparison that holds is -1.
    let below = |heap: __m256i, above: __m256i| _mm256_sub_epi8(_mm256_add_epi8(heap, heap), above);

    // Levels 0 to 3 have heap indices 1 to 15.
    let mut heap = _mm256_set1_epi8(1);
    let m0 = above(0, threshold(0, heap));
    heap = below(heap, m0);
    let m1 = above(1, threshold(0, heap));
    heap = below(heap, m1);
    let m2 = above(2, threshold(0, heap));
    heap = below(heap, m2);
    let m3 = above(3, threshold(0, heap));
    heap = below(heap, m3);
    // From level 4 on `vpshufb` sees the low four bits; the first outcomes choose among the tables.
    heap = below(heap, above(4, threshold(1, heap)));
    let t = _mm256_blendv_epi8(threshold(2, heap), threshold(3, heap), m0);
    heap = below(heap, above(5, t));
    let t = _mm256_blendv_epi8(
        _mm256_blendv_epi8(threshold(4, heap), threshold(5, heap), m1),
        _mm256_blendv_epi8(threshold(6, heap), threshold(7, heap), m1),
        m0,
    );
    heap = below(heap, above(6, t));
    // Now the highest bit of the index is set, which `vpshufb` would take for "give 0".
    let low = _mm256_and_si256(heap, _mm256_set1_epi8(15));
    let t = eight(&tree.thresholds, 8, low, [m0, m1, m2]);
    heap = below(heap, above(7, t));
    let low = _mm256_and_si256(heap, _mm256_set1_epi8(15));
    _mm256_blendv_epi8(
        eight(&tree.path, 0, low, [m1, m2, m3]),
        eight(&tree.path, 8, low, [m1, m2, m3]),
        m0,
    )
}

/// Look-up in the eight 16-byte parts from `part` on; the masks are the bits of the part, highest first.
#[target_feature(enable = "avx2")]
#[inline]
fn eight(bytes: &[u8; 256], part: usize, low: __m256i, [a, b, c]: [__m256i; 3]) -> __m256i {
    let two = |part: usize| {
        _mm256_blendv_epi8(
            _mm256_shuffle_epi8(table(bytes, part), low),
            _mm256_shuffle_epi8(table(bytes, part + 1), low),
            c,
        )
    };
    let four = |part: usize| _mm256_blendv_epi8(two(part), two(part + 2), b);
    _mm256_blendv_epi8(four(part), four(part + 4), a)
}

/// The 16 bytes of a part, in both halves of a vector.
#[target_feature(enable = "avx2")]
#[inline]
fn table(bytes: &[u8; 256], part: usize) -> __m256i {
    let bytes = &bytes[part * 16..part * 16 + 16];
    // SAFETY: the slice is 16 bytes long, and the load needs no alignment.
    let part = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    _mm256_broadcastsi128_si256(part)
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(bytes: &[u8]) -> __m256i {
    let bytes = &bytes[..LANES];
    // SAFETY: the slice is 32 bytes long, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn store(vector: __m256i) -> [u16; 16] {
    let mut out = [0; 16];
    // SAFETY: the array is 32 bytes long, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), vector) };
    out
}
