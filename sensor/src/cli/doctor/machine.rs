//! The machine and its kernel: processor, clock, memory, and what the kernel allows.

use std::{fs, path::Path};

use super::Check;

/// A file of `/proc` or `/sys`, without the line's end.
fn read(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![processor(), kernel()];
    if cfg!(target_os = "linux") {
        checks.extend([
            types(),
            compiler(),
            lockdown(),
            paranoid(),
            permission(),
            clock(),
            memory(),
        ]);
    }
    checks
}

fn processor() -> Check {
    #[cfg(target_arch = "x86_64")]
    let vectors = if std::arch::is_x86_feature_detected!("avx512vbmi") {
        "AVX-512 VBMI"
    } else if std::arch::is_x86_feature_detected!("avx2") {
        "AVX2"
    } else {
        "no AVX2: scoring takes the portable path"
    };
    #[cfg(not(target_arch = "x86_64"))]
    let vectors = "portable scoring";
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Check::good("processor", format!("{threads} threads, {vectors}"))
}

fn version() -> Option<(String, (u32, u32))> {
    let release = read("/proc/sys/kernel/osrelease")?;
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Some((release, version))
}

fn kernel() -> Check {
    match version() {
        None => Check::limited(
            "kernel",
            "no Linux: captures from files and libpcap only",
            "use a Linux machine for capture in the kernel",
        ),
        Some((release, version)) if version >= (6, 6) => {
            Check::good("kernel", format!("{release}: XDP and TCX"))
        }
        Some((release, version)) if version >= (5, 15) => Check::good(
            "kernel",
            format!("{release}: XDP, and clsact instead of TCX (6.6)"),
        ),
        Some((release, _)) => Check::limited(
            "kernel",
            format!("{release}: capture in the kernel wants 5.15 or newer"),
            "update the kernel, or capture with --capture libpcap",
        ),
    }
}

fn types() -> Check {
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        Check::good("kernel types", "BTF at /sys/kernel/btf/vmlinux")
    } else {
        // The programs read packets and maps only: nothing of the kernel that has to be found by its type.
        Check::good("kernel types", "no BTF; these programs do without")
    }
}

fn compiler() -> Check {
    match read("/proc/sys/net/core/bpf_jit_enable").as_deref() {
        Some("0") => Check::limited(
            "BPF compiler",
            "off: the programs are interpreted, several times slower",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        Some(_) => Check::good("BPF compiler", "on"),
        None => Check::good(
            "BPF compiler",
            "unknown: its switch is absent or not for this user to read",
        ),
    }
}

fn lockdown() -> Check {
    let text = read("/sys/kernel/security/lockdown").unwrap_or_default();
    let chosen = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("none", |(chosen, _)| chosen);
    // Confidentiality forbids programs to read kernel memory (security/lockdown); these read packets.
    Check::good("lockdown", format!("{chosen}; packet programs are allowed"))
}

fn paranoid() -> Check {
    let level =
        read("/proc/sys/kernel/perf_event_paranoid").unwrap_or_else(|| "unknown".to_owned());
    Check::good(
        "perf_event_paranoid",
        format!("{level}; matters for `bench` only, which counts instructions"),
    )
}

/// Effective capabilities of this process (capabilities(7), `CapEff`).
fn permission() -> Check {
    const NEEDED: [(&str, u32); 3] = [("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];
    let status = read("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let Some(effective) = effective else {
        return Check::limited(
            "permission",
            "capabilities cannot be read on this system",
            "mount /proc",
        );
    };
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(_, bit)| effective >> bit & 1 == 0)
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Check::good("permission", "may load and attach kernel programs");
    }
    let all = missing.join(", ");
    let lower = missing.join(",").to_ascii_lowercase();
    Check::limited(
        "permission",
        format!("live capture needs {all}"),
        format!(
            "run as root, or: setcap {lower}+ep on the program, or AmbientCapabilities={all} in its unit"
        ),
    )
}

fn clock() -> Check {
    let source = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    match source.as_deref() {
        // Read by a call to a device: a microsecond for each packet.
        Some(slow @ ("hpet" | "acpi_pm" | "jiffies" | "refined-jiffies")) => Check::limited(
            "clock",
            format!("{slow}: slow or coarse, and each packet is stamped with it"),
            "boot with clocksource=tsc, if the processor's is stable (dmesg | grep -i clocksource)",
        ),
        Some(source) => Check::good("clock", source),
        None => Check::good("clock", "unknown"),
    }
}

/// What this process may use, by machine, control group and, for old kernels, locked memory.
fn memory() -> Check {
    /// What the default capacities take at most, in a flood too (docs/attack.md).
    const NEEDED: u64 = 1 << 30;
    let machine = read("/proc/meminfo")
        .and_then(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("MemTotal:"))?
                .trim()
                .to_owned();
            line.strip_suffix(" kB")?.trim().parse::<u64>().ok()
        })
        .map_or(u64::MAX, |kilobytes| kilobytes << 10);
    let group = read("/proc/self/cgroup")
        .and_then(|text| {
            let path = text
                .lines()
                .find_map(|line| line.strip_prefix("0::"))?
                .to_owned();
            read(&format!("/sys/fs/cgroup{path}/memory.max"))?
                .parse::<u64>()
                .ok()
        })
        .unwrap_or(u64::MAX);
    let room = machine.min(group);
    let gigabytes = room as f64 / f64::from(1 << 30);
    if room <= NEEDED {
        return Check::limited(
            "memory",
            format!(
                "{gigabytes:.1} GiB for this process; the default capacities take up to 1 GiB in a flood"
            ),
            "lower flow.capacity, context.hosts and context.conversations, or raise MemoryMax=",
        );
    }
    // Kernels before 5.11 charge maps to RLIMIT_MEMLOCK, which the sensor raises where it may.
    if version().is_some_and(|(_, version)| version < (5, 11)) {
        return Check::limited(
            "memory",
            format!("{gigabytes:.1} GiB; this kernel counts maps as locked memory"),
            "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
        );
    }
    Check::good("memory", format!("{gigabytes:.1} GiB for this process"))
}
