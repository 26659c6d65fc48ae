//! The sensor's timeline: CLOCK_MONOTONIC plus an offset that is measured once, when the programs are loaded.
//!
//! The kernel program stamps packets with the monotonic clock. Adding one constant makes that Unix time without a
//! second clock that could jump: should the wall clock be stepped later, packet times go on evenly, and
//! [`drift`] tells how far the two are apart.

use sensor_ebpf::flow::TimeNs;

/// Nanoseconds of a system clock.
#[expect(
    clippy::expect_used,
    reason = "both clocks exist on every Linux and the pointer is valid"
)]
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is writable for a timespec.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (result == 0)
        .then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
        .expect("clock_gettime with a clock every kernel has")
}

/// What to add to CLOCK_MONOTONIC to get Unix time: of several readings the one in which least time passed between
/// the clocks.
pub(super) fn offset() -> u64 {
    (0..16)
        .map(|_| {
            let before = read(libc::CLOCK_MONOTONIC);
            let wall = read(libc::CLOCK_REALTIME);
            let after = read(libc::CLOCK_MONOTONIC);
            (
                after - before,
                wall.wrapping_sub(before + (after - before) / 2),
            )
        })
        .min()
        .map_or(0, |(_, offset)| offset)
}

/// Now, on the sensor's timeline.
pub(in crate::capture) fn now(offset: u64) -> TimeNs {
    read(libc::CLOCK_MONOTONIC).wrapping_add(offset)
}

/// How far the wall clock is ahead of the sensor's timeline, in nanoseconds.
pub(super) fn drift(offset: u64) -> i64 {
    self::offset().wrapping_sub(offset) as i64
}
