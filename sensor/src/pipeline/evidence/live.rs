//! Evidence while the packets pass. Flows that score above a watermark are watched, so that their next packets are copied; the
//! copies wait in memory, the oldest leave, and when an alert is told, a bundle is made of those that belong to it.

use std::{
    collections::{HashSet, VecDeque},
    fs::{self, File},
    io::{self, BufWriter},
    path::PathBuf,
};

use sensor_ebpf::{
    flow::{FlowKey, TimeNs},
    frame::Parsed,
};

use super::{Keep, Slice, Wanted, shelf::Shelf, timeouts};
use crate::{
    capture::{CopyCounts, Fragments, Record, link, link::LinkType, pcapng_writer::PcapngWriter},
    flow::key_address,
    metrics::{Id, Metrics},
    pipeline::{LiveCapture, Settings},
    score::{Incident, Scored},
    sink::bundle::{self, Bundle, Kept, Timeouts},
};

/// How evidence is kept while watching.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveSettings {
    /// Where bundles go, a folder each.
    pub folder: PathBuf,
    /// Bounds of one bundle. Of the alerts, this many may be kept at once in an epoch.
    pub keep: Keep,
    /// Bytes of all bundles; the oldest leave.
    pub bytes_in_all: u64,
    /// Flows at least this rare are watched.
    pub watch_p_value: f64,
    /// Packets of a watched flow that are copied.
    pub watch_packets: u32,
    /// Bytes of packets in memory.
    pub memory_bytes: usize,
    /// Digest of the configuration.
    pub config: String,
}

/// Flows watched at once; the kernel's list has as many places.
const WATCHED_MAX: usize = 8192;
/// Bundles that are written once more, when packets came that were still to come.
const OPEN_MAX: usize = 256;
/// Epochs after which that is done: about eight seconds.
const OPEN_EPOCHS: u64 = 16;
/// What a packet in memory takes besides its bytes.
const PACKET_OVERHEAD: usize = 96;

/// A packet in memory.
struct Packet {
    time: TimeNs,
    link: LinkType,
    wire_length: u32,
    key: FlowKey,
    frame: Box<[u8]>,
}

impl Packet {
    const fn bytes(&self) -> usize {
        self.frame.len() + PACKET_OVERHEAD
    }
}

/// Totals, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveCounts {
    /// Bundles written, and those written once more.
    pub written: u64,
    /// Bundles that could not be written.
    pub failed: u64,
    /// Alerts of which no bundle was made, because too many came at once.
    pub skipped: u64,
    /// Packets that left memory before any alert wanted them.
    pub aged_out: u64,
    /// Packets in bundles.
    pub kept: u64,
    /// Packets left out of bundles, because of the bounds.
    pub left_out: u64,
    /// Flows that were not watched, because the list was full.
    pub unwatched: u64,
}

/// Keeps the evidence of a live sensor.
pub struct Recorder {
    settings: LiveSettings,
    timeouts: Timeouts,
    packets: VecDeque<Packet>,
    bytes: usize,
    watched: HashSet<FlowKey>,
    /// Changes of the watch list: put there, or taken off.
    asks: Vec<(FlowKey, bool)>,
    open: VecDeque<(u64, Incident, String)>,
    this_epoch: usize,
    shelf: Shelf,
    is_failing: bool,
    counts: LiveCounts,
    copies: CopyCounts,
    /// First fragments among the copies, where later ones count with them.
    fragments: Option<Fragments>,
}

impl Recorder {
    /// Nothing seen yet; bundles of earlier are counted.
    pub fn new(settings: LiveSettings, stages: &Settings) -> Self {
        Self {
            shelf: Shelf::open(&settings.folder, settings.bytes_in_all),
            timeouts: timeouts(&stages.flow),
            settings,
            packets: VecDeque::new(),
            bytes: 0,
            watched: HashSet::new(),
            asks: Vec::new(),
            open: VecDeque::new(),
            this_epoch: 0,
            is_failing: false,
            counts: LiveCounts::default(),
            copies: CopyCounts::default(),
            fragments: stages.follow_fragments.then(Fragments::default),
        }
    }

    /// Other bounds from now on; bundles stay where they are.
    pub fn adjust(&mut self, settings: LiveSettings) {
        self.shelf.bound(settings.bytes_in_all);
        self.settings = LiveSettings {
            folder: std::mem::take(&mut self.settings.folder),
            ..settings
        };
    }

    /// Totals so far.
    pub const fn counts(&self) -> LiveCounts {
        self.counts
    }

    /// Takes away the copies that a source has made.
    pub fn collect(&mut self, source: &mut dyn LiveCapture) {
        self.this_epoch = 0;
        self.copies = source.copies(&mut |record| {
            let Parsed::Flow(packet) = link::parse(record.link, record.frame) else {
                return;
            };
            let fragments = self.fragments.as_mut();
            let home = fragments.and_then(|fragments| fragments.follow(record, &packet));
            let packet = Packet {
                time: record.time,
                link: record.link,
                wire_length: record.wire_length,
                key: home.map_or(packet.key, |home| home.key),
                frame: record.frame.into(),
            };
            self.bytes += packet.bytes();
            self.packets.push_back(packet);
            while self.bytes > self.settings.memory_bytes {
                let Some(oldest) = self.packets.pop_front() else {
                    break;
                };
                self.bytes -= oldest.bytes();
                self.counts.aged_out += 1;
            }
        });
    }

    /// Sees a verdict, and decides whether the flow is to be watched.
    pub fn look(&mut self, found: &Scored) {
        let key = &found.record.key;
        if found.record.is_final() {
            if self.watched.remove(key) {
                self.asks.push((*key, false));
            }
        } else if found.p_value <= self.settings.watch_p_value && !self.watched.contains(key) {
            if self.watched.len() < WATCHED_MAX {
                self.watched.insert(*key);
                self.asks.push((*key, true));
            } else {
                self.counts.unwatched += 1;
            }
        }
    }

