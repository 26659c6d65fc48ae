//! The two `bpf(2)` commands that the measurement needs and aya does not offer in this form; running a program on a
//! frame is the sensor's.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use sensor::capture::xdp::bpf;

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_TYPE_HASH: u32 = 1;

/// As much of `union bpf_attr` as is used; the kernel takes the rest as zero.
#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct MapUpdate {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn call<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are a live struct of the size given; pointers inside are to live memory, see callers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Makes a hash map.
pub(super) fn hash_map(
    key_size: usize,
    value_size: usize,
    max_entries: u32,
    map_flags: u32,
) -> io::Result<OwnedFd> {
    let mut attributes = MapCreate {
        map_type: BPF_MAP_TYPE_HASH,
        key_size: key_size as u32,
        value_size: value_size as u32,
        max_entries,
        map_flags,
    };
    let fd = call(BPF_MAP_CREATE, &mut attributes)?;
    // SAFETY: a file descriptor that the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Puts `inner` into a map of maps.
pub(super) fn set_inner(outer: BorrowedFd<'_>, index: u32, inner: &OwnedFd) -> io::Result<()> {
    let value = inner.as_raw_fd();
    let mut attributes = MapUpdate {
        map_fd: outer.as_raw_fd() as u32,
        key: std::ptr::from_ref(&index) as u64,
        value: std::ptr::from_ref(&value) as u64,
        ..MapUpdate::default()
    };
    call(BPF_MAP_UPDATE_ELEM, &mut attributes).map(drop)
}

/// Runs a program on a frame that many times; the average time of a run in whole ns, by the kernel. (Around the runs of an
/// XDP program the kernel waits for a grace period, so the call itself must not be timed.)
pub(super) fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<u32> {
    bpf::test_run(program, frame, repeat).map(|ran| ran.duration_ns)
}
