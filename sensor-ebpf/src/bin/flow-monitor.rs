//! The BPF programs. On the host this is an empty `main`, so that every build works anywhere.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}
