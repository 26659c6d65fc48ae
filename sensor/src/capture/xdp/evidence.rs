//! Copies of packets that the kernel program makes while they pass: of flows on the watch list, and, where that was asked
//! for, of the first packets of every flow.

use aya::{
    Ebpf,
    maps::{HashMap, MapData, RingBuf},
};
use sensor_ebpf::{
    flow::{FlowKey, TimeNs},
    maps::{self, EvidenceHeader, Hook},
};

use super::XdpError;

/// Which packets are copied, and how much of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceSettings {
    /// Bytes of a packet at most, [`maps::EVIDENCE_BYTES_MAX`] or fewer; more than 0.
    pub bytes: u32,
    /// Packets of each flow and epoch, watched or not; 0 copies those of watched flows only.
    pub first_packets: u32,
    /// Bytes that copies can wait in, rounded up to a power of two of at least a page.
    pub ring_bytes: u32,
}

impl Default for EvidenceSettings {
    fn default() -> Self {
        Self {
            bytes: 256,
            first_packets: 0,
            ring_bytes: maps::EVIDENCE_RING_BYTES as u32,
        }
    }
}

/// The copy of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied<'a> {
    /// The time it was counted with.
    pub time: TimeNs,
    /// Index of the interface.
    pub interface: u32,
    /// Where it was seen.
    pub hook: Hook,
    /// Length of the whole frame.
    pub frame_length: u32,
    /// Its first bytes.
    pub bytes: &'a [u8],
}

/// How many packets were copied, and how many of those that should have been found no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Handed to the ring.
    pub copied: u64,
    /// Lost: the ring was full.
    pub lost: u64,
}

/// The watch list and the ring.
pub(super) struct Evidence {
    watch: HashMap<MapData, FlowKey, i64>,
    ring: RingBuf<MapData>,
}

impl Evidence {
    pub(super) fn new(object: &mut Ebpf) -> Result<Self, XdpError> {
        let missing = XdpError::Object {
            what: "the maps for copies of packets are missing",
        };
        let watch = object.take_map(maps::WATCH);
        let ring = object.take_map(maps::EVIDENCE);
        match (
            watch.and_then(|map| HashMap::try_from(map).ok()),
            ring.and_then(|map| RingBuf::try_from(map).ok()),
        ) {
            (Some(watch), Some(ring)) => Ok(Self { watch, ring }),
            _ => Err(missing),
        }
    }

    /// Has the next packets of a flow copied.
    pub(super) fn watch(&mut self, key: &FlowKey, packets: u32) -> Result<(), XdpError> {
        self.watch
            .insert(key, i64::from(packets), 0)
            .map_err(|error| XdpError::Map {
                what: "put a flow on the watch list",
                error,
            })
    }

    /// Takes a flow off the watch list; that it is not on it is fine.
    pub(super) fn unwatch(&mut self, key: &FlowKey) {
        // It was never put there, or there was no room for it.
        let _ = self.watch.remove(key);
    }

    /// Hands on what has been copied since the last call.
    pub(super) fn take(&mut self, each: &mut dyn FnMut(Copied<'_>)) {
        while let Some(item) = self.ring.next() {
            if let Some(copied) = copied(&item) {
                each(copied);
            }
        }
    }
}

/// What the program wrote; `None` for what it cannot have written.
fn copied(item: &[u8]) -> Option<Copied<'_>> {
    let (header, bytes) = item.split_at_checked(size_of::<EvidenceHeader>())?;
    let word = |at: usize| Some(u32::from_ne_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let time = u64::from_ne_bytes(header.get(..8)?.try_into().ok()?);
    let hook = *Hook::ALL.get(word(12)? as usize)?;
    Some(Copied {
        time,
        interface: word(8)?,
        hook,
        frame_length: word(16)?,
        bytes: bytes.get(..word(20)? as usize)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_read_as_it_was_written_and_a_cut_one_not_at_all() {
        let mut item = 7u64.to_ne_bytes().to_vec();
        for word in [3u32, Hook::Egress as u32, 1500, 4] {
            item.extend(word.to_ne_bytes());
        }
        item.extend([1, 2, 3, 4, 0, 0, 0, 0]);
        let wanted = Copied {
            time: 7,
            interface: 3,
            hook: Hook::Egress,
            frame_length: 1500,
            bytes: &[1, 2, 3, 4],
        };
        assert_eq!(copied(&item), Some(wanted));
        assert_eq!(copied(&item[..27]), None);
        assert_eq!(copied(&item[..20]), None);
    }
}
