//! What the kernel program and the agent share: the flow key and counters ([`flow`]), the packet parser
//! ([`frame`]), the accounting of one packet ([`account`]) and the layout of the BPF maps ([`maps`]).
//!
//! Everything here is `no_std`, allocates nothing and is compiled twice: for the kernel (`bpfel-unknown-none`)
//! and for the host. That is what makes a packet seen by XDP and the same packet replayed from a capture give
//! the same record.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod account;
pub mod bounds;
pub mod flow;
pub mod frame;
pub mod maps;
pub mod table;

/// The compiled BPF programs, as committed under `objects/`.
#[cfg(not(target_arch = "bpf"))]
pub static OBJECT: &[u8] = {
    /// ELF wants its headers aligned.
    #[repr(C, align(8))]
    struct Aligned<T: ?Sized>(T);
    static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!("../objects/flow-monitor.bpf.o"));
    &ALIGNED.0
};
