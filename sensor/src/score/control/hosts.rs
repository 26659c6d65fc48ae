//! A bounded table of hosts: sets of a few, found by a fixed hash of the address. Who leaves a full set is for the owner to say.

use super::Host;
use crate::bounded::fixed_hash;

/// Hosts in a set.
pub(super) const WAYS: usize = 4;

/// `SETS` times [`WAYS`] places for a host with what is known of it; at first each is of nobody, with nothing known. Made once.
#[derive(Debug)]
pub(super) struct Hosts<V, const SETS: usize>(Box<[[(Host, V); WAYS]]>);

impl<V: Copy + Default, const SETS: usize> Default for Hosts<V, SETS> {
    fn default() -> Self {
        Self(vec![[([0; 16], V::default()); WAYS]; SETS].into_boxed_slice())
    }
}

impl<V, const SETS: usize> Hosts<V, SETS> {
    fn number(host: &Host) -> usize {
        let bits = u128::from_be_bytes(*host);
        (fixed_hash(&[(bits >> 64) as u64, bits as u64]) as usize) % SETS
    }

    /// The places where this host is, if it is anywhere.
    #[inline]
    pub(super) fn around(&self, host: &Host) -> &[(Host, V); WAYS] {
        &self.0[Self::number(host)]
    }

    /// The same, to change them.
    #[inline]
    pub(super) fn around_mut(&mut self, host: &Host) -> &mut [(Host, V); WAYS] {
        &mut self.0[Self::number(host)]
    }

    /// All places.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Host, V)> {
        self.0.iter().flatten()
    }
}
