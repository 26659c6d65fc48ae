//! Values as SQLite keeps them, and the way back.

use std::net::IpAddr;

use crate::{flow::key_address, score::Severity};

/// A whole number as SQLite keeps it: what does not fit is the greatest.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The way back from [`integer`].
pub(super) fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// An address as the store keeps it; one that is none (no source gives one) is the unspecified address.
pub(super) fn key_of(address: &str) -> [u8; 16] {
    let parsed = address
        .parse::<IpAddr>()
        .map(|address| key_address(address.to_canonical()));
    parsed.unwrap_or_default()
}

/// A severity by the name that stores of earlier versions kept.
pub(super) fn severity_of_name(name: &str) -> Severity {
    let mut all = Severity::ALL.into_iter();
    all.find(|known| known.name() == name)
        .unwrap_or(Severity::Info)
}

/// A severity by its number.
pub(super) fn severity_of(number: i64) -> Severity {
    let known = usize::try_from(number)
        .ok()
        .and_then(|at| Severity::ALL.get(at));
    known.copied().unwrap_or(Severity::Info)
}
