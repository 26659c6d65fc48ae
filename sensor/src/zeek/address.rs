//! What kind of address one is.

use std::net::IpAddr;

/// Whether the address is of a private network: RFC 1918, RFC 4193, link-local, loopback.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private() || address.is_link_local() || address.is_loopback()
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback()
        }
    }
}

/// Whether the address is a multicast group or the broadcast address of IPv4. The broadcast address of a subnet cannot
/// be told without its mask.
pub(super) fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || matches!(address, IpAddr::V4(address) if address.is_broadcast())
}
