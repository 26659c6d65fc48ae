//! The Debian package as an operator meets it: installed into a fresh Debian that systemd itself runs, configured, begun,
//! hung, begun anew, ended and purged. systemd makes the sandbox that the unit asks for, so what works here works within it.
//!
//! ```text
//! sender, attacker ── veth-a ═ veth-b ── Debian (systemd-nspawn, in the namespace of veth-b)
//!                                        └─ systemd ─ anomaly-detect.service ─ XDP, TCX on veth-b
//! ```
//!
//! The Debian is made once by debootstrap, and never written to: each boot sees it through an overlay in memory.
#![cfg(target_os = "linux")]

mod container;
mod guest;
mod made;
#[expect(dead_code, reason = "the tests of the kernel program use more of it")]
#[path = "../kernel_capture/netns.rs"]
mod netns;
#[path = "../support/program.rs"]
mod program;
mod service;
mod traffic;
