//! The interfaces whose arriving packets are counted, for the program that sees packets leave: one that was forwarded was
//! counted before.

use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use sensor_ebpf::maps;

use super::{Attached, Mode, XdpError};

/// The map of them.
pub(super) struct Watched(HashMap<MapData, u32, u32>);

impl Watched {
    pub(super) fn new(object: &mut Ebpf) -> Result<Self, XdpError> {
        object
            .take_map(maps::WATCHED_INTERFACES)
            .and_then(|map| HashMap::try_from(map).ok())
            .map(Self)
            .ok_or(XdpError::Object {
                what: "the map of watched interfaces is missing",
            })
    }

    /// Notes that packets arriving at an interface are counted from now on.
    pub(super) fn add(&mut self, attached: &Attached) -> Result<(), XdpError> {
        let seen_by = match attached.ingress {
            Mode::TcxIngress { .. } => maps::SEEN_BY_TC,
            _ => maps::SEEN_BY_XDP,
        };
        self.0
            .insert(attached.index, seen_by, 0)
            .map_err(|error| XdpError::Map {
                what: "note a watched interface",
                error,
            })
    }
}
