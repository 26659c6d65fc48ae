//! Scoring: the paper's `2^(-E[h] / c(psi))`, without allocation, the same bits whatever the path taken.
//!
//! Path lengths are 8-bit fixed-point numbers and a row's sum over the trees is an integer, so the order in which
//! trees and rows are visited cannot matter; only the finished sum becomes a float.

use std::ops::{Deref, DerefMut};

use crate::Model;
use crate::autoencoder::Room;
use crate::walk::{BLOCK, Walker};
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512, mux, walk::Compiled};

/// Machine code that scores. All give the same bits; they differ in speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Node by node, on any machine.
    Portable,
    /// 32 rows at a time with AVX2.
    Avx2,
    /// 64 rows at a time with AVX-512 VBMI.
    Avx512,
}

impl Path {
    /// The paths that this machine can take, slowest first.
    pub fn available() -> Vec<Self> {
        [Self::Portable, Self::Avx2, Self::Avx512]
            .into_iter()
            .filter(|path| path.runs_here())
            .collect()
    }

    /// The fastest path that this machine can take.
    pub fn best() -> Self {
        if Self::Avx512.runs_here() {
            Self::Avx512
        } else if Self::Avx2.runs_here() {
            Self::Avx2
        } else {
            Self::Portable
        }
    }

    /// Whether this machine has the instructions; the standard library looks once and remembers.
    fn runs_here(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }
}

/// Bytes that begin with a cache line: a vector that lies across two costs two reads.
#[derive(Clone, Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    start: usize,
}

const LINE_BYTES: usize = 64;

impl Lines {
    fn zeroed(length: usize) -> Self {
        let bytes = vec![0; length + LINE_BYTES - 1];
        let start = bytes.as_ptr().align_offset(LINE_BYTES).min(LINE_BYTES - 1);
        Self { bytes, start }
    }
}

impl Deref for Lines {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let length = (self.bytes.len() + 1).saturating_sub(LINE_BYTES);
        &self.bytes[self.start..self.start + length]
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [u8] {
        let length = (self.bytes.len() + 1).saturating_sub(LINE_BYTES);
        &mut self.bytes[self.start..self.start + length]
    }
}

/// Memory that scoring works in; one per thread, made once.
#[derive(Clone, Debug)]
pub struct Scratch {
    codes: Lines,
    room: Vec<f32>,
    /// What rows go through an autoencoder in, where a model has one.
    network: Room,
    /// What ordinary trees are walked in, in vectors of the path's width.
    #[cfg(target_arch = "x86_64")]
    operands: Lines,
    path: Path,
}

impl Scratch {
    /// For the fastest path that this machine can take.
    pub fn new() -> Self {
        Self::on(Path::best())
    }

    /// For a given path; `None` if this machine cannot take it.
    pub fn with_path(path: Path) -> Option<Self> {
        path.runs_here().then(|| Self::on(path))
    }

    fn on(path: Path) -> Self {
        Self {
            codes: Lines::default(),
            room: Vec::new(),
            network: Room::default(),
            #[cfg(target_arch = "x86_64")]
            operands: Lines::default(),
            path,
        }
    }
}

impl Scratch {
    /// Makes room for a model's blocks, if there is less.
    fn fit(&mut self, model: &Model) {
        let codes = model.schema().len() * BLOCK;
        if self.codes.len() < codes {
            self.codes = Lines::zeroed(codes);
            self.room.resize(model.quantiser().room(), 0.0);
            #[cfg(target_arch = "x86_64")]
            if self.operands.is_empty() {
                self.operands = match self.path {
                    Path::Portable => Lines::default(),
                    Path::Avx2 => operands::<{ mux::LANES }>(),
                    Path::Avx512 => operands::<{ avx512::LANES }>(),
                };
            }
        }
    }
}

/// What ordinary trees are walked in, with the constants in it.
#[cfg(target_arch = "x86_64")]
fn operands<const LANES: usize>() -> Lines {
    let mut operands = Lines::zeroed(mux::OPERANDS * LANES);
    mux::set_constants::<LANES>(&mut operands);
    operands
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Scores rows with one model.
#[derive(Debug)]
pub struct Scorer<'a> {
    model: &'a Model,
    scratch: Scratch,
}

