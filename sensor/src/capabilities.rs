//! Capabilities of a thread (capabilities(7), capset(2)): each thread has its own, and only it can change them. A leaf.

use std::{fs, io};

/// Of structures with two 32-bit halves (linux/capability.h, `_LINUX_CAPABILITY_VERSION_3`).
const VERSION_3: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct` and two of `struct __user_cap_data_struct` (capset(2)).
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Keeps these of the calling thread's capabilities, a bit each, and drops the others; threads that it begins later have no more.
///
/// # Errors
/// Some of them are not there to be kept.
pub(crate) fn keep(keep: u64) -> io::Result<()> {
    let half = |bits: u32| Half {
        effective: bits,
        permitted: bits,
        inheritable: 0,
    };
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let halves = [half(keep as u32), half((keep >> 32) as u32)];
    // SAFETY: both structures are as the version says and live until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Drops all but these capabilities from what programs started later could get.
pub(crate) fn bound(keep: u64) {
    for bit in 0..64 {
        if keep >> bit & 1 == 0 {
            // Needs CAP_SETPCAP, which a sensor without root lacks: nothing it starts gains privileges either, for want of
            // new ones. Numbers beyond the last capability are refused.
            let _ = prctl(libc::PR_CAPBSET_DROP, bit);
        }
    }
}

/// From now on no program that this thread starts gains privileges.
///
/// # Errors
/// The kernel knows none of this.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Gives up everything, for a thread that needs nothing.
///
/// # Errors
/// As of its parts.
pub(crate) fn renounce() -> io::Result<()> {
    no_new_privileges()?;
    bound(0);
    keep(0)
}

/// `prctl(2)`, for options that take plain numbers.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: these options take plain numbers.
    match unsafe { libc::prctl(option, value, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Capabilities of the calling thread that are permitted, a bit each.
pub(crate) fn permitted() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0)
}
