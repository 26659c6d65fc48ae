//! The capture itself. Epochs follow packet time; the clock decides only when an epoch that no further packet ends
//! is over.

use std::time::Duration;

use pcap::{Active, Device, Error, Packet};
use sensor_ebpf::flow::{EPOCH_SHIFT, FlowKey, TimeNs, epoch_of};

use super::{LibpcapError, Report, Settings};
use crate::{
    capture::{
        Accountant, Capture, CaptureError, Copies, CopyCounts, Epoch, Found, Progress, Record,
        Stop, link::LinkType,
    },
    time,
};

/// How long the kernel may keep packets back to hand over many at once.
const KERNEL_BATCH: Duration = Duration::from_millis(10);
/// Pause when no interface has anything.
const IDLE_PAUSE: Duration = Duration::from_millis(5);
/// How long after its end an epoch waits for packets that are still on their way through the kernel.
const GRACE_NS: TimeNs = 50_000_000;
/// Packets read from one interface before the others have their turn.
const TURN_PACKETS: usize = 4096;

/// One interface.
struct Source {
    interface: String,
    handle: pcap::Capture<Active>,
    link: LinkType,
    /// A packet that belongs to a later epoch than the open one.
    held: Option<(Found, TimeNs)>,
    /// Counters of libpcap as last read: they are 32 bits wide and wrap.
    dropped: (u32, u32),
}

/// A live capture on one or several interfaces.
pub struct Libpcap {
    sources: Vec<Source>,
    accountant: Accountant,
    /// The epoch that is being counted.
    open: u64,
    report: Report,
    stop: Stop,
    /// The last epoch to hand over, once a stop has been noticed.
    last: Option<u64>,
    copies: Option<Copies>,
}

impl Libpcap {
    /// Opens the interfaces.
    ///
    /// # Errors
    /// An interface that does not exist, a missing permission, whatever else libpcap says.
    pub fn open(settings: &Settings) -> Result<Self, LibpcapError> {
        if settings.interfaces.is_empty() {
            return Err(LibpcapError::NoInterfaces);
        }
        let sources = settings
            .interfaces
            .iter()
            .map(|interface| Source::open(interface, settings))
            .collect::<Result<Vec<_>, _>>()?;
        let mut accountant = Accountant::new(settings.flows_per_epoch)
            .inside_tunnels(settings.inside_tunnels)
            .following_fragments(settings.follow_fragments);
        let open = epoch_of(time::now());
        accountant.open(open);
        Ok(Self {
            sources,
            accountant,
            open,
            report: Report::default(),
            stop: Stop::default(),
            last: None,
            copies: settings.copies.map(Copies::new),
        })
    }

    /// What has been captured so far.
    pub fn report(&self) -> Report {
        Report {
            late_packets: self.accountant.late_packets(),
            ..self.report
        }
    }

    /// Has the next packets of a flow copied; `false` if that cannot be.
    pub fn watch(&mut self, key: &FlowKey, packets: u32) -> bool {
        (self.copies.as_mut()).is_some_and(|copies| copies.watch(key, packets))
    }

    /// Has no more packets of a flow copied.
    pub fn unwatch(&mut self, key: &FlowKey) {
        if let Some(copies) = &mut self.copies {
            copies.unwatch(key);
        }
    }