    /// Brings the watch list of the source up to date.
    pub fn ask(&mut self, source: &mut dyn LiveCapture) {
        for (key, wanted) in self.asks.drain(..) {
            if !wanted {
                source.unwatch(&key);
            } else if !source.watch(&key, self.settings.watch_packets) {
                self.watched.remove(&key);
                self.counts.unwatched += 1;
            }
        }
    }

    /// Makes the bundle of an alert that is told; and again in a while, when what is watched has gone on. What went wrong the
    /// first time is returned, and not again until it works.
    pub fn keep(&mut self, incident: &Incident, model: &str, epoch: u64) -> io::Result<bool> {
        if self.this_epoch >= self.settings.keep.alerts {
            self.counts.skipped += 1;
            return Ok(false);
        }
        self.this_epoch += 1;
        if self.open.len() < OPEN_MAX {
            let due = epoch + OPEN_EPOCHS;
            self.open
                .push_back((due, incident.clone(), model.to_owned()));
        }
        let failed = self.counts.failed;
        match self.put(incident, model) {
            Some(error) => Err(error),
            None => Ok(self.counts.failed == failed),
        }
    }

    /// Writes again the bundles whose time has come, or all of them. As [`Self::keep`].
    pub fn turn(&mut self, epoch: Option<u64>) -> Option<io::Error> {
        let mut trouble = None;
        while let Some((due, _, _)) = self.open.front()
            && epoch.is_none_or(|now| now >= *due)
        {
            let Some((_, incident, model)) = self.open.pop_front() else {
                break;
            };
            let id = incident.id();
            // Told again since: the later one is still to come.
            if self.open.iter().any(|(_, later, _)| later.id() == id) {
                continue;
            }
            trouble = self.put(&incident, &model).or(trouble);
        }
        trouble
    }

    fn put(&mut self, incident: &Incident, model: &str) -> Option<io::Error> {
        match self.write(incident, model) {
            Ok(kept) => {
                self.is_failing = false;
                self.counts.written += 1;
                self.counts.kept += kept.flow + kept.host;
                self.counts.left_out += kept.left_out;
                None
            }
            Err(error) => {
                self.counts.failed += 1;
                let is_news = !std::mem::replace(&mut self.is_failing, true);
                is_news.then_some(error)
            }
        }
    }

    fn write(&mut self, incident: &Incident, model: &str) -> io::Result<Kept> {
        let draft = Bundle::new(
            incident,
            model,
            &self.settings.config,
            self.timeouts,
            Kept::default(),
        );
        // A packet does not tell by which series it was counted.
        let flow = FlowKey {
            series: 0,
            ..incident.worst.evidence.0.key
        };
        let wanted = Wanted {
            flow: Some(flow),
            // What its host did since, too.
            host_time: [incident.first, TimeNs::MAX],
            ..Wanted::of(incident)
        };
        let host = key_address(incident.witness());
        let mut packets: Vec<&Packet> = (self.packets.iter())
            .filter(|packet| packet.key == flow || packet.key.addresses.contains(&host))
            .collect();
        // Of several CPUs, and of several interfaces.
        packets.sort_by_key(|packet| packet.time);
        let scratch = self.shelf.scratch()?;
        let file = BufWriter::new(File::create(scratch.join(bundle::PACKETS))?);
        let mut slice = Slice {
            wanted,
            comment: bundle::flow_comment(incident),
            flow_name: incident.worst.evidence.0.name(),
            out: PcapngWriter::new(file, &bundle::comments(incident, &draft))?,
            room: [self.settings.keep.bytes_per_alert / 2; 2],
            kept: Kept {
                flow_of: incident.worst.evidence.0.counters.packets(),
                ..Kept::default()
            },
        };
        for packet in packets {
            let record = Record {
                time: packet.time,
                link: packet.link,
                wire_length: packet.wire_length,
                frame: &packet.frame,
            };
            slice.offer(std::slice::from_ref(&packet.key), &record)?;
        }
        let (kept, mut bytes) = (slice.kept, slice.out.written());
        slice.out.finish()?;
        let finished = Bundle {
            packets: kept,
            ..draft
        };
        let text = format!("{:#}\n", finished.to_json(incident));
        bytes += text.len() as u64;
        fs::write(scratch.join(bundle::FILE), text)?;
        self.shelf.put(&finished.id, bytes)?;
        Ok(kept)
    }

    /// Says how it goes.
    pub fn report(&self, metrics: &Metrics) {
        let counts = &self.counts;
        for (state, number) in [
            ("written", counts.written),
            ("failed", counts.failed),
            ("skipped", counts.skipped),
            ("removed", self.shelf.removed()),
        ] {
            metrics.total(Id::EvidenceBundlesTotal, &[state], number as f64);
        }
        for (state, number) in [
            ("copied", self.copies.copied),
            ("lost", self.copies.lost),
            ("aged_out", counts.aged_out),
            ("kept", counts.kept),
            ("left_out", counts.left_out),
        ] {
            metrics.total(Id::EvidencePacketsTotal, &[state], number as f64);
        }
        metrics.total(Id::EvidenceUnwatchedTotal, &[], counts.unwatched as f64);
        metrics.set(Id::EvidenceWatchedFlows, &[], self.watched.len() as f64);
        metrics.set(Id::EvidenceBytes, &["disk"], self.shelf.bytes() as f64);
        metrics.set(Id::EvidenceBytes, &["memory"], self.bytes as f64);
    }
}
