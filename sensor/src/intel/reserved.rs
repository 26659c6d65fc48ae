//! Space that no feed can rightly list: what is not routed on the Internet, and what is too much at once.

use super::{Loss, Prefix};

/// Shortest prefixes believed. Registries give whole /8 and /16 to one holder at most; what is shorter is a mistake, or
/// somebody who wants everything matched.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 16;

/// Not globally reachable: IANA IPv4 Special-Purpose Address Registry (RFC 6890), multicast (RFC 5771).
const V4: [&str; 15] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// All but global unicast, which is 2000::/3 (RFC 4291, IANA IPv6 Address Space), and what of that is special: protocol
/// assignments with Teredo (RFC 2928), 6to4 (RFC 3056), documentation (RFC 3849, RFC 9637).
const V6: [&str; 7] = [
    "::/3",
    "4000::/2",
    "8000::/1",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
];

/// What entries may not cover.
#[derive(Clone, Debug, Default)]
pub struct Space {
    reserved: Vec<Prefix>,
    own: Vec<Prefix>,
}

impl Space {
    /// Own prefixes, and whether private and reserved space is accepted too (laboratories, lists of own hosts).
    pub fn new(own: Vec<Prefix>, accept_reserved: bool) -> Self {
        let reserved = if accept_reserved { &[][..] } else { &V4[..] };
        let reserved = reserved
            .iter()
            .chain(if accept_reserved { &[][..] } else { &V6[..] });
        Self {
            reserved: reserved.filter_map(|text| Prefix::parse(text)).collect(),
            own,
        }
    }

    /// Why an entry may not be listed.
    pub fn refuses(&self, entry: Prefix) -> Option<Loss> {
        let shortest = if entry.is_v4() {
            SHORTEST_V4
        } else {
            SHORTEST_V6
        };
        let covers = |space: &[Prefix]| {
            // IPv4 lies in ::/3 only by how it is held here.
            let alike = |one: &&Prefix| one.is_v4() == entry.is_v4();
            space.iter().filter(alike).any(|one| one.overlaps(entry))
        };
        if covers(&self.own) {
            Some(Loss::Own)
        } else if covers(&self.reserved) {
            Some(Loss::Reserved)
        } else if entry.length() < shortest || holds_v4(entry) {
            Some(Loss::TooWide)
        } else {
            None
        }
    }
}

/// Whether a prefix of IPv6 holds the place where IPv4 is mapped.
fn holds_v4(entry: Prefix) -> bool {
    let mapped = Prefix::parse("0.0.0.0/0");
    !entry.is_v4() && mapped.is_some_and(|mapped| mapped.overlaps(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_internet_is_refused() {
        assert_eq!(
            Space::new(Vec::new(), false).reserved.len(),
            V4.len() + V6.len()
        );
        let own = vec![Prefix::parse("9.9.9.0/24").expect("prefix")];
        let (space, laboratory) = (Space::new(own.clone(), false), Space::new(own, true));
        for (text, why, in_laboratory) in [
            ("10.1.2.3", Some(Loss::Reserved), None),
            ("168.0.0.0/5", Some(Loss::Reserved), Some(Loss::TooWide)),
            ("0.0.0.0/0", Some(Loss::Own), Some(Loss::Own)),
            ("::/0", Some(Loss::Reserved), Some(Loss::TooWide)),
            ("::/64", Some(Loss::Reserved), Some(Loss::TooWide)),
            ("192.168.0.0/16", Some(Loss::Reserved), None),
            ("255.255.255.255", Some(Loss::Reserved), None),
            ("fe80::1", Some(Loss::Reserved), None),
            ("2001:db8::1", Some(Loss::Reserved), None),
            ("ff02::1", Some(Loss::Reserved), None),
            ("16.0.0.0/5", Some(Loss::TooWide), Some(Loss::TooWide)),
            ("2000::/12", Some(Loss::Reserved), Some(Loss::TooWide)),
            ("2600::/12", Some(Loss::TooWide), Some(Loss::TooWide)),
            ("9.9.9.9", Some(Loss::Own), Some(Loss::Own)),
            ("9.9.0.0/16", Some(Loss::Own), Some(Loss::Own)),
            ("9.9.8.0/24", None, None),
            ("1.0.0.0/8", None, None),
            ("2606:4700::1", None, None),
        ] {
            let entry = Prefix::parse(text).expect(text);
            assert_eq!(space.refuses(entry), why, "{text}");
            assert_eq!(laboratory.refuses(entry), in_laboratory, "{text}");
        }
    }
}
