//! Where the program of a tap hands frames over: AF_XDP sockets by interface and receive queue.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use aya::{
    Ebpf,
    maps::{HashMap, MapData, XskMap},
};
use sensor_ebpf::maps;

use super::XdpError;

/// The two maps, and the slots in use.
pub(super) struct Taps {
    first_slots: HashMap<MapData, u32, u32>,
    sockets: XskMap<MapData>,
    used: u32,
}

impl Taps {
    pub(super) fn new(object: &mut Ebpf) -> Result<Self, XdpError> {
        let taps = object.take_map(maps::TAPS);
        let sockets = object.take_map(maps::XSKS);
        match (
            taps.and_then(|map| HashMap::try_from(map).ok()),
            sockets.and_then(|map| XskMap::try_from(map).ok()),
        ) {
            (Some(first_slots), Some(sockets)) => Ok(Self {
                first_slots,
                sockets,
                used: 0,
            }),
            _ => Err(XdpError::Object {
                what: "the maps of taps are missing",
            }),
        }
    }

    /// Has frames of an interface handed over to these sockets, one for each receive queue from the first on.
    pub(super) fn hand_over(
        &mut self,
        interface: u32,
        sockets: &[BorrowedFd<'_>],
    ) -> Result<(), XdpError> {
        let failed = |error| XdpError::Map {
            what: "give a socket to the program of a tap",
            error,
        };
        let first = self.used;
        for socket in sockets {
            self.sockets
                .set(self.used, socket.as_raw_fd(), 0)
                .map_err(failed)?;
            self.used += 1;
        }
        // Last, so that no frame looks for a socket that is not there yet.
        self.first_slots.insert(interface, first, 0).map_err(failed)
    }
}
