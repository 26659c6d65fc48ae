//! Prefixes of addresses, IPv4 and IPv6 in one form.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Where IPv4 lies within IPv6: `::ffff:0:0/96` (RFC 4291, section 2.5.5.2).
const MAPPED: u128 = 0xffff_0000_0000;
const MAPPED_BITS: u8 = 96;

/// An address as a number, IPv4 as IPv4-mapped IPv6.
pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => MAPPED | u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The address behind a number.
fn address(number: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(number)).to_canonical()
}

/// The IPv4 address behind a number, if it is one.
pub(super) fn v4(number: u128) -> Option<u32> {
    (number >> 32 == MAPPED >> 32).then_some(number as u32)
}

/// Addresses that begin with the same bits.
///
/// IPv4 is held as IPv4-mapped IPv6, so that there is one kind; it is shown and read as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The first address. Order is by it, and then by length: what contains comes before what is contained.
    first: u128,
    /// Leading bits that are fixed, of 128.
    bits: u8,
}

impl Prefix {
    /// The prefix of this length (of 32 or 128) that `of` is in; `None` for a length that is too great.
    pub fn new(of: IpAddr, length: u8) -> Option<Self> {
        let bits = match of {
            IpAddr::V4(_) if length <= 32 => length + MAPPED_BITS,
            IpAddr::V6(_) if length <= 128 => length,
            _ => return None,
        };
        Some(Self::of(number(of), bits))
    }

    const fn of(number: u128, bits: u8) -> Self {
        Self {
            first: number & !host_bits(bits),
            bits,
        }
    }

    /// An address alone.
    pub fn single(address: IpAddr) -> Self {
        Self::of(number(address), 128)
    }

    /// Reads `192.0.2.0/24`, `2001:db8::/32` or an address alone. Bits behind the length are cleared.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((address, length)) = text.split_once('/') else {
            return Some(Self::single(text.parse().ok()?));
        };
        let digits = length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit());
        Self::new(
            address.parse().ok()?,
            length.parse().ok().filter(|_| digits)?,
        )
    }

    /// The prefixes that together are all from `first` to `last`, fewest possible; none if the order is wrong or
    /// one is IPv4 and the other is not.
    pub fn cover(first: IpAddr, last: IpAddr) -> Vec<Self> {
        let (mut from, last) = (number(first), number(last));
        let mut parts = Vec::new();
        if v4(from).is_some() != v4(last).is_some() {
            return parts;
        }
        while from <= last {
            // As large as where it begins allows, and no larger than what is left.
            let aligned = from.trailing_zeros();
            let left = (last - from).checked_add(1).map_or(128, u128::ilog2);
            let size = aligned.min(left);
            let part = Self::of(from, 128 - size as u8);
            parts.push(part);
            match part.last().checked_add(1) {
                Some(next) => from = next,
                None => break,
            }
        }
        parts
    }

    /// First address, as a number; IPv4 is mapped.
    pub(super) const fn first(self) -> u128 {
        self.first
    }

    /// Last address, as a number.
    pub(super) const fn last(self) -> u128 {
        self.first | host_bits(self.bits)
    }

    /// Whether it is of IPv4.
    pub fn is_v4(self) -> bool {
        self.bits >= MAPPED_BITS && v4(self.first).is_some()
    }

    /// Its length, of 32 for IPv4 and of 128 for IPv6.
    pub fn length(self) -> u8 {
        if self.is_v4() {
            self.bits - MAPPED_BITS
        } else {
            self.bits
        }
    }

    /// Whether the address is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        let number = number(address);
        self.first <= number && number <= self.last()
    }

    /// Whether any address is in both: of two prefixes that is when one contains the other.
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last() && other.first <= self.last()
    }
}

/// The bits that `bits` leading ones leave free.
const fn host_bits(bits: u8) -> u128 {
    match bits {
        0 => u128::MAX,
        bits if bits < 128 => (1 << (128 - bits)) - 1,
        _ => 0,
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = address(self.first);
        match (self.bits, self.is_v4(), address) {
            (128, ..) => write!(f, "{address}"),
            // `::ffff:0:0/90` is IPv6, whatever its first address looks like.
            (bits, false, _) => write!(f, "{}/{bits}", Ipv6Addr::from(self.first)),
            (bits, true, _) => write!(
                f,
                "{}/{}",
                Ipv4Addr::from(self.first as u32),
                bits - MAPPED_BITS
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        Prefix::parse(text).expect(text)
    }

    #[test]
    fn reads_and_shows_both_families() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8:0:0:ffff::/64", "2001:db8::/64"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ] {
            assert_eq!(prefix(text).to_string(), shown, "{text}");
        }
        for text in [
            "",
            "192.0.2",
            "192.0.2.1/33",
            "192.0.2.1/",
            "192.0.2.1/+8",
            "2001:db8::/129",
            "01.2.3.4",
            "1.2.3.4/1/2",
        ] {
            assert_eq!(Prefix::parse(text), None, "{text}");
        }
    }

    #[test]
    fn overlap_is_containment_either_way() {
        assert!(prefix("10.1.2.0/24").overlaps(prefix("10.0.0.0/8")));
        assert!(prefix("8.0.0.0/5").overlaps(prefix("10.0.0.0/8")));
        assert!(!prefix("10.1.2.0/24").overlaps(prefix("10.1.3.0/24")));
        assert!(prefix("::/0").overlaps(prefix("10.0.0.0/8")));
        assert!(prefix("192.0.2.0/24").contains("192.0.2.255".parse().expect("address")));
    }

    #[test]
    fn a_range_is_the_fewest_prefixes() {
        let cover = |first: &str, last: &str| {
            let [first, last] = [first, last].map(|text| text.parse().expect("address"));
            let parts: Vec<_> = Prefix::cover(first, last)
                .iter()
                .map(ToString::to_string)
                .collect();
            parts.join(" ")
        };
        assert_eq!(cover("192.0.2.0", "192.0.2.255"), "192.0.2.0/24");
        assert_eq!(
            cover("192.0.2.1", "192.0.2.6"),
            "192.0.2.1 192.0.2.2/31 192.0.2.4/31 192.0.2.6"
        );
        assert_eq!(cover("0.0.0.0", "255.255.255.255"), "0.0.0.0/0");
        let all_ones = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(cover("::", all_ones), "::/0");
        assert_eq!(cover(all_ones, all_ones), all_ones);
        assert_eq!(cover("192.0.2.2", "192.0.2.1"), "");
        assert_eq!(cover("192.0.2.2", "2001:db8::"), "");
        // The longest there can be.
        assert_eq!(
            Prefix::cover(
                "::1".parse().expect("address"),
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"
                    .parse()
                    .expect("address")
            )
            .len(),
            254
        );
    }
}
