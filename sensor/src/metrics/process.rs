//! What the system knows of this process, under the names that every Prometheus client uses.

use std::fs;

use super::{Id, Metrics};

/// Brings the process metrics up to date; where the system has no `/proc` they stay away.
pub(super) fn update(metrics: &Metrics) {
    // proc_pid_stat(5): the second field is the name in parentheses, which may hold anything.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| {
            rest.split(' ')
                .map(|field| field.trim().parse().unwrap_or(0))
                .collect()
        })
        .unwrap_or_default();
    // Fields 14 and 15, user and system time; field 24, resident pages. The first after the name is field 3.
    if let (Some(user), Some(system), Some(pages)) =
        (fields.get(11), fields.get(12), fields.get(21))
    {
        let (ticks, page) = units();
        metrics.total(
            Id::ProcessCpuSecondsTotal,
            &[],
            (user + system) as f64 / ticks,
        );
        metrics.set(Id::ProcessResidentMemoryBytes, &[], *pages as f64 * page);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        metrics.set(Id::ProcessOpenFds, &[], open.count() as f64);
    }
}

/// Clock ticks in a second, and bytes in a page.
#[cfg(target_os = "linux")]
fn units() -> (f64, f64) {
    let ask = |name| {
        // SAFETY: takes a number and touches no memory of ours.
        unsafe { libc::sysconf(name) }
    };
    (
        ask(libc::_SC_CLK_TCK).max(1) as f64,
        ask(libc::_SC_PAGESIZE).max(1) as f64,
    )
}

#[cfg(not(target_os = "linux"))]
const fn units() -> (f64, f64) {
    (100.0, 4096.0)
}
