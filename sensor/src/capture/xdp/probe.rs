//! Proof that an attached program runs: attaching is not executing.
//!
//! Egress is proved by sending one frame of a local experimental EtherType (IEEE 802, 0x88B5) to the interface's own
//! address and watching the hook's probe counter. Ingress cannot be made to receive a frame from here, except where
//! the interface hears itself (loopback); elsewhere the interface's own count of received packets is compared
//! with the hook's: packets that the interface received and the hook has not seen prove that it does not run.

use std::{
    fmt, io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    time::Duration,
};

use sensor_ebpf::{frame::ether_type, maps::Hook};

use super::{Attached, Mode, Stop, XdpError, interface, tables::Tables};

/// What is known of one hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proved {
    /// It has counted a packet.
    Runs,
    /// No packet has come by, so nothing is known.
    NoTraffic,
    /// Packets have come by and it has counted none.
    DoesNotRun,
}

impl fmt::Display for Proved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Runs => "counts packets",
            Self::NoTraffic => "no packet has come by yet",
            Self::DoesNotRun => "packets come by and are not counted",
        })
    }
}

/// What is known of the hooks of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The interface.
    pub interface: String,
    /// XDP.
    pub ingress: Proved,
    /// TC.
    pub egress: Proved,
}

/// How often and how long is looked for the probe, and for packets that come by.
const LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// And before it is said that a hook does not run: on a busy machine a packet may be counted as received long before a softirq takes it to the hook.
const LOOKS_IN_DOUBT: u32 = 300;

pub(super) fn prove(attached: &Attached, tables: &Tables) -> Result<Proof, XdpError> {
    let name = &attached.interface;
    let mut received_last = interface::received(name);
    let received_before = received_last;
    let before = (tables.peek(Hook::Ingress)?, tables.peek(Hook::Egress)?);
    let is_sent = match send_probe(name, attached.index) {
        Ok(()) => true,
        // The interface is down, or this process may load programs and not open packet sockets.
        Err(error) => {
            log::warn!("{name}: no probe frame sent: {error}");
            false
        }
    };
    let mut proof = Proof {
        interface: name.clone(),
        ingress: Proved::NoTraffic,
        egress: Proved::NoTraffic,
    };
    for look in 1..=LOOKS_IN_DOUBT {
        let now = (tables.peek(Hook::Ingress)?, tables.peek(Hook::Egress)?);
        if now.1.probe > before.1.probe {
            proof.egress = Proved::Runs;
        } else if is_sent && !matches!(attached.egress, Mode::Loopback | Mode::Tap) {
            proof.egress = Proved::DoesNotRun;
        }
        let others = |ledger: &sensor_ebpf::maps::Ledger| ledger.seen - ledger.probe;
        if matches!(attached.ingress, Mode::TcxIngress { .. }) {
            // The program of the other hook counts both; the owner of the XDP hook may let nothing through.
            if others(&now.1) > others(&before.1) {
                proof.ingress = Proved::Runs;
            }
        } else if now.0.seen > before.0.seen {
            proof.ingress = Proved::Runs;
        } else if received_last > received_before {
            // As of the last look: a packet may be counted as received and be on its way to the hook.
            proof.ingress = Proved::DoesNotRun;
        }
        if attached.egress == Mode::Loopback {
            proof.egress = proof.ingress;
        }
        let both = [proof.ingress, proof.egress];
        let is_in_doubt = both.contains(&Proved::DoesNotRun);
        if both == [Proved::Runs; 2] || (look >= LOOKS && !is_in_doubt) {
            break;
        }
        received_last = interface::received(name);
        // Nobody wakes this: the wait is 200 ms, and 3 s where it ends in an error.
        Stop::default().wait(LOOK_EVERY);
    }
    Ok(proof)
}

/// Sends one frame out of an interface, to the interface itself.
fn send_probe(name: &str, index: u32) -> io::Result<()> {
    let hardware = interface::hardware(name)?;
    // SAFETY: plain numbers; the result is checked.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a file descriptor the kernel has just made for us.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all zeroes is a valid link-layer address.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ether_type::PROBE.to_be();
    address.sll_ifindex = index as i32;
    address.sll_halen = 6;
    // To itself: a switch does not forward a frame to where it came from.
    address.sll_addr[..6].copy_from_slice(&hardware.address);
    let payload = *b"anomaly-detect probe: does the hook run?\0\0\0\0\0\0";
    // SAFETY: buffer and address are valid for the lengths given.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            payload.as_ptr().cast(),
            payload.len(),
            0,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as u32,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
