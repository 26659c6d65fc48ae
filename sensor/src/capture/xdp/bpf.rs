//! The few `bpf(2)` commands that aya has no call for: waiting for programs, attaching without replacing, and running a
//! program on a frame of ours. Structures as in `include/uapi/linux/bpf.h`.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_LINK_CREATE: libc::c_long = 28;

const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;
/// Have the frames of a test run go where the program's verdict sends them.
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// Size of `union bpf_attr` that is handed over, zeroed beyond the fields in use.
const ATTRIBUTE_BYTES: usize = 128;

/// `union bpf_attr`, aligned as the kernel wants it.
#[repr(C, align(8))]
union Attribute<T: Copy> {
    fields: T,
    bytes: [u8; ATTRIBUTE_BYTES],
}

fn call<T: Copy>(command: libc::c_long, fields: &mut T) -> io::Result<libc::c_long> {
    const { assert!(size_of::<T>() <= ATTRIBUTE_BYTES) };
    let mut attribute = Attribute::<T> {
        bytes: [0; ATTRIBUTE_BYTES],
    };
    attribute.fields = *fields;
    // SAFETY: the attribute is as long as said, and the pointers in it are valid by the callers' construction.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attribute, ATTRIBUTE_BYTES) };
    let error = io::Error::last_os_error();
    // SAFETY: it was written as `fields`; the kernel has written numbers at most.
    *fields = unsafe { attribute.fields };
    if result < 0 { Err(error) } else { Ok(result) }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

fn create_map(map_type: u32, name: [u8; 16], inner: Option<&OwnedFd>) -> io::Result<OwnedFd> {
    let mut fields = MapCreate {
        map_type,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        map_flags: 0,
        inner_map_fd: inner.map_or(0, |inner| inner.as_raw_fd() as u32),
        numa_node: 0,
        map_name: name,
    };
    let fd = call(BPF_MAP_CREATE, &mut fields)?;
    // SAFETY: a file descriptor the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Element {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// What to wait for programs by.
///
/// The kernel promises that an update of a map of maps returns only when no program runs any more that ran before
/// (kernel/bpf/syscall.c, `maybe_wait_bpf_programs`): who might have seen the old map. That is also who might have seen
/// anything else that was changed before, so a map of maps that no program knows will do.
pub(super) struct Grace {
    maps: OwnedFd,
    inner: OwnedFd,
}

impl Grace {
    pub(super) fn new() -> io::Result<Self> {
        let inner = create_map(BPF_MAP_TYPE_ARRAY, *b"nothing\0\0\0\0\0\0\0\0\0", None)?;
        let maps = create_map(
            BPF_MAP_TYPE_ARRAY_OF_MAPS,
            *b"grace\0\0\0\0\0\0\0\0\0\0\0",
            Some(&inner),
        )?;
        Ok(Self { maps, inner })
    }

    /// Returns when every program that runs now has ended.
    pub(super) fn wait(&self) -> io::Result<()> {
        let (slot, inner) = (0_u32, self.inner.as_raw_fd());
        let mut fields = Element {
            map_fd: self.maps.as_raw_fd() as u32,
            pad: 0,
            key: &raw const slot as u64,
            value: &raw const inner as u64,
            flags: 0,
        };
        call(BPF_MAP_UPDATE_ELEM, &mut fields).map(drop)
    }
}

/// A hook that a link can be made to (`enum bpf_attach_type`), with the flags of making it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkTo {
    /// XDP in the driver.
    XdpNative,
    /// XDP in the stack.
    XdpGeneric,
    /// TCX on ingress, before the programs that are there.
    TcxIngress,
    /// TCX on egress, before the programs that are there: one of them might end the chain, and hide packets.
    TcxEgress,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative_fd: u32,
    pad: u32,
    expected_revision: u64,
}

/// Attaches a program to an interface for as long as the link is open. Never replaces a program; aya's calls would
/// fall back to netlink, which does, and which outlives the process.
pub(super) fn link(program: BorrowedFd<'_>, interface: u32, to: LinkTo) -> io::Result<OwnedFd> {
    const BPF_XDP: u32 = 37;
    const BPF_TCX_INGRESS: u32 = 46;
    const BPF_TCX_EGRESS: u32 = 47;
    const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
    const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
    const BPF_F_BEFORE: u32 = 1 << 3;
    let (attach_type, flags) = match to {
        LinkTo::XdpNative => (BPF_XDP, XDP_FLAGS_DRV_MODE),
        LinkTo::XdpGeneric => (BPF_XDP, XDP_FLAGS_SKB_MODE),
        LinkTo::TcxIngress => (BPF_TCX_INGRESS, BPF_F_BEFORE),
        LinkTo::TcxEgress => (BPF_TCX_EGRESS, BPF_F_BEFORE),
    };
    let mut fields = LinkCreate {
        prog_fd: program.as_raw_fd() as u32,
        target_ifindex: interface,
        attach_type,
        flags,
        relative_fd: 0,
        pad: 0,
        expected_revision: 0,
    };
    let fd = call(BPF_LINK_CREATE, &mut fields)?;
    // SAFETY: a file descriptor the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    /// The kernel refuses anything but zeroes behind the last field: padding must not be left to chance.
    pad: u32,
}

/// What a test run gave back.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// Verdict of the last run.
    pub verdict: u32,
    /// Mean time of a run in nanoseconds.
    pub duration_ns: u32,
}

/// Runs a program `repeat` times on `frame` and throws the result away (`BPF_PROG_TEST_RUN`).
///
/// # Errors
/// What the kernel says; `EINVAL` for a frame shorter than an Ethernet header.
pub fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<Ran> {
    let mut fields = TestRun {
        prog_fd: program.as_raw_fd() as u32,
        data_size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        repeat,
        ..TestRun::default()
    };
    call(BPF_PROG_TEST_RUN, &mut fields)?;
    Ok(Ran {
        verdict: fields.retval,
        duration_ns: fields.duration,
    })
}

/// Runs an XDP program `repeat` times on `frame` and lets its verdicts be carried out, in the network namespace of
/// the calling thread: with a program that redirects, real frames leave at millions a second.
///
/// # Errors
/// What the kernel says.
pub fn inject(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<()> {
    let mut fields = TestRun {
        prog_fd: program.as_raw_fd() as u32,
        data_size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        repeat,
        flags: BPF_F_TEST_XDP_LIVE_FRAMES,
        batch_size: 64,
        ..TestRun::default()
    };
    call(BPF_PROG_TEST_RUN, &mut fields).map(|_| ())
}
