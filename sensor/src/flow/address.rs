//! Addresses as keys hold them, 16 bytes each, and what kind of address one is.

use std::net::{IpAddr, Ipv6Addr};

/// The address as people write it: IPv4 where the key holds a v4-mapped IPv6 address (RFC 4291 §2.5.5.2).
pub fn ip_address(bytes: &[u8; 16]) -> IpAddr {
    IpAddr::from(Ipv6Addr::from(*bytes)).to_canonical()
}

/// The address as keys hold it: IPv4 as v4-mapped IPv6. The way back is [`ip_address`].
pub const fn key_address(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Whether the address is of a private network: RFC 1918, RFC 4193, link-local, loopback.
#[inline]
pub fn is_private(address: &[u8; 16]) -> bool {
    match v4(address) {
        Some([10 | 127, ..] | [192, 168, ..] | [169, 254, ..]) => true,
        Some([172, second, ..]) => second & 0xf0 == 16,
        Some(_) => false,
        None => {
            address[0] & 0xfe == 0xfc
                || address[0] == 0xfe && address[1] & 0xc0 == 0x80
                || is_loopback(address)
        }
    }
}

/// Whether the address is a multicast group, or the broadcast address of IPv4. The broadcast address of a subnet
/// cannot be told without its mask.
#[inline]
pub fn is_group(address: &[u8; 16]) -> bool {
    match v4(address) {
        Some(address) => address[0] & 0xf0 == 0xe0 || address == [255; 4],
        None => address[0] == 0xff,
    }
}

#[inline]
fn is_loopback(address: &[u8; 16]) -> bool {
    *address == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
}

/// The four bytes of a v4-mapped address.
#[inline]
pub(crate) fn v4(address: &[u8; 16]) -> Option<[u8; 4]> {
    let mapped = address[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
    mapped.then(|| [address[12], address[13], address[14], address[15]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_of_the_rfcs() {
        let kinds = |text: &str| {
            let address: IpAddr = text.parse().expect("an address");
            let key = key_address(address);
            assert_eq!(ip_address(&key), address);
            (is_private(&key), is_group(&key))
        };
        for (text, private, group) in [
            ("10.1.2.3", true, false),
            ("172.15.0.1", false, false),
            ("172.31.255.255", true, false),
            ("172.32.0.1", false, false),
            ("192.168.0.1", true, false),
            ("169.254.1.1", true, false),
            ("127.0.0.1", true, false),
            ("8.8.8.8", false, false),
            ("239.255.255.250", false, true),
            ("255.255.255.255", false, true),
            ("10.0.0.255", true, false),
            ("fd00::1", true, false),
            ("fe80::1", true, false),
            ("::1", true, false),
            ("2001:db8::1", false, false),
            ("ff02::fb", false, true),
        ] {
            assert_eq!(kinds(text), (private, group), "{text}");
        }
        assert_eq!(
            v4(&key_address([192, 0, 2, 1].into())),
            Some([192, 0, 2, 1])
        );
        assert_eq!(v4(&key_address(IpAddr::from(Ipv6Addr::LOCALHOST))), None);
    }
}