impl<'a> Scorer<'a> {
    pub(crate) fn new(model: &'a Model) -> Self {
        let mut scratch = Scratch::new();
        scratch.fit(model);
        Self { model, scratch }
    }

    /// Scores row-major raw values, one score per row: above 0, at most 1, higher is more anomalous.
    ///
    /// # Panics
    /// If `rows` does not hold `out.len()` rows of the model's width.
    pub fn score<R: AsRef<[f32]> + ?Sized>(&mut self, rows: &R, out: &mut [f32]) {
        self.model.score_with(&mut self.scratch, rows.as_ref(), out);
    }
}

impl Model {
    /// As [`Scorer::score`], in memory that outlives the model: for a reader that pins a model per batch.
    /// Allocates only when `scratch` has not yet served a model with so many columns.
    ///
    /// # Panics
    /// If `rows` does not hold `out.len()` rows of the model's width.
    pub fn score_with(&self, scratch: &mut Scratch, rows: &[f32], out: &mut [f32]) {
        let walker = self.walker();
        let (mut own, whole) = ([0.0; BLOCK], out.len());
        self.blocks(scratch, rows, out.len(), |scratch, start, sums| {
            let out = &mut out[start..start + sums.len()];
            for (score, &sum) in out.iter_mut().zip(sums) {
                *score = walker.score(sum);
            }
            if let Some(ensemble) = self.ensemble() {
                let width = rows.len() / whole;
                let rows = &rows[start * width..(start + out.len()) * width];
                let (codes, room) = ((scratch.path, &scratch.codes[..]), &mut scratch.network);
                ensemble.join(codes, rows, room, &mut own[..out.len()], out);
            }
        });
    }

    /// Hands the codes (in `Scratch`) and the fixed-point sums of each block of rows to `give`, with the number of rows
    /// before it.
    pub(crate) fn blocks(
        &self,
        scratch: &mut Scratch,
        rows: &[f32],
        count: usize,
        mut give: impl FnMut(&mut Scratch, usize, &[u32]),
    ) {
        let width = self.schema().len();
        assert_eq!(
            rows.len(),
            count * width,
            "as many values as rows times columns"
        );
        scratch.fit(self);
        let mut sums = [0; BLOCK];
        for (block, rows) in rows.chunks(BLOCK * width).enumerate() {
            let sums = &mut sums[..rows.len() / width];
            sums.fill(0);
            self.quantiser()
                .quantise(scratch.path, rows, &mut scratch.room, &mut scratch.codes);
            walk(self.walker(), scratch, sums);
            give(scratch, block * BLOCK, sums);
        }
    }

    /// The codes of one row, as the first of a block.
    pub(crate) fn codes_of<'a>(&self, scratch: &'a mut Scratch, row: &[f32]) -> &'a [u8] {
        scratch.fit(self);
        self.quantiser()
            .quantise(scratch.path, row, &mut scratch.room, &mut scratch.codes);
        &scratch.codes
    }
}

impl Model {
    /// The fixed-point sums of two rows, then, for each column, of the two with their values in it exchanged. Only the
    /// two are quantised, and only exchanges that change anything are walked.
    pub(crate) fn sums_of_exchanges(&self, rows: [&[f32]; 2]) -> Vec<[u32; 2]> {
        let width = self.schema().len();
        let mut scratch = Scratch::new();
        scratch.fit(self);
        self.quantiser().quantise(
            scratch.path,
            &rows.concat(),
            &mut scratch.room,
            &mut scratch.codes,
        );
        let codes = |column: &[u8]| [column[0], column[1]];
        let both: Vec<[u8; 2]> = scratch.codes.chunks_exact(BLOCK).map(codes).collect();
        let differ: Vec<usize> = (0..width)
            .filter(|&column| both[column][0] != both[column][1])
            .collect();
        // The first pair is the rows as they are; what an exchange of equals gives is theirs too.
        let pairs = differ.len() + 1;
        let mut all = Vec::new();
        let mut sums = [0; BLOCK];
        for start in (0..pairs).step_by(BLOCK / 2) {
            let end = pairs.min(start + BLOCK / 2);
            let sums = &mut sums[..2 * (end - start)];
            sums.fill(0);
            for (codes, both) in scratch.codes.chunks_exact_mut(BLOCK).zip(&both) {
                codes.as_chunks_mut().0.fill(*both);
            }
            for pair in start.max(1)..end {
                let codes = &mut scratch.codes[differ[pair - 1] * BLOCK..];
                codes.as_chunks_mut::<2>().0[pair - start].reverse();
            }
            walk(self.walker(), &mut scratch, sums);
            for (pair, sums) in (start..).zip(sums.as_chunks().0) {
                match pair.checked_sub(1) {
                    None => all = vec![*sums; width + 1],
                    Some(exchanged) => all[differ[exchanged] + 1] = *sums,
                }
            }
        }
        all
    }
}

