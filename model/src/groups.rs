//! Peer groups: rows that are alike in a few named columns (a kind of service, a role of a host) have a baseline of
//! their own where there is enough of them, and the whole baseline otherwise.
//!
//! A group's baseline is how rare each code of each column is among its rows. The score is the mean surprisal of a row's
//! codes, column by column, as if they were independent (Goldstein, Dengel: Histogram-based outlier score, KI 2012); what it
//! is worth is for the group's own calibration to say (Mondrian conformal prediction; Vovk, Gammerman, Shafer 2005).

use crate::Transform;
use crate::baseline::{Profile, ordered};
use crate::calibrate::Calibration;
use crate::maths::ln;
use crate::quantise::{Coder, Cuts};
use crate::walk::BLOCK;
use crate::{Rows, Schema};

/// Columns that may tell a group together.
pub(crate) const MOST_COLUMNS: usize = 4;
/// Groups kept: the largest.
pub(crate) const MOST: usize = 32;
/// Rows looked at.
const MOST_ROWS: usize = 50_000;
/// Rows that a group must have to learn from, and to calibrate by, for a baseline of its own.
const FEWEST: [usize; 2] = [500, 200];
/// Most nats that a column may count.
const MOST_NATS: f32 = 12.0;

/// The values of the columns that tell a group; missing ones are alike.
pub(crate) type Key = [u32; MOST_COLUMNS];

/// Rows of one group, each with its key.
type Members<'a> = &'a [(Key, u32)];

/// One group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) key: Key,
    /// For each column of the model the surprisal of each of its codes, in nats; nothing for a column without cuts.
    pub(crate) surprisals: Vec<Vec<f32>>,
    /// For each column of the model the 1 % quantile, the median and the 99 % quantile; NaN where always missing.
    pub(crate) usual: Vec<[f32; 3]>,
    /// Of the scores of its held-out rows.
    pub(crate) calibration: Calibration,
}

impl Group {
    /// Score of row `at` of a block of codes: mean surprisal over the columns, as a number from 0 to below 1.
    pub(crate) fn score(&self, codes: &[u8], at: usize) -> f32 {
        let (mut sum, mut count) = (0.0f32, 0.0f32);
        for (surprisals, codes) in self.surprisals.iter().zip(codes.chunks_exact(BLOCK)) {
            if let Some(nats) = surprisals.get(usize::from(codes[at])) {
                sum += nats;
                count += 1.0;
            }
        }
        let mean = sum / count.max(1.0);
        mean / (1.0 + mean)
    }
}

impl Group {
    /// Share of each column in the surprise of the first row of a block of codes. Squared, so that one value far out
    /// outweighs many that are a little off.
    pub(crate) fn shares(&self, codes: &[u8]) -> Vec<f32> {
        let square = |(surprisals, codes): (&Vec<f32>, &[u8])| {
            surprisals
                .get(usize::from(codes[0]))
                .map_or(0.0, |nats| nats * nats)
        };
        let columns = self.surprisals.iter().zip(codes.chunks_exact(BLOCK));
        let squares: Vec<f32> = columns.map(square).collect();
        let total: f32 = squares.iter().sum();
        let share = |square: f32| if total > 0.0 { square / total } else { 0.0 };
        squares.into_iter().map(share).collect()
    }
}

/// All groups with a baseline of their own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Groups {
    columns: Vec<u16>,
    /// Ascending by key.
    groups: Vec<Group>,
}

impl Groups {
    /// Puts groups together; `None` if they do not fit a model with these cuts.
    pub(crate) fn assemble(columns: Vec<u16>, groups: Vec<Group>, cuts: &[Cuts]) -> Option<Self> {
        let fits = |(surprisals, cuts): (&Vec<f32>, &Cuts)| {
            let codes = if cuts.is_empty() { 0 } else { cuts.len() + 1 };
            surprisals.len() == codes
                && surprisals
                    .iter()
                    .all(|nats| (0.0..=MOST_NATS).contains(nats))
        };
        let sound = (1..=MOST_COLUMNS).contains(&columns.len())
            && columns
                .iter()
                .all(|&column| usize::from(column) < cuts.len())
            && groups.len() <= MOST
            && groups.windows(2).all(|pair| pair[0].key < pair[1].key)
            && groups.iter().all(|group| {
                group.usual.len() == cuts.len()
                    && group.surprisals.len() == cuts.len()
                    && group.surprisals.iter().zip(cuts).all(fits)
            });
        sound.then_some(Self { columns, groups })
    }

