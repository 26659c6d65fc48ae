//! Which programs hang on an interface.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// Programs at the hooks that the sensor uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hooks {
    /// Number of the XDP program, 0 for none.
    pub(super) xdp: u32,
    /// Programs at TCX on egress.
    pub(super) tcx_egress: u32,
}

/// Asks the kernel.
pub(super) fn find(index: u32) -> io::Result<Hooks> {
    Ok(Hooks {
        xdp: xdp_program(index)?,
        // An older kernel has no TCX, and so no program there.
        tcx_egress: tcx_egress(index).unwrap_or(0),
    })
}

/// `BPF_PROG_QUERY`: the first fields of its attribute.
fn tcx_egress(index: u32) -> io::Result<u32> {
    const BPF_PROG_QUERY: libc::c_long = 16;
    const BPF_TCX_EGRESS: u32 = 47;
    let mut query = [0_u32; 16];
    (query[0], query[1]) = (index, BPF_TCX_EGRESS);
    // SAFETY: the attribute lives until the call returns; no ids are asked for, so nothing else is written.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_QUERY,
            query.as_mut_ptr(),
            size_of_val(&query),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // Behind target, type, two flags and the pointer to ids.
    Ok(query[6])
}

/// `RTM_GETLINK` of rtnetlink(7), and the attribute `IFLA_XDP` of its answer.
fn xdp_program(index: u32) -> io::Result<u32> {
    const IFLA_XDP: u16 = 43;
    const IFLA_XDP_PROG_ID: u16 = 4;
    const HEADER: usize = 16 + 16;
    // SAFETY: plain numbers; the result is checked.
    let socket = unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        )
    };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a file descriptor the kernel has just made for us.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // `struct nlmsghdr` and `struct ifinfomsg`, in words.
    let kind = u32::from(libc::RTM_GETLINK) | (libc::NLM_F_REQUEST as u32) << 16;
    let request = [HEADER as u32, kind, 1, 0, 0, index, 0, 0];
    // SAFETY: the buffer is valid for its length.
    let sent = unsafe {
        libc::send(
            socket.as_raw_fd(),
            request.as_ptr().cast(),
            size_of_val(&request),
            0,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut answer = vec![0_u8; 1 << 16];
    // SAFETY: the buffer is valid for its length.
    let length = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            answer.as_mut_ptr().cast(),
            answer.len(),
            0,
        )
    };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let attributes = answer.get(HEADER..length).unwrap_or_default();
    let found = attribute(attributes, IFLA_XDP)
        .and_then(|nested| attribute(nested, IFLA_XDP_PROG_ID))
        .and_then(|id| Some(u32::from_ne_bytes(id.get(..4)?.try_into().ok()?)));
    Ok(found.unwrap_or(0))
}

/// Payload of the first attribute of a type: length and type in 16 bits each, padded to four bytes.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    /// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
    const FLAGS: u16 = 0xc000;
    while let [a, b, c, d, ..] = *attributes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let payload = attributes.get(4..length)?;
        if u16::from_ne_bytes([c, d]) & !FLAGS == wanted {
            return Some(payload);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_behind_padding_and_cut_ones_are_none() {
        let of = |kind: u16, payload: &[u8]| {
            let mut bytes = (4 + payload.len() as u16).to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(payload);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let all = [
            of(3, b"lo\0"),
            of(43 | 0x8000, &of(4, &7_u32.to_ne_bytes())),
        ]
        .concat();
        let nested = attribute(&all, 43).unwrap();
        assert_eq!(attribute(nested, 4), Some(&7_u32.to_ne_bytes()[..]));
        assert_eq!(attribute(&all, 9), None);
        assert_eq!(attribute(&all[..10], 43), None);
        assert_eq!(attribute(&[0, 0, 0, 0], 1), None);
    }
}
