//! Time as a thread has it to itself.

use std::time::Duration;

/// What this thread computed so far: how long the machine takes for that is the machine's affair.
#[cfg(target_os = "linux")]
pub(crate) fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to a place of this function.
    let asked = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(asked, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Elsewhere nothing is told of it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn processor_time() -> Duration {
    Duration::ZERO
}
