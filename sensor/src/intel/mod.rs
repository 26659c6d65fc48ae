//! Threat intelligence: local lists of addresses, prefixes, domains and fingerprints that somebody holds to be bad.
//!
//! A list never gives a verdict. What is on one is said beside what the sensor found by itself, so that a person knows
//! sooner what to make of it. Nothing is fetched: whoever wants feeds puts their files where the configuration says.
//!
//! A leaf: it knows no stage, and reads no clock (what expires is compared with the time it is given).

mod compiled;
mod harvest;
mod indicator;
mod json;
mod keeper;
mod load;
mod loss;
mod nest;
mod pattern;
mod prefix;
mod reserved;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod told;

pub use self::{
    compiled::{Lists, MATCHES_MAX, Matches, Read},
    harvest::Harvest,
    indicator::Indicator,
    keeper::{Event, Keeper},
    load::{Limits, ListError, read},
    loss::{Loss, Losses},
    prefix::Prefix,
    reserved::Space,
    told::{ListInfo, Match},
};
