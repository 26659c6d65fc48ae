//! Why the kernel side cannot be used, in one line each.

use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError};

/// Why the kernel side cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// Not allowed. The words name the capabilities that the process lacks.
    #[error("no permission to load and attach the BPF programs: {}", lacking())]
    Permission,
    /// No such interface.
    #[error("interface {name} does not exist; there are, nearest first: {known}")]
    NoInterface {
        /// What was asked for.
        name: String,
        /// What there is, the most similar name first.
        known: String,
    },
    /// The programs read Ethernet frames and the interface has none.
    #[error(
        "interface {name} carries no Ethernet frames (link type {kind}); use --capture libpcap for it"
    )]
    NotEthernet {
        /// The interface.
        name: String,
        /// `ARPHRD_*` of `linux/if_arp.h`.
        kind: u16,
    },
    /// Another program has the hook.
    #[error(
        "interface {interface} already has an XDP program of somebody else, which is left alone; see `ip link show {interface}`"
    )]
    Occupied {
        /// The interface.
        interface: String,
    },
    /// AF_XDP was asked for and is not to be had.
    #[error("AF_XDP on {interface}: {why}")]
    NoSockets {
        /// The interface.
        interface: String,
        /// Why.
        why: String,
    },
    /// The kernel refused to attach.
    #[error("attach to {interface} ({hook}): {error}")]
    Attach {
        /// The interface.
        interface: String,
        /// The hook.
        hook: &'static str,
        /// Why.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A program is attached, packets come by and it counts none.
    #[error("{interface}: the {hook} program is attached and does not run")]
    NotRunning {
        /// The interface.
        interface: String,
        /// The hook.
        hook: &'static str,
    },
    /// The kernel refused the program.
    #[error("load the BPF program {program}: {error}")]
    Load {
        /// The program.
        program: &'static str,
        /// Why, with the verifier's words.
        error: Box<ProgramError>,
    },
    /// The object cannot be loaded.
    #[error("load the BPF object: {0}")]
    Ebpf(Box<EbpfError>),
    /// The object is not the one this agent was built with.
    #[error("the BPF object does not fit this program: {what}")]
    Object {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The memory named is less than the smallest tables take.
    #[error(
        "limits.memory: too little for the flow tables of {cpus} CPUs in the kernel: the smallest take {} KiB, its eighth for them is {} KiB; at least {}Mi are needed, or --capture libpcap",
        least / 1024,
        bytes / 1024,
        (least * 8).div_ceil(1 << 20)
    )]
    Memory {
        /// CPUs, each of which has tables of its own.
        cpus: u32,
        /// Bytes the smallest take.
        least: u64,
        /// Bytes they may take.
        bytes: u64,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What it was for.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A map operation failed.
    #[error("{what}: {error}")]
    Map {
        /// What it was for.
        what: &'static str,
        /// What the kernel said.
        error: MapError,
    },
}

impl XdpError {
    /// What the program exits with (sysexits.h): 77 without permission, 78 where the configuration says what cannot be, otherwise 69.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Permission => 77,
            Self::Memory { .. } => 78,
            _ => 69,
        }
    }

    /// In a word or two, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Permission => "no permission",
            Self::NoInterface { .. } => "no such interface",
            Self::NotEthernet { .. } => "not Ethernet",
            Self::Occupied { .. } => "another program has the hook",
            Self::NoSockets { .. } => "no sockets",
            Self::Memory { .. } => "too little memory for its tables",
            Self::Attach { .. } => "the kernel or the driver has none",
            Self::NotRunning { .. } => "attached and does not run",
            Self::Load { .. } | Self::Ebpf(_) => "the kernel refused the program",
            Self::Object { .. } | Self::System { .. } | Self::Map { .. } => "a system call failed",
        }
    }

    pub(super) fn of_object(error: EbpfError) -> Self {
        match &error {
            EbpfError::MapError(MapError::CreateError { io_error, .. }) if is_denial(io_error) => {
                Self::Permission
            }
            EbpfError::BtfError(_) if !missing().is_empty() => Self::Permission,
            _ => Self::Ebpf(Box::new(error)),
        }
    }

    pub(super) fn of_program(program: &'static str, error: ProgramError) -> Self {
        // The verifier answers EACCES to a program it does not like: that is no matter of permission unless a
        // capability is missing.
        let denied = match &error {
            ProgramError::LoadError { io_error, .. } => is_denial(io_error),
            ProgramError::SyscallError(error) => is_denial(&error.io_error),
            _ => false,
        };
        if denied && !missing().is_empty() {
            return Self::Permission;
        }
        Self::Load {
            program,
            error: Box::new(error),
        }
    }
}

pub(super) fn is_denial(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

/// Numbers of the capabilities in `linux/capability.h`. The last stands for the two that were split off from it in
/// Linux 5.8.
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The capabilities that are needed and not effective in this thread.
fn missing() -> Vec<&'static str> {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    missing_from(&status)
}

fn missing_from(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    let has = |capability: u32| effective >> capability & 1 == 1;
    [
        (CAP_BPF, has(CAP_SYS_ADMIN), "CAP_BPF"),
        (CAP_PERFMON, has(CAP_SYS_ADMIN), "CAP_PERFMON"),
        (CAP_NET_ADMIN, false, "CAP_NET_ADMIN"),
        (CAP_NET_RAW, false, "CAP_NET_RAW"),
    ]
    .into_iter()
    .filter(|(capability, otherwise, _)| !has(*capability) && !otherwise)
    .map(|(_, _, name)| name)
    .collect()
}

fn lacking() -> String {
    let missing = missing();
    if missing.is_empty() {
        return "the capabilities are there, but not in the initial user namespace, or the kernel is locked down"
            .to_owned();
    }
    format!(
        "{} missing; run as root, or grant it with setcap or AmbientCapabilities=",
        missing.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::{super::Settings, XdpError, missing_from};

    #[test]
    fn a_memory_too_small_for_any_tables_is_refused_with_what_would_do() {
        let within = |bytes| Settings::on(["lo"]).within(bytes);
        let error = within(1 << 10).expect_err("too little");
        assert!(matches!(error, XdpError::Memory { .. }));
        assert_eq!(error.exit_code(), 78);
        let said = error.to_string();
        let needed = said
            .rsplit_once("at least ")
            .and_then(|(_, rest)| rest.split_once("Mi "))
            .and_then(|(number, _)| number.parse::<u64>().ok())
            .expect("a number");
        // An eighth of it is for the tables.
        let least = within((needed << 20) / 8).expect("enough");
        let ample = within(1 << 40).expect("enough");
        assert!(least.flows_per_table < ample.flows_per_table, "{said}");
        let usual = Settings::on(["lo"]).flows_per_table;
        assert_eq!(ample.flows_per_table, usual, "no more than without a bound");
    }

    #[test]
    fn missing_capabilities_are_named() {
        let status = |effective: u64| format!("Name:\tx\nCapEff:\t{effective:016x}\nSeccomp:\t0\n");
        assert!(missing_from(&status(u64::MAX)).is_empty());
        let all = ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_NET_RAW"];
        assert_eq!(missing_from(&status(0)), all);
        assert_eq!(missing_from(""), all);
        // CAP_SYS_ADMIN is enough for what was split off from it, and for nothing else.
        assert_eq!(
            missing_from(&status(1 << 21)),
            ["CAP_NET_ADMIN", "CAP_NET_RAW"]
        );
        assert_eq!(
            missing_from(&status(1 << 39 | 1 << 38 | 1 << 13)),
            ["CAP_NET_ADMIN"]
        );
    }
}
