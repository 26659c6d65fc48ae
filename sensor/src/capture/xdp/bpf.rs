//! The few `bpf(2)` commands that aya has no call for: creating a table, swapping tables and emptying them in
//! batches, and running a program on a frame of ours. Structures as in `include/uapi/linux/bpf.h`.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use sensor_ebpf::{
    flow::{FlowCounters, FlowKey},
    maps::FLOW_TABLE_FLAGS,
};

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_MAP_LOOKUP_AND_DELETE_BATCH: libc::c_long = 25;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
const BPF_LINK_CREATE: libc::c_long = 28;

const BPF_MAP_TYPE_HASH: u32 = 1;
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

/// Creates an empty flow table.
pub(super) fn create_flow_table(flows_max: u32) -> io::Result<OwnedFd> {
    let mut fields = MapCreate {
        map_type: BPF_MAP_TYPE_HASH,
        key_size: size_of::<FlowKey>() as u32,
        value_size: size_of::<FlowCounters>() as u32,
        max_entries: flows_max,
        map_flags: FLOW_TABLE_FLAGS,
        inner_map_fd: 0,
        numa_node: 0,
        map_name: *b"flow_table\0\0\0\0\0\0",
    };
    let fd = call(BPF_MAP_CREATE, &mut fields)?;
    // SAFETY: a file descriptor the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Puts `tables` into the slots of an array of maps, all at once: the kernel waits a single time until no program
/// uses what they replace (kernel/bpf/syscall.c, `bpf_map_do_batch` and `maybe_wait_bpf_programs`).
pub(super) fn swap_tables(
    array: BorrowedFd<'_>,
    slots: &[u32],
    tables: &[OwnedFd],
) -> io::Result<()> {
    assert_eq!(slots.len(), tables.len());
    let mut fds: Vec<u32> = tables
        .iter()
        .map(|table| table.as_raw_fd() as u32)
        .collect();
    let mut fields = Batch {
        in_batch: 0,
        out_batch: 0,
        keys: slots.as_ptr() as u64,
        values: fds.as_mut_ptr() as u64,
        count: slots.len() as u32,
        map_fd: array.as_raw_fd() as u32,
        elem_flags: 0,
        flags: 0,
    };
    match call(BPF_MAP_UPDATE_BATCH, &mut fields) {
        Ok(_) => Ok(()),
        // Before Linux 5.19 arrays of maps have no batch operations: then one by one, with a wait for each.
        Err(error) if error.raw_os_error() == Some(ENOTSUPP) => slots
            .iter()
            .zip(&fds)
            .try_for_each(|(slot, fd)| put_table(array, slot, fd)),
        Err(error) => Err(error),
    }
}

/// The kernel's own "not supported", which is not the C library's (include/linux/errno.h).
const ENOTSUPP: i32 = 524;

#[repr(C)]
#[derive(Clone, Copy)]
struct Element {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn put_table(array: BorrowedFd<'_>, slot: &u32, fd: &u32) -> io::Result<()> {
    let mut fields = Element {
        map_fd: array.as_raw_fd() as u32,
        pad: 0,
        key: std::ptr::from_ref(slot) as u64,
        value: std::ptr::from_ref(fd) as u64,
        flags: 0,
    };
    call(BPF_MAP_UPDATE_ELEM, &mut fields).map(|_| ())
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

/// Elements per call: the kernel holds no lock longer than for one bucket, so few calls are better than many.
const BATCH_LENGTH: usize = 1 << 15;

/// Flows read from tables: keys and counters apart, as the kernel hands them over.
#[derive(Default)]
pub(super) struct Read {
    pub(super) keys: Vec<FlowKey>,
    pub(super) counters: Vec<FlowCounters>,
}

impl Read {
    /// Moves all elements of a table that no program uses any more behind what is here; the table is empty after.
    /// Gives the number of calls it took.
    pub(super) fn empty(&mut self, table: BorrowedFd<'_>) -> io::Result<u32> {
        let (mut position, mut next) = (0u32, 0u32);
        let mut begun = false;
        let mut calls = 0;
        let mut room = BATCH_LENGTH;
        loop {
            self.keys.reserve(room);
            self.counters.reserve(room);
            let mut fields = Batch {
                in_batch: if begun { &raw mut position as u64 } else { 0 },
                out_batch: &raw mut next as u64,
                keys: self.keys.spare_capacity_mut().as_mut_ptr() as u64,
                values: self.counters.spare_capacity_mut().as_mut_ptr() as u64,
                count: room as u32,
                map_fd: table.as_raw_fd() as u32,
                elem_flags: 0,
                flags: 0,
            };
            calls += 1;
            let result = call(BPF_MAP_LOOKUP_AND_DELETE_BATCH, &mut fields);
            let errno = result.as_ref().err().and_then(io::Error::raw_os_error);
            match errno {
                None | Some(libc::ENOENT) => {
                    let count = fields.count as usize;
                    assert!(count <= room, "the kernel says it wrote behind the buffer");
                    let (keys, counters) = (self.keys.len() + count, self.counters.len() + count);
                    // SAFETY: room for `room` elements was reserved, and the kernel has written `count`: plain numbers.
                    unsafe { self.keys.set_len(keys) };
                    // SAFETY: as above.
                    unsafe { self.counters.set_len(counters) };
                    if errno.is_some() {
                        return Ok(calls);
                    }
                    position = next;
                    begun = true;
                }
                // A bucket holds more elements than there is room for: a whole bucket must fit
                // (kernel/bpf/hashtab.c, `__htab_map_lookup_and_delete_batch`).
                Some(libc::ENOSPC) => room *= 2,
                Some(libc::EINTR | libc::EAGAIN) => {}
                Some(_) => return result.map(|_| calls),
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Moves what another holds behind what is here.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.keys.append(&mut other.keys);
        self.counters.append(&mut other.counters);
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.counters.clear();
    }
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
