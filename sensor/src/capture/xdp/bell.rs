//! What the capture sleeps on: the end of the epoch, a stop, or the kernel program saying that a flow table fills.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use sensor_ebpf::maps;

use super::XdpError;
use crate::capture::Stop;

/// Why the sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// The capture was asked to stop.
    Asked,
    /// A flow table fills.
    Rung,
    /// The time is over.
    Elapsed,
}

/// The program's bell, and a descriptor that a stop makes readable.
pub(super) struct Bell {
    rings: RingBuf<MapData>,
    asked: Arc<File>,
    stop: Stop,
}

impl Bell {
    /// Takes the bell out of the loaded object, and has `stop` wake it.
    pub(super) fn new(object: &mut Ebpf, stop: Stop) -> Result<Self, XdpError> {
        let rings = object
            .take_map(maps::BELL)
            .and_then(|map| RingBuf::try_from(map).ok())
            .ok_or(XdpError::Object {
                what: "the bell is missing",
            })?;
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(XdpError::System {
                what: "create an event descriptor",
                source: io::Error::last_os_error(),
            });
        }
        // SAFETY: a descriptor the kernel has just made for us.
        let asked = Arc::new(File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
        let wake = Arc::clone(&asked);
        stop.on_stop(move || {
            // Cannot fail before 2^64 stops.
            let _ = (&*wake).write_all(&1u64.to_ne_bytes());
        });
        Ok(Self { rings, asked, stop })
    }

    /// Sleeps for `time`, or until asked to stop, or rung.
    pub(super) fn wait(&mut self, time: Duration) -> io::Result<Woken> {
        let until = Instant::now() + time;
        loop {
            if self.stop.is_asked() {
                return Ok(Woken::Asked);
            }
            let mut rung = false;
            while self.rings.next().is_some() {
                rung = true;
            }
            if rung {
                return Ok(Woken::Rung);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Woken::Elapsed);
            }
            self.poll(left)?;
        }
    }

    /// Until one of the two descriptors is readable, or for `time`.
    fn poll(&self, time: Duration) -> io::Result<()> {
        let wanted = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut descriptors = [
            wanted(self.rings.as_fd().as_raw_fd()),
            wanted(self.asked.as_raw_fd()),
        ];
        let time = libc::timespec {
            tv_sec: time.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(time.subsec_nanos()),
        };
        // SAFETY: two descriptors and a time, all alive during the call; no signal mask.
        let result = unsafe {
            libc::ppoll(
                descriptors.as_mut_ptr(),
                descriptors.len() as libc::nfds_t,
                &raw const time,
                std::ptr::null(),
            )
        };
        if result < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        // So that a second sleep after a stop does not spin; whether to stop is asked of `Stop`.
        let _ = (&*self.asked).read(&mut [0; 8]);
        Ok(())
    }
}