/// Fewest rows left over that are worth walking many at once.
const WORTH: usize = 4;

/// Adds the path lengths of the rows of a block to `sums`.
fn walk(walker: &Walker, scratch: &mut Scratch, sums: &mut [u32]) {
    let mut start = 0;
    while sums.len() - start >= WORTH {
        match walk_many(walker, scratch, start, &mut sums[start..]) {
            Some(lanes) => start = sums.len().min(start + lanes),
            None => break,
        }
    }
    walker.portable(&scratch.codes, start, &mut sums[start..]);
}

/// Walks the next rows at once; how many, or `None` if the path has no instructions for it.
#[cfg(target_arch = "x86_64")]
fn walk_many(
    walker: &Walker,
    scratch: &mut Scratch,
    start: usize,
    left: &mut [u32],
) -> Option<usize> {
    let codes = &scratch.codes;
    match (scratch.path, &walker.trees) {
        (Path::Portable, _) => None,
        (Path::Avx512, Compiled::LevelShared(trees)) if left.len() > avx2::LANES => {
            let count = left.len().min(avx512::LANES);
            // SAFETY: a `Scratch` says AVX-512 only where `Path::runs_here` found what the function enables.
            unsafe { avx512::level_shared(trees, codes, start, &mut left[..count]) };
            Some(avx512::LANES)
        }
        (Path::Avx2 | Path::Avx512, Compiled::LevelShared(trees)) => {
            let count = left.len().min(avx2::LANES);
            // SAFETY: likewise AVX2, without which no path is AVX-512 either.
            unsafe { avx2::level_shared(trees, codes, start, &mut left[..count]) };
            Some(avx2::LANES)
        }
        (Path::Avx512, Compiled::Ordinary { program, .. }) => {
            let vectors = left.len().div_ceil(avx512::LANES).min(mux::VECTORS);
            let rows = vectors * avx512::LANES;
            let count = left.len().min(rows);
            let left = &mut left[..count];
            let operands = scratch.operands.as_chunks_mut().0;
            let walk = match vectors {
                1 => avx512::ordinary::<1>,
                2 => avx512::ordinary::<2>,
                3 => avx512::ordinary::<3>,
                _ => avx512::ordinary::<{ mux::VECTORS }>,
            };
            // SAFETY: likewise AVX-512.
            unsafe { walk(program, codes, start, operands, left) };
            Some(rows)
        }
        (Path::Avx2, Compiled::Ordinary { program, .. }) => {
            let vectors = left.len().div_ceil(mux::LANES).min(mux::VECTORS);
            let rows = vectors * mux::LANES;
            let count = left.len().min(rows);
            let left = &mut left[..count];
            let operands = scratch.operands.as_chunks_mut().0;
            let walk = match vectors {
                1 => mux::Program::run::<1>,
                2 => mux::Program::run::<2>,
                3 => mux::Program::run::<3>,
                _ => mux::Program::run::<{ mux::VECTORS }>,
            };
            // SAFETY: likewise.
            unsafe { walk(program, codes, start, operands, left) };
            Some(rows)
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn walk_many(_: &Walker, _: &mut Scratch, _: usize, _: &mut [u32]) -> Option<usize> {
    None
}
