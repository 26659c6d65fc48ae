//! Copies of packets for evidence, where the sensor sees every packet itself: what the kernel program does with its watch list
//! and its ring, in user space. Bounded; what finds no room is counted.

use std::collections::{HashMap, VecDeque};

use sensor_ebpf::flow::{EPOCH_SHIFT, FlowKey, TimeNs};

use super::{Record, link::LinkType};

/// Which packets are copied, and how much of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopySettings {
    /// Bytes of a packet at most.
    pub bytes: u32,
    /// Packets of each flow and epoch, watched or not; 0 copies those of watched flows only.
    pub first_packets: u32,
    /// Bytes that copies can wait in until they are taken away.
    pub waiting_bytes: u32,
}

/// How many packets were copied since the start, and how many were not for want of room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyCounts {
    /// Copied.
    pub copied: u64,
    /// Lost: nobody had taken the earlier ones away.
    pub lost: u64,
}

impl CopyCounts {
    /// Adds another source.
    pub fn add(&mut self, other: &Self) {
        self.copied += other.copied;
        self.lost += other.lost;
    }
}

/// Flows that are watched at once, and flows of one epoch whose packets are counted.
const FLOWS_MAX: usize = 1 << 16;

/// A packet that waits.
#[derive(Debug)]
struct Copy {
    time: TimeNs,
    link: LinkType,
    wire_length: u32,
    frame: Box<[u8]>,
}

/// Copies that were taken away.
#[derive(Debug)]
pub(super) struct Waiting(VecDeque<Copy>);

impl Waiting {
    /// Hands them on, in the order in which they were made.
    pub(super) fn each(self, each: &mut dyn FnMut(&Record<'_>)) {
        for copy in self.0 {
            each(&Record {
                time: copy.time,
                link: copy.link,
                wire_length: copy.wire_length,
                frame: &copy.frame,
            });
        }
    }
}

/// The watch list, and the copies that wait.
#[derive(Debug)]
pub struct Copies {
    settings: CopySettings,
    watched: HashMap<FlowKey, u32>,
    /// Packets of the flows of this epoch.
    seen: HashMap<FlowKey, u32>,
    epoch: u64,
    waiting: VecDeque<Copy>,
    bytes: usize,
    counts: CopyCounts,
}

impl Copies {
    /// Nothing watched yet.
    pub fn new(settings: CopySettings) -> Self {
        Self {
            settings,
            watched: HashMap::new(),
            seen: HashMap::new(),
            epoch: 0,
            waiting: VecDeque::new(),
            bytes: 0,
            counts: CopyCounts::default(),
        }
    }

    /// Has the next packets of a flow copied; `false` if the list is full.
    pub fn watch(&mut self, key: &FlowKey, packets: u32) -> bool {
        let has_room = self.watched.len() < FLOWS_MAX || self.watched.contains_key(key);
        if has_room {
            self.watched.insert(*key, packets);
        }
        has_room
    }

    /// Takes a flow off the list.
    pub fn unwatch(&mut self, key: &FlowKey) {
        self.watched.remove(key);
    }

    /// Whether no packet can be wanted now, so that there is no need to offer any.
    pub fn is_idle(&self) -> bool {
        self.settings.first_packets == 0 && self.watched.is_empty()
    }

    /// Looks at a packet and copies it if it is wanted.
    pub fn offer(&mut self, key: &FlowKey, record: &Record<'_>) {
        if !self.is_first(key, record.time) && !self.is_watched(key) {
            return;
        }
        let length = record.frame.len().min(self.settings.bytes as usize);
        if self.bytes + length > self.settings.waiting_bytes as usize {
            self.counts.lost += 1;
            return;
        }
        self.bytes += length;
        self.counts.copied += 1;
        self.waiting.push_back(Copy {
            time: record.time,
            link: record.link,
            wire_length: record.wire_length,
            frame: record.frame[..length].into(),
        });
    }

    /// Hands on what waits.
    pub fn take(&mut self, each: &mut dyn FnMut(&Record<'_>)) {
        self.take_out().each(each);
    }

    /// Takes away what waits, to be looked at when nobody waits for this any more.
    pub(super) fn take_out(&mut self) -> Waiting {
        self.bytes = 0;
        Waiting(std::mem::take(&mut self.waiting))
    }

    /// How many so far.
    pub const fn counts(&self) -> CopyCounts {
        self.counts
    }

    fn is_first(&mut self, key: &FlowKey, time: TimeNs) -> bool {
        if self.settings.first_packets == 0 {
            return false;
        }
        let epoch = time >> EPOCH_SHIFT;
        if epoch != self.epoch {
            self.epoch = epoch;
            self.seen.clear();
        }
        if self.seen.len() >= FLOWS_MAX && !self.seen.contains_key(key) {
            return false;
        }
        let packets = self.seen.entry(*key).or_default();
        *packets += 1;
        *packets <= self.settings.first_packets
    }

    fn is_watched(&mut self, key: &FlowKey) -> bool {
        match self.watched.get_mut(key) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::flow::EPOCH_SHIFT;

    use super::*;

    fn key(last: u8) -> FlowKey {
        FlowKey {
            addresses: [[last; 16], [255; 16]],
            ports: [1, 2],
            protocol: 6,
            form: 0,
            series: 0,
        }
    }

    fn offer(copies: &mut Copies, of: u8, time: TimeNs) -> u64 {
        let before = copies.counts().copied;
        let record = Record {
            time,
            link: LinkType::ETHERNET,
            wire_length: 90,
            frame: &[of; 90],
        };
        copies.offer(&key(of), &record);
        copies.counts().copied - before
    }

    #[test]
    fn the_first_of_each_epoch_and_the_next_of_watched_flows_are_copied_and_the_rest_is_not() {
        let mut copies = Copies::new(CopySettings {
            bytes: 64,
            first_packets: 1,
            waiting_bytes: 64 * 4,
        });
        assert_eq!([0, 1, 2].map(|time| offer(&mut copies, 1, time)), [1, 0, 0]);
        assert_eq!(offer(&mut copies, 1, 1 << EPOCH_SHIFT), 1);
        assert!(copies.watch(&key(1), 2));
        assert_eq!(
            [1, 2, 3].map(|time| offer(&mut copies, 1, time + (1 << EPOCH_SHIFT))),
            [1, 1, 0]
        );
        // No room, and that is counted; taken away, there is room again.
        assert_eq!(offer(&mut copies, 2, 9 + (1 << EPOCH_SHIFT)), 0);
        assert_eq!(copies.counts(), CopyCounts { copied: 4, lost: 1 });
        let mut taken = Vec::new();
        copies.take(&mut |record| taken.push((record.frame.len(), record.wire_length)));
        assert_eq!(taken, [(64, 90); 4]);
        assert_eq!(offer(&mut copies, 3, 9 + (1 << EPOCH_SHIFT)), 1);
        assert!(copies.watch(&key(4), 5));
        copies.unwatch(&key(4));
        assert!(!copies.is_idle(), "the first of each epoch are wanted");
        let mut watching = Copies::new(CopySettings {
            bytes: 64,
            first_packets: 0,
            waiting_bytes: 64,
        });
        assert!(watching.is_idle());
        assert!(watching.watch(&key(1), 1) && !watching.is_idle());
        watching.unwatch(&key(1));
        assert!(watching.is_idle());
        assert_eq!(
            [0, 1].map(|_| offer(&mut copies, 4, 9 + (1 << EPOCH_SHIFT))),
            [1, 0]
        );
    }
}
