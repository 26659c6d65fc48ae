//! What the kernel says of a network interface, in the network namespace of the calling thread. (`/sys/class/net`
//! shows the namespace of whoever mounted it.)

use std::{
    ffi::CString,
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use super::XdpError;

/// Index of an interface.
///
/// # Errors
/// [`XdpError::NoInterface`], which names those that exist.
pub fn interface_index(name: &str) -> Result<u32, XdpError> {
    let index = CString::new(name).map_or(0, |name| {
        // SAFETY: a string with a final zero.
        unsafe { libc::if_nametoindex(name.as_ptr()) }
    });
    if index != 0 {
        return Ok(index);
    }
    let mut known: Vec<String> = counters()
        .into_iter()
        .map(|counters| counters.name)
        .collect();
    known.sort_by(|a, b| {
        let far = |to: &str| strsim::damerau_levenshtein(name, to);
        (far(a), a).cmp(&(far(b), b))
    });
    Err(XdpError::NoInterface {
        name: name.to_owned(),
        known: known.join(", "),
    })
}

struct Counters {
    name: String,
    received: u64,
}

/// The interfaces and how many packets each has received.
fn counters() -> Vec<Counters> {
    let text = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (name, counts) = line.split_once(':')?;
            Some(Counters {
                name: name.trim().to_owned(),
                received: counts.split_whitespace().nth(1)?.parse().ok()?,
            })
        })
        .collect()
}

/// Packets the interface says it has received; 0 where it does not say.
pub(super) fn received(name: &str) -> u64 {
    counters()
        .iter()
        .find(|counters| counters.name == name)
        .map_or(0, |counters| counters.received)
}

/// Link type and address of an interface.
pub(super) struct Hardware {
    /// `ARPHRD_*` of `linux/if_arp.h`.
    pub(super) kind: u16,
    /// The MAC address, of an Ethernet interface.
    pub(super) address: [u8; 6],
}

impl Hardware {
    /// Whether frames begin with an Ethernet header, as they also do on the loopback.
    pub(super) fn is_ethernet(&self) -> bool {
        self.kind == libc::ARPHRD_ETHER || self.is_loopback()
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.kind == libc::ARPHRD_LOOPBACK
    }
}

/// Asks for link type and address (netdevice(7), `SIOCGIFHWADDR`).
pub(super) fn hardware(name: &str) -> io::Result<Hardware> {
    // SAFETY: plain numbers; the result is checked.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a file descriptor the kernel has just made for us.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all zeroes is a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(name.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = from as libc::c_char;
    }
    // SAFETY: the request is valid and writable.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: this call fills in this member.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    let mut bytes = [0; 6];
    for (to, from) in bytes.iter_mut().zip(address.sa_data) {
        *to = from as u8;
    }
    Ok(Hardware {
        kind: address.sa_family,
        address: bytes,
    })
}
