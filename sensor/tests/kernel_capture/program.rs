//! Small BPF programs for tests, assembled by hand.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_TYPE_XDP: u32 = 6;

#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// One instruction (`struct bpf_insn`).
const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> u64 {
    code as u64
        | (registers as u64) << 8
        | (offset as u16 as u64) << 16
        | (immediate as u32 as u64) << 32
}

/// An XDP program that makes each frame the next of `flows` UDP flows, round and round, and sends it out of
/// `interface`. Flow n has source port `1024 + n % 256 + n / 65536 * 256` and ends its source address with `n / 256 % 256`; the numbers
/// are `lane`, `lane + lanes`, ... so that several such programs make flows of their own. Runs of the program
/// cost nanoseconds, while each system call that starts some costs milliseconds: so the variety is in here.
pub(crate) fn flow_maker(interface: u32, flows: u32, lane: u32, lanes: u32) -> io::Result<OwnedFd> {
    let counter = create_counter()?;
    let program = [
        instruction(0xb7, 0, 0, 1),                      // r0 = XDP_DROP
        instruction(0x61, 0x12, 0, 0),                   // r2 = data
        instruction(0x61, 0x13, 4, 0),                   // r3 = data_end
        instruction(0xbf, 0x24, 0, 0),                   // r4 = r2
        instruction(0x07, 4, 0, 42),                     // r4 += headers
        instruction(0x2d, 0x34, 20, 0),                  // if r4 > r3 goto exit
        instruction(0x18, 0x25, 0, counter.as_raw_fd()), // r5 = &counter
        instruction(0, 0, 0, 0),                         //
        instruction(0x79, 0x56, 0, 0),                   // r6 = counter
        instruction(0xbf, 0x67, 0, 0),                   // r7 = r6
        instruction(0x07, 7, 0, 1),                      // r7 += 1
        instruction(0x7b, 0x75, 0, 0),                   // counter = r7
        instruction(0x97, 6, 0, flows as i32),           // r6 %= flows
        instruction(0x27, 6, 0, lanes as i32),           // r6 *= lanes
        instruction(0x07, 6, 0, lane as i32),            // r6 += lane
        instruction(0x73, 0x62, 35, 0),                  // source port, low byte = r6
        instruction(0x73, 0x62, 7, 0),                   // last byte of the time = r6
        instruction(0x77, 6, 0, 8),                      // r6 >>= 8
        instruction(0x73, 0x62, 29, 0),                  // source address, last byte = r6
        instruction(0x73, 0x62, 6, 0),                   // last but one of the time = r6
        instruction(0x77, 6, 0, 8),                      // r6 >>= 8
        instruction(0x07, 6, 0, 4),                      // r6 += 4
        instruction(0x73, 0x62, 34, 0),                  // source port, high byte = r6
        instruction(0xb7, 1, 0, interface as i32),       // r1 = interface
        instruction(0xb7, 2, 0, 0),                      // r2 = 0
        instruction(0x85, 0, 0, 23),                     // call bpf_redirect
        instruction(0x95, 0, 0, 0),                      // exit
    ];
    load_xdp(&program)
}

/// An array of one 64-bit number.
fn create_counter() -> io::Result<OwnedFd> {
    #[repr(C)]
    struct MapCreate {
        kind: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        rest: [u32; 12],
    }
    let attribute = MapCreate {
        kind: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        rest: [0; 12],
    };
    // SAFETY: the attribute lives until the call returns.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_CREATE,
            &raw const attribute,
            size_of::<MapCreate>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a file descriptor the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Loads an XDP program.
fn load_xdp(instructions: &[u64]) -> io::Result<OwnedFd> {
    let license = c"GPL";
    let attribute = ProgramLoad {
        kind: BPF_PROG_TYPE_XDP,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: [0; 16],
    };
    // SAFETY: the attribute and what it points to live until the call returns.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attribute,
            size_of::<ProgramLoad>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a file descriptor the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
