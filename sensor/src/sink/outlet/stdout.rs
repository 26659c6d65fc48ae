//! Lines to standard output.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use super::{Deliver, DeliveryError};

/// How long a reader of the pipe may be busy before that counts as a failure.
const PATIENCE: Duration = Duration::from_secs(5);

/// Standard output, for pipes. A reader that is slow costs time here and nowhere else; one that is gone is an error.
#[derive(Debug, Default)]
pub struct ToStdout {
    /// Bytes of the next parcel that were written before the reader became busy.
    begun: usize,
}

impl ToStdout {
    fn write(&mut self, parcel: &[u8]) -> io::Result<()> {
        while self.begun < parcel.len() {
            // POSIX: what poll promises room for is PIPE_BUF bytes, 4096 on Linux; so much is written without waiting.
            let end = parcel.len().min(self.begun + 4096);
            if !has_room(PATIENCE) {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the reader of standard output does not read",
                ));
            }
            let written = io::stdout().lock().write(&parcel[self.begun..end])?;
            self.begun += written;
        }
        self.begun = 0;
        Ok(())
    }
}

impl Deliver for ToStdout {
    fn deliver(&mut self, parcels: &[Vec<u8>]) -> (usize, Result<(), DeliveryError>) {
        for (count, parcel) in parcels.iter().enumerate() {
            if let Err(error) = self.write(parcel) {
                return (count, Err(DeliveryError::later(error)));
            }
        }
        let flushed = io::stdout().lock().flush();
        (parcels.len(), flushed.map_err(DeliveryError::later))
    }
}

#[cfg(target_os = "linux")]
fn has_room(patience: Duration) -> bool {
    let mut asked = libc::pollfd {
        fd: libc::STDOUT_FILENO,
        events: libc::POLLOUT,
        revents: 0,
    };
    let wait = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer is to one pollfd that lives across the call, and the count says one.
    let ready = unsafe { libc::poll(&raw mut asked, 1, wait) };
    // An error is for the write to tell.
    ready != 0
}

#[cfg(not(target_os = "linux"))]
const fn has_room(_patience: Duration) -> bool {
    true
}
