//! A bounded, deterministic sample of rows to train on.

use std::collections::HashMap;

use model::Rows;
use sensor_ebpf::flow::FlowKey;

use crate::{
    features::{MODEL_COUNT, Row, model_row},
    flow::FlowRecord,
    score::is_attack,
};

/// Reservoir of rows (algorithm R, Vitter 1985), with a bound on what one pair of hosts may contribute and without
/// flows that behaviour alone tells to be an attack, so that a scan or a flood in the training traffic does not
/// become the usual. Where nearly everything is an attack, there is nothing else to learn from: then they count.
#[derive(Debug)]
pub struct Sample {
    rows: Rows,
    capacity: usize,
    trusting: bool,
    offered: u64,
    taken: u64,
    state: u64,
    pairs: HashMap<[[u8; 16]; 2], u32>,
    /// The first rows left out as attacks, for want of others.
    attacks: Rows,
    left_out: u64,
}

/// Rows of one pair of hosts that are taken without question; of further ones every second, fourth, eighth...
const FREE: u32 = 64;
/// Pairs remembered. Beyond, rows of unknown pairs count as those of one pair.
const PAIRS: usize = 1 << 16;
/// Fewest rows to learn from before attacks count too.
const FEWEST: usize = 200;
/// Attacks kept for that case.
const ATTACKS: usize = 4096;

impl Sample {
    /// Keeps at most `capacity` rows. A trusting sample takes whatever comes.
    pub fn new(capacity: usize, seed: u64, trusting: bool) -> Self {
        Self {
            rows: Rows::with_columns(MODEL_COUNT),
            capacity: capacity.max(1),
            trusting,
            offered: 0,
            taken: 0,
            state: seed ^ 0x9e37_79b9_7f4a_7c15,
            pairs: HashMap::new(),
            attacks: Rows::with_columns(MODEL_COUNT),
            left_out: 0,
        }
    }

    /// Offers a row. One that behaviour alone tells to be an attack is not taken, and one that models are not asked about is none.
    pub fn offer(&mut self, record: &FlowRecord, row: &Row) {
        if record.key.is_arp() {
            return;
        }
        self.offered += 1;
        if self.trusting {
            self.take(row);
        } else if is_attack(record, row) {
            self.left_out += 1;
            if self.attacks.len() < ATTACKS {
                self.attacks.push(&model_row(row));
            }
        } else if self.admits(&record.key) {
            self.take(row);
        }
    }

    fn take(&mut self, row: &Row) {
        self.taken += 1;
        let values = model_row(row);
        if self.rows.len() < self.capacity {
            self.rows.push(&values);
            return;
        }
        let at = self.below(self.taken);
        if at < self.capacity as u64 {
            let start = at as usize * MODEL_COUNT;
            self.rows.values[start..start + MODEL_COUNT].copy_from_slice(&values);
        }
    }

    /// Whether the pair of hosts may contribute another row: the more it has, the rarer, about logarithmically.
    fn admits(&mut self, key: &FlowKey) -> bool {
        let crowded = self.pairs.len() >= PAIRS && !self.pairs.contains_key(&key.addresses);
        let pair = if crowded { [[0; 16]; 2] } else { key.addresses };
        let rows = self.pairs.entry(pair).or_insert(0);
        *rows = rows.saturating_add(1);
        let octave = (*rows / FREE).checked_ilog2().map_or(0, |log| log + 1);
        (*rows).is_multiple_of(1 << octave.min(31))
    }

    /// A number below `bound` (Lemire's multiplication; the bias is below 2^-40 for any real capture).
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
    }

    /// Rows offered so far.
    pub const fn offered(&self) -> u64 {
        self.offered
    }

    /// Rows left out so far because they are attacks.
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Rows kept so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, in the columns of [`crate::features::schema`]; and whether attacks had to be among them.
    pub fn into_rows(mut self) -> (Rows, bool) {
        let desperate = self.rows.len() < FEWEST && !self.attacks.is_empty();
        if desperate {
            self.rows.values.append(&mut self.attacks.values);
        }
        (self.rows, desperate)
    }
}
