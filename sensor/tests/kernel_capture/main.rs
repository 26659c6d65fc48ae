//! Tests of the kernel program in namespaces of their own. They need root and are run by `cargo xtask test`.
#![cfg(target_os = "linux")]

mod af_xdp;
mod arp;
mod arrivals;
mod beside;
mod canary;
#[path = "../support/captures.rs"]
mod captures;
mod copies;
mod counted;
mod exact;
mod fix;
mod forwarded;
mod fragments;
mod links;
mod live_frames;
mod manners;
mod million;
mod netns;
mod process;
#[path = "../support/processor.rs"]
mod processor;
mod program;
mod recorded;
mod same_bits;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
mod taps;
mod verdicts;
