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

/// A request about an interface (netdevice(7)): `fill` writes what is asked, `read` takes the answer out.
fn ask<T>(
    name: &str,
    request: libc::Ioctl,
    fill: impl FnOnce(&mut libc::ifreq),
    read: impl FnOnce(&libc::ifreq) -> T,
) -> io::Result<T> {
    // SAFETY: plain numbers; the result is checked.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a file descriptor the kernel has just made for us.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all zeroes is a valid request.
    let mut asked: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in asked
        .ifr_name
        .iter_mut()
        .zip(name.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = from as libc::c_char;
    }
    fill(&mut asked);
    // SAFETY: the request is valid and writable, and so is what it points to, by the caller's construction.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut asked) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(read(&asked))
}

/// Asks for link type and address (`SIOCGIFHWADDR`).
pub(super) fn hardware(name: &str) -> io::Result<Hardware> {
    ask(
        name,
        libc::SIOCGIFHWADDR,
        |_| {},
        |answer| {
            // SAFETY: this call fills in this member.
            let address = unsafe { answer.ifr_ifru.ifru_hwaddr };
            let mut bytes = [0; 6];
            for (to, from) in bytes.iter_mut().zip(address.sa_data) {
                *to = from as u8;
            }
            Hardware {
                kind: address.sa_family,
                address: bytes,
            }
        },
    )
}

/// What the sockets of a tap have to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capture) struct Traits {
    /// Receive queues.
    pub(in crate::capture) queues: u32,
    /// Bytes of its longest frame.
    pub(in crate::capture) longest_frame: u32,
}

/// Asks for the receive queues and the longest frame.
pub(in crate::capture) fn traits_of(name: &str) -> io::Result<Traits> {
    /// `struct ethtool_channels` of `linux/ethtool.h`.
    #[repr(C)]
    #[derive(Default)]
    struct Channels {
        command: u32,
        max: [u32; 4],
        rx: u32,
        tx: u32,
        other: u32,
        combined: u32,
    }
    const SIOCETHTOOL: libc::Ioctl = 0x8946;
    const ETHTOOL_GCHANNELS: u32 = 0x3c;
    /// Ethernet, and two VLAN tags.
    const HEADERS_BYTES: u32 = 14 + 8;
    let mut channels = Channels {
        command: ETHTOOL_GCHANNELS,
        ..Channels::default()
    };
    let place = (&raw mut channels).cast();
    let asked = ask(
        name,
        SIOCETHTOOL,
        |request| request.ifr_ifru.ifru_data = place,
        |_| {},
    );
    // A driver that has no such call has one queue.
    let queues = asked.map_or(1, |()| channels.rx + channels.combined).max(1);
    // SAFETY: this call fills in this member.
    let mtu = ask(
        name,
        libc::SIOCGIFMTU,
        |_| {},
        |answer| unsafe { answer.ifr_ifru.ifru_mtu },
    )?;
    Ok(Traits {
        queues,
        longest_frame: u32::try_from(mtu).unwrap_or(0) + HEADERS_BYTES,
    })
}
