//! Bounded containers for tables whose keys an attacker can choose: memory is bounded when they are made and
//! grows only with the most that they have held at once, and what is pushed out is handed back to be counted.

mod hash;
mod index;
mod lists;
mod prefetch;
mod store;

pub(crate) use hash::{Seed, fixed_hash};
pub(crate) use index::Index;
pub(crate) use lists::Lists;
pub(crate) use prefetch::prefetch;
pub(crate) use store::{Evicted, Store};
