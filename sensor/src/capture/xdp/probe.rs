//! Proof that an attached program runs: attaching is not executing.
//!
//! Egress is proved by sending one frame of a local experimental EtherType (IEEE 802, 0x88B5) to the interface's own
//! address and watching the hook's probe counter. Ingress cannot be made to receive a frame from here, except where
//! the interface hears itself (loopback); elsewhere the interface's own count of received packets is compared
//! with the hook's: packets that the interface received and the hook has not seen prove that it does not run.

use std::{
    fs, io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    time::Duration,
};

use sensor_ebpf::{frame::ether_type, maps::Hook};

use super::{Attached, XdpError, tables::Tables};

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

/// How often and how long is looked for the probe.
const LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(super) fn prove(attached: &Attached, tables: &Tables) -> Result<Proof, XdpError> {
    let failed = |what: &'static str| move |source| XdpError::System { what, source };
    let received_before = received(&attached.interface);
    let before = (tables.peek(Hook::Ingress)?, tables.peek(Hook::Egress)?);
    send_probe(attached.index).map_err(failed("send a probe frame"))?;
    let mut proof = Proof {
        interface: attached.interface.clone(),
        ingress: Proved::NoTraffic,
        egress: Proved::DoesNotRun,
    };
    for _ in 0..LOOKS {
        let now = (tables.peek(Hook::Ingress)?, tables.peek(Hook::Egress)?);
        if now.1.probe > before.1.probe {
            proof.egress = Proved::Runs;
        }
        if now.0.seen > before.0.seen {
            proof.ingress = Proved::Runs;
        } else if received(&attached.interface) > received_before {
            proof.ingress = Proved::DoesNotRun;
        }
        if (proof.ingress, proof.egress) == (Proved::Runs, Proved::Runs) {
            break;
        }
        // A look is not worth a wake-up of its own.
        std::thread::park_timeout(LOOK_EVERY);
    }
    Ok(proof)
}

/// Packets the interface says it has received; 0 where it does not say.
fn received(interface: &str) -> u64 {
    fs::read_to_string(format!("/sys/class/net/{interface}/statistics/rx_packets"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// Sends one frame out of an interface, to the interface itself.
fn send_probe(interface: u32) -> io::Result<()> {
    // SAFETY: plain numbers; the result is checked.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a file descriptor the kernel has just made for us.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all zeroes is a valid link-layer address: 00:00:00:00:00:00 is nobody's.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ether_type::PROBE.to_be();
    address.sll_ifindex = interface as i32;
    address.sll_halen = 6;
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
