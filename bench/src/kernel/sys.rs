//! The two `bpf(2)` commands that the measurement needs and aya does not offer in this form; running a program on a frame
//! is the sensor's.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use sensor::capture::xdp::bpf;

const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_GET_NEXT_KEY: libc::c_long = 4;

/// As much of `union bpf_attr` as is used; the kernel takes the rest as zero.
#[repr(C)]
struct NextKey {
    map_fd: u32,
    pad: u32,
    key: u64,
    next: u64,
}

#[repr(C)]
struct Update {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Puts a program into an array of programs.
pub(super) fn set(array: BorrowedFd<'_>, at: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    let value = program.as_raw_fd();
    let attributes = Update {
        map_fd: array.as_raw_fd() as u32,
        pad: 0,
        key: &raw const at as u64,
        value: &raw const value as u64,
        flags: 0,
    };
    // SAFETY: the attributes are a live struct of the size given, and key and value four bytes each.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_UPDATE_ELEM,
            &raw const attributes,
            size_of::<Update>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Keys in a map, counted up to `most`.
pub(super) fn count_keys(map: BorrowedFd<'_>, key_size: u32, most: u64) -> io::Result<u64> {
    let mut key = vec![0_u8; key_size as usize];
    let mut next = key.clone();
    let mut count = 0;
    while count < most {
        let attributes = NextKey {
            map_fd: map.as_raw_fd() as u32,
            pad: 0,
            key: if count == 0 { 0 } else { key.as_ptr() as u64 },
            next: next.as_mut_ptr() as u64,
        };
        // SAFETY: the attributes are a live struct of the size given, and the keys as long as the map's.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_MAP_GET_NEXT_KEY,
                &raw const attributes,
                size_of::<NextKey>(),
            )
        };
        if result < 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::ENOENT) => Ok(count),
                _ => Err(error),
            };
        }
        count += 1;
        std::mem::swap(&mut key, &mut next);
    }
    Ok(count)
}

/// Runs a program on a frame that many times; the average time of a run in whole ns, by the kernel. (Around the runs of an
/// XDP program the kernel waits for a grace period, so the call itself must not be timed.)
pub(super) fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<u32> {
    bpf::test_run(program, frame, repeat).map(|ran| ran.duration_ns)
}