    /// Groups rows by the columns of these names: what is usual by those at `chosen`, what a score is worth by
    /// those at `judges`. `None` if the schema has not all of the columns.
    pub(crate) fn learn(
        names: &[String],
        schema: &Schema,
        (profiles, cuts): (&[Profile], &[Cuts]),
        rows: &Rows,
        [chosen, judges]: [&[u32]; 2],
    ) -> Option<Self> {
        let at = |name: &String| {
            schema
                .columns
                .iter()
                .position(|column| column.name == *name)
        };
        let columns: Vec<u16> = names
            .iter()
            .map(|name| at(name).map(|at| at as u16))
            .collect::<Option<_>>()?;
        let step = chosen.len().div_ceil(MOST_ROWS).max(1);
        let keyed = |rows_at: &mut dyn Iterator<Item = u32>| -> Vec<(Key, u32)> {
            let mut keyed: Vec<(Key, u32)> = rows_at
                .map(|row| (key(&columns, rows.row(row as usize)), row))
                .collect();
            keyed.sort_unstable();
            keyed
        };
        let learned = keyed(&mut chosen.iter().copied().step_by(step));
        let judged = keyed(&mut judges.iter().copied());
        let mut large: Vec<(Members<'_>, Members<'_>)> = learned
            .chunk_by(|a, b| a.0 == b.0)
            .map(|group| {
                let key = group[0].0;
                let from = judged.partition_point(|one| one.0 < key);
                let to = judged.partition_point(|one| one.0 <= key);
                (group, &judged[from..to])
            })
            .filter(|(learned, judged)| learned.len() >= FEWEST[0] && judged.len() >= FEWEST[1])
            .collect();
        large.sort_by_key(|(group, _)| (std::cmp::Reverse(group.len()), group[0].0));
        large.truncate(MOST);
        large.sort_by_key(|(group, _)| group[0].0);
        let coders: Vec<Option<Coder>> = profiles
            .iter()
            .zip(cuts)
            .map(|(profile, cuts)| (!cuts.is_empty()).then(|| Coder::new(profile, cuts)))
            .collect();
        let group = |(learned, judged): (Members<'_>, Members<'_>)| {
            let column = |column: usize| {
                learned
                    .iter()
                    .map(move |one| rows.at(one.1 as usize, column))
            };
            let surprisals = |(at, coder): (usize, &Option<Coder>)| {
                let Some(coder) = coder else {
                    return Vec::new();
                };
                let mut counts = vec![0u32; cuts[at].len() + 1];
                column(at).for_each(|value| counts[usize::from(coder.code(value))] += 1);
                surprisals(&counts, profiles[at].transform)
            };
            let mut group = Group {
                key: learned[0].0,
                surprisals: coders.iter().enumerate().map(surprisals).collect(),
                usual: (0..cuts.len())
                    .map(|at| usual(column(at).filter(|value| !value.is_nan())))
                    .collect(),
                calibration: Calibration::fit(vec![0.5]),
            };
            let mut codes = vec![0; cuts.len() * BLOCK];
            let scores = judged.iter().map(|&(_, row)| {
                for (at, coder) in coders.iter().enumerate() {
                    let value = rows.at(row as usize, at);
                    codes[at * BLOCK] = coder.as_ref().map_or(0, |coder| coder.code(value));
                }
                group.score(&codes, 0)
            });
            group.calibration = Calibration::fit(scores.collect());
            group
        };
        let groups = large.into_iter().map(group).collect();
        Self::assemble(columns, groups, cuts)
    }

    /// The group of a row, if it has a baseline of its own.
    pub(crate) fn of(&self, row: &[f32]) -> Option<&Group> {
        let key = key(&self.columns, row);
        let at = self.groups.binary_search_by(|group| group.key.cmp(&key));
        at.ok().map(|at| &self.groups[at])
    }

    pub(crate) fn columns(&self) -> &[u16] {
        &self.columns
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }
}

fn key(columns: &[u16], row: &[f32]) -> Key {
    let mut key = [0; MOST_COLUMNS];
    for (part, &column) in key.iter_mut().zip(columns) {
        let value = row[usize::from(column)];
        *part = if value.is_nan() {
            u32::MAX
        } else {
            ordered(value)
        };
    }
    key
}

/// Nats of a code at least as far out: on either side, or, where codes go from common to rare, on the rare one.
fn surprisals(counts: &[u32], transform: Transform) -> Vec<f32> {
    let total: u32 = counts.iter().sum();
    let mut below = 0;
    counts
        .iter()
        .map(|&count| {
            let upto = below + count;
            let from = total - below;
            below = upto;
            let (outer, sides) = match transform {
                Transform::Categorical => (from, 1.0),
                _ => (from.min(upto), 2.0),
            };
            let share = sides * (f64::from(outer) + 0.5) / (f64::from(total) + 1.0);
            (-ln(share.min(1.0)) as f32).clamp(0.0, MOST_NATS)
        })
        .collect()
}

/// The 1 % quantile, the median and the 99 % quantile.
fn usual(values: impl Iterator<Item = f32>) -> [f32; 3] {
    let mut values: Vec<f32> = values.collect();
    values.sort_unstable_by(f32::total_cmp);
    [1, 50, 99].map(|percent| {
        let last = values.len().saturating_sub(1);
        let at = (last * percent + 50) / 100;
        values.get(at).copied().unwrap_or(f32::NAN)
    })
}
