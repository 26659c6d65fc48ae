//! A build without libpcap: the same functions, none of which can begin.

use super::{LibpcapError, Report, Settings};
use sensor_ebpf::flow::FlowKey;

use crate::capture::{Capture, CaptureError, CopyCounts, Epoch, Progress, Record, Stop};

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

    /// Has the next packets of a flow copied; `false` if that cannot be.
    pub fn watch(&mut self, _key: &FlowKey, _packets: u32) -> bool {
        match self.0 {}
    }

    /// Has no more packets of a flow copied.
    pub fn unwatch(&mut self, _key: &FlowKey) {
        match self.0 {}
    }

    /// Hands on the packets copied since the last call; how many there were since the start.
    pub fn copies(&mut self, _each: &mut dyn FnMut(&Record<'_>)) -> CopyCounts {
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
