//! Raw values to 8-bit codes, once per row: every tree then compares bytes.
//!
//! The code of a value is the number of cuts below it. The cuts are the forest's own thresholds, at most 255 a
//! column, so that `code > k` says exactly what `value > cut[k]` says.

use crate::baseline::Profile;
use crate::names::Names;
use crate::score::Path;
use crate::search::{STRIP, Search};
use crate::walk::BLOCK;

/// Cuts a column may have.
pub(crate) const MAX_CUTS: usize = 255;

/// The cuts of one column, ascending: raw values, or surprisals if the column is categorical.
pub(crate) type Cuts = Vec<f32>;

/// Thins sorted cuts to [`MAX_CUTS`], evenly by rank.
pub(crate) fn thin(mut cuts: Cuts) -> Cuts {
    cuts.sort_unstable_by(f32::total_cmp);
    cuts.dedup();
    if cuts.len() <= MAX_CUTS {
        return cuts;
    }
    let last = cuts.len() - 1;
    (0..MAX_CUTS)
        .map(|i| cuts[(i * last + (MAX_CUTS - 1) / 2) / (MAX_CUTS - 1)])
        .collect()
}

/// Gives the codes of one column, value by value.
#[derive(Clone, Debug)]
pub(crate) enum Coder {
    /// Values along a line.
    Ordered(Box<Search>),
    /// Values that are names.
    Named(Names),
}

impl Coder {
    /// A coder for a column of the baseline. `cuts` ascend strictly and are at most [`MAX_CUTS`].
    pub(crate) fn new(profile: &Profile, cuts: &[f32]) -> Self {
        let median = profile.median();
        let below = |place: f32| cuts.partition_point(|&cut| place > cut) as u8;
        // A missing value counts as the median.
        match profile.transform {
            crate::Transform::Categorical => {
                let other = below(profile.position(f32::NAN));
                let known: Vec<(f32, u8)> = profile
                    .categories
                    .iter()
                    .map(|c| (c.value, below(c.surprisal)))
                    .filter(|&(_, code)| code != other)
                    .collect();
                Self::Named(Names::new(&known, other, median))
            }
            _ => Self::Ordered(Box::new(Search::new(cuts, below(median)))),
        }
    }

    /// The code of a raw value.
    pub(crate) fn code(&self, value: f32) -> u8 {
        match self {
            Self::Ordered(search) => search.code(value),
            Self::Named(names) => names.code(value),
        }
    }
}

/// Fewest rows worth turning into columns.
const FEW: usize = 4;

/// Gives the codes of all columns, a block of rows at a time.
#[derive(Clone, Debug)]
pub(crate) struct Quantiser {
    width: usize,
    /// Columns that some tree tests, in order: the others need no codes.
    columns: Vec<(usize, Coder)>,
}

impl Quantiser {
    pub(crate) fn new(profiles: &[Profile], cuts: &[Cuts]) -> Self {
        let used = (0..cuts.len()).filter(|&column| !cuts[column].is_empty());
        let columns = used.map(|column| (column, Coder::new(&profiles[column], &cuts[column])));
        Self {
            width: cuts.len(),
            columns: columns.collect(),
        }
    }

    /// Floats that [`Quantiser::quantise`] needs room for.
    pub(crate) fn room(&self) -> usize {
        self.width * STRIP
    }

    /// Codes of up to [`BLOCK`] rows, column by column: `codes[column * BLOCK + row]`. Columns that no tree tests
    /// are left as they are.
    pub(crate) fn quantise(&self, path: Path, rows: &[f32], room: &mut [f32], codes: &mut [u8]) {
        if rows.len() < FEW * self.width {
            for (row, values) in rows.chunks_exact(self.width).enumerate() {
                for (column, coder) in &self.columns {
                    codes[column * BLOCK + row] = coder.code(values[*column]);
                }
            }
            return;
        }
        for (strip, rows) in rows.chunks(STRIP * self.width).enumerate() {
            // Column by column, so that vectors hold values of one column. A strip that is not full leaves what was
            // there before, and codes that nobody reads.
            turn(path, rows, self.width, room);
            let count = rows.len() / self.width;
            for (column, coder) in &self.columns {
                let values: &[f32; STRIP] = room[column * STRIP..]
                    .first_chunk()
                    .expect("room for every column");
                let codes: &mut [u8; STRIP] = codes[column * BLOCK + strip * STRIP..]
                    .first_chunk_mut()
                    .expect("a strip is part of a block");
                match coder {
                    Coder::Ordered(search) => strip_codes(path, search, values, count, codes),
                    Coder::Named(names) => {
                        for (code, &value) in codes.iter_mut().zip(&values[..count]) {
                            *code = names.code(value);
                        }
                    }
                }
            }
        }
    }
}

/// Turns a strip of rows into columns: `room[column * STRIP + row]`.
fn turn(path: Path, rows: &[f32], width: usize, room: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if path != Path::Portable && rows.len() == STRIP * width && width >= 8 {
        // SAFETY: whoever names this path has found (`Path::runs_here`) what the function enables; AVX-512 has AVX2.
        return unsafe { crate::avx2::turn(rows, width, room) };
    }
    let _ = path;
    for (row, values) in rows.chunks_exact(width).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            room[column * STRIP + row] = value;
        }
    }
}

/// The codes of the first `count` values of a strip (and perhaps of others) by the fastest means.
fn strip_codes(
    path: Path,
    search: &Search,
    values: &[f32; STRIP],
    count: usize,
    codes: &mut [u8; STRIP],
) {
    match path {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: whoever names this path has found (`Path::runs_here`) what the function enables.
        Path::Avx2 => unsafe { crate::avx2::codes(search, values, count, codes) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: likewise.
        Path::Avx512 => unsafe { crate::avx512::codes(search, values, count, codes) },
        _ if count == STRIP => *codes = search.codes(values),
        _ => {
            for (code, &value) in codes.iter_mut().zip(&values[..count]) {
                *code = search.code(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rows, Transform};

    #[test]
    fn a_code_counts_the_cuts_below() {
        let rows = Rows {
            values: vec![1.0, 2.0, 3.0],
            columns: 1,
        };
        let profile = Profile::learn(&rows, &[0, 1, 2], 0, Transform::Linear);
        let coder = Coder::new(&profile, &[-1.5, 1.0, 2.5]);
        let codes = [
            f32::NEG_INFINITY,
            -1.5,
            0.0,
            1.0,
            1.1,
            9.0,
            f32::INFINITY,
            f32::NAN,
        ]
        .map(|v| coder.code(v));
        assert_eq!(codes, [0, 0, 1, 1, 2, 3, 3, 2]);
    }

    #[test]
    fn thinning_keeps_the_ends() {
        let cuts = thin((0..5000).rev().map(|i| i as f32).collect());
        assert_eq!(cuts.len(), MAX_CUTS);
        assert_eq!((cuts[0], cuts[MAX_CUTS - 1]), (0.0, 4999.0));
        assert!(cuts.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