    /// Hands on the packets copied since the last call; how many there were since the start.
    pub fn copies(&mut self, each: &mut dyn FnMut(&Record<'_>)) -> CopyCounts {
        let Some(copies) = &mut self.copies else {
            return CopyCounts::default();
        };
        copies.take(each);
        copies.counts()
    }

    /// A handle that ends the capture.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Reads all interfaces in turn until the open epoch is complete, and returns the epoch that comes next.
    fn fill(&mut self) -> Result<u64, LibpcapError> {
        let end = (self.open + 1) << EPOCH_SHIFT;
        loop {
            let mut turn = Turn::default();
            for source in &mut self.sources {
                source.read(
                    &mut self.accountant,
                    self.copies.as_mut(),
                    self.open,
                    &mut turn,
                )?;
            }
            self.report.packets += turn.packets;
            let now = time::now();
            if self.last.is_none() && self.stop.is_asked() {
                self.last = Some(epoch_of(now).max(self.open));
            }
            let is_past = self.sources.iter().all(|source| source.held.is_some());
            let is_over = now >= end + GRACE_NS || self.last.is_some();
            if is_past || (is_over && turn.in_time == 0) {
                let held = self
                    .sources
                    .iter()
                    .filter_map(|source| source.held.map(|(_, time)| epoch_of(time)));
                // After a pause (the machine slept, the clock was set) the epochs in between are stepped over.
                let next = held.min().unwrap_or(u64::MAX);
                return Ok(next
                    .min(epoch_of(now.saturating_sub(GRACE_NS)))
                    .max(self.open + 1));
            }
            if turn.packets == 0 {
                self.stop.wait(IDLE_PAUSE);
            }
        }
    }
}

impl Capture for Libpcap {
    fn next_epoch(&mut self, epoch: &mut Epoch) -> Result<Progress, CaptureError> {
        if self.last.is_some_and(|last| self.open > last) {
            return Ok(Progress::End);
        }
        let next = self.fill()?;
        self.accountant.finish(epoch);
        self.open = next;
        self.accountant.open(next);
        for source in &mut self.sources {
            source.read_losses(&mut self.report);
        }
        Ok(Progress::Epoch)
    }
}

/// What one round over the interfaces brought.
#[derive(Default)]
struct Turn {
    packets: u64,
    /// Packets of the open epoch. While there are such, it is not complete, however late it is.
    in_time: u64,
}

impl Source {
    fn open(interface: &str, settings: &Settings) -> Result<Self, LibpcapError> {
        let known = Device::list().map_err(|error| failed(interface, &error))?;
        if known.iter().all(|device| device.name != interface) {
            let names: Vec<&str> = known.iter().map(|device| device.name.as_str()).collect();
            return Err(LibpcapError::NoInterface {
                name: interface.to_owned(),
                known: names.join(", "),
            });
        }
        let clamp = |bytes: u32| i32::try_from(bytes).unwrap_or(i32::MAX);
        let handle = pcap::Capture::from_device(interface)
            .map(|handle| {
                handle
                    .promisc(settings.promiscuous)
                    .snaplen(clamp(settings.snap_bytes))
                    .buffer_size(clamp(settings.buffer_bytes))
                    .timeout(KERNEL_BATCH.as_millis() as i32)
            })
            .and_then(pcap::Capture::open)
            .and_then(pcap::Capture::setnonblock)
            .map_err(|error| failed(interface, &error))?;
        // `DLT_` and `LINKTYPE_` numbers are the same for all that `link` reads, but for raw IP, whose values it
        // knows.
        let link = LinkType(u16::try_from(handle.get_datalink().0).unwrap_or(u16::MAX));
        Ok(Self {
            interface: interface.to_owned(),
            handle,
            link,
            held: None,
            dropped: (0, 0),
        })
    }

    /// Counts packets until there are none, or one of a later epoch than `open`, or the turn is over.
    fn read(
        &mut self,
        accountant: &mut Accountant,
        mut copies: Option<&mut Copies>,
        open: u64,
        turn: &mut Turn,
    ) -> Result<(), LibpcapError> {
        if let Some((found, time)) = self.held {
            if epoch_of(time) > open {
                return Ok(());
            }
            accountant.count_parsed(&found, time);
            turn.in_time += 1;
            self.held = None;
        }
        for _ in 0..TURN_PACKETS {
            let packet = match self.handle.next_packet() {
                Ok(packet) => packet,
                Err(Error::TimeoutExpired | Error::NoMorePackets) => break,
                Err(error) => return Err(failed(&self.interface, &error)),
            };
            turn.packets += 1;
            let time = time_of(&packet);
            let record = Record {
                time,
                link: self.link,
                wire_length: packet.header.len,
                frame: packet.data,
            };
            let found = accountant.parse(&record);
            if let (Some(copies), Some(key)) = (copies.as_deref_mut(), found.key()) {
                copies.offer(key, &record);
            }
            if epoch_of(time) > open {
                self.held = Some((found, time));
                break;
            }
            turn.in_time += u64::from(epoch_of(time) == open);
            accountant.count_parsed(&found, time);
        }
        Ok(())
    }

    /// Adds what was lost since the last call. Not every system knows; then nothing is added.
    fn read_losses(&mut self, report: &mut Report) {
        if let Ok(now) = self.handle.stats() {
            let (dropped, if_dropped) = self.dropped;
            report.dropped_by_kernel += u64::from(now.dropped.wrapping_sub(dropped));
            report.dropped_by_interface += u64::from(now.if_dropped.wrapping_sub(if_dropped));
            self.dropped = (now.dropped, now.if_dropped);
        }
    }
}

/// When the packet arrived. The fields of `timeval` differ in width from system to system.
fn time_of(packet: &Packet<'_>) -> TimeNs {
    let whole = u64::try_from(packet.header.ts.tv_sec).unwrap_or(0);
    let fraction = u64::try_from(packet.header.ts.tv_usec).unwrap_or(0);
    whole * 1_000_000_000 + fraction * 1_000
}

fn failed(interface: &str, error: &Error) -> LibpcapError {
    let interface = interface.to_owned();
    let what = match error {
        Error::PcapError(what) => what.clone(),
        other => other.to_string(),
    };
    // libpcap tells only by words (pcap-linux.c, pcap-bpf.c).
    if what.to_lowercase().contains("permi") {
        LibpcapError::Permission { interface }
    } else {
        LibpcapError::Failed { interface, what }
    }
}
