//! A build without libpcap: the same functions, none of which can begin.

use super::{LibpcapError, Report, Settings};
use crate::capture::{Capture, CaptureError, Epoch, Progress, Stop};

/// A live capture. There is none in this build.
#[derive(Debug)]
pub struct Libpcap(std::convert::Infallible);

impl Libpcap {
    /// Opens the interfaces.
    ///
    /// # Errors
    /// Always: this build has no libpcap.
    pub fn open(_settings: &Settings) -> Result<Self, LibpcapError> {
        Err(LibpcapError::Absent)
    }

    /// What has been captured so far.
    pub fn report(&self) -> Report {
        match self.0 {}
    }

    /// A handle that ends the capture.
    pub fn stop_handle(&self) -> Stop {
        match self.0 {}
    }
}

impl Capture for Libpcap {
    fn next_epoch(&mut self, _epoch: &mut Epoch) -> Result<Progress, CaptureError> {
        match self.0 {}
    }
}
