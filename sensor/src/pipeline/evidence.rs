//! Evidence of alerts: bundles of packets, flow, features and verdict, cut out of captures; and the way back, from a bundle to
//! the verdict, bit by bit.
//!
//! ```text
//! anomaly-out/evidence/<alert>/bundle.json      what was scored, by which model, and why
//!                              packets.pcapng   the packets of that flow, and of its host in the time of the incident
//! ```

mod live;
mod replay;
mod shelf;

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use sensor_ebpf::{
    flow::{FlowKey, TimeNs},
    frame::Parsed,
};

use super::Settings;
use crate::{
    capture::{
        Fragments, Record, Stop,
        frames::{self, FramesError},
        link,
        pcapng_writer::PcapngWriter,
        replay as reading,
    },
    flow,
    score::Incident,
    sink::bundle::{self, Bundle, Kept, Timeouts},
};

pub use self::{
    live::{LiveCounts, LiveSettings, Recorder},
    replay::{ReplayError, Replayed, read, replay},
};

/// Bounds of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Alerts, the gravest first.
    pub alerts: usize,
    /// Bytes of packets for one; half of them are for the flow that was scored highest.
    pub bytes_per_alert: u64,
}

/// What of a bundle's folder was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bundles.
    pub alerts: usize,
    /// Packets in them.
    pub packets: u64,
    /// Packets that were left out, because of the bounds.
    pub left_out: u64,
}

/// Which packets belong to one alert.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The flow, if it is about one.
    pub flow: Option<FlowKey>,
    /// Between these times, both included.
    pub flow_time: [TimeNs; 2],
    /// The host, if its other packets are wanted too.
    pub host: Option<IpAddr>,
    /// Between these times.
    pub host_time: [TimeNs; 2],
}

impl Wanted {
    /// The packets of an incident: of its worst flow as far as it was scored, and of its host.
    pub fn of(incident: &Incident) -> Self {
        let (record, _) = &*incident.worst.evidence;
        Self {
            flow: Some(record.key),
            flow_time: [record.start(), record.last()],
            host: Some(incident.witness()),
            host_time: [incident.first, incident.last],
        }
    }
}

/// A file of packets that is being cut out, and how much of what is in it.
struct Slice {
    wanted: Wanted,
    /// Said at the flow's first packet.
    comment: String,
    /// At its other packets.
    flow_name: String,
    out: PcapngWriter<BufWriter<File>>,
    room: [u64; 2],
    kept: Kept,
}

/// Flows that a frame is of: inside of tunnels, and, where that is another, on the wire; there, of a later fragment, that of its first if
/// `fragments` are followed.
fn keys(record: &Record<'_>, fragments: Option<&mut Fragments>) -> Vec<FlowKey> {
    let (inside, entered) = link::parse_inside(record.link, record.frame);
    let on_the_wire = match entered {
        0 => inside,
        _ => link::parse(record.link, record.frame),
    };
    let mut keys = Vec::with_capacity(2);
    if let (1.., Parsed::Flow(packet)) = (entered, inside) {
        keys.push(packet.key);
    }
    if let Parsed::Flow(packet) = on_the_wire {
        let home = fragments.and_then(|fragments| fragments.follow(record, &packet));
        keys.push(home.map_or(packet.key, |home| home.key));
    }
    keys
}

impl Slice {
    /// Takes a packet of these flows, one of which is the wanted flow or of the wanted host, if its time and the bounds allow.
    fn offer(&mut self, keys: &[FlowKey], record: &Record<'_>) -> io::Result<()> {
        let within = |[first, last]: [TimeNs; 2]| (first..=last).contains(&record.time);
        let is_flow = self.wanted.flow.is_some_and(|flow| keys.contains(&flow));
        let of_flow = is_flow && within(self.wanted.flow_time);
        if !of_flow && !within(self.wanted.host_time) {
            return Ok(());
        }
        let bytes = PcapngWriter::<File>::packet_bytes(record.frame);
        let room = &mut self.room[usize::from(!of_flow)];
        let Some(left) = room.checked_sub(bytes) else {
            self.kept.left_out += 1;
            return Ok(());
        };
        *room = left;
        let comment = match (of_flow, self.kept.flow) {
            (true, 0) => Some(&*self.comment),
            (true, _) => Some(&*self.flow_name),
            (false, _) => None,
        };
        let Record {
            time,
            link,
            wire_length,
            frame,
        } = *record;
        self.out.packet(time, link, wire_length, frame, comment)?;
        if of_flow {
            self.kept.flow += 1;
        } else {
            self.kept.host += 1;
        }
        Ok(())
    }
}

/// Cuts the packets of the gravest incidents out of the first `packets` of captures and writes their bundles into `folder`, a
/// folder each.
///
/// # Errors
/// What the captures say; a file that cannot be written.
pub fn keep(
    (inputs, packets): (&[PathBuf], u64),
    incidents: &[&Incident],
    (model, config): (&str, &str),
    settings: &Settings,
    keep: Keep,
    folder: &Path,
) -> Result<Written, FramesError> {
    let incidents = &incidents[..incidents.len().min(keep.alerts)];
    let timeouts = timeouts(&settings.flow);
    let mut slices = Vec::with_capacity(incidents.len());
    for incident in incidents {
        let path = folder.join(incident.id());
        fs::create_dir_all(&path)?;
        let bundle = Bundle::new(incident, model, config, timeouts, Kept::default());
        let file = BufWriter::new(File::create(path.join(bundle::PACKETS))?);
        let kept = Kept {
            flow_of: incident.worst.evidence.0.counters.packets(),
            ..Kept::default()
        };
        slices.push(Slice {
            wanted: Wanted::of(incident),
            comment: bundle::flow_comment(incident),
            flow_name: incident.worst.evidence.0.name(),
            out: PcapngWriter::new(file, &bundle::comments(incident, &bundle))?,
            room: [keep.bytes_per_alert / 2; 2],
            kept,
        });
    }
    let fragments = settings.follow_fragments.then(Fragments::default);
    cut((inputs, packets), fragments, &mut slices)?;
    let mut written = Written::default();
    for (incident, slice) in incidents.iter().zip(slices) {
        let kept = slice.kept;
        slice.out.finish()?;
        let bundle = Bundle::new(incident, model, config, timeouts, kept);
        let text = format!("{:#}\n", bundle.to_json(incident));
        // Last: a folder without it is one that was not finished.
        fs::write(folder.join(&bundle.id).join(bundle::FILE), text)?;
        written.alerts += 1;
        written.packets += kept.flow + kept.host;
        written.left_out += kept.left_out;
    }
    Ok(written)
}

fn timeouts(settings: &flow::Settings) -> Timeouts {
    let nanoseconds = |time: Option<Duration>| {
        time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    };
    Timeouts {
        idle: nanoseconds(settings.idle_timeout),
        active: nanoseconds(settings.active_timeout),
        linger: nanoseconds(settings.close_linger),
    }
}

/// Goes through the first `packets` of captures once and offers each packet to the slices that may want it.
fn cut(
    (inputs, packets): (&[PathBuf], u64),
    mut fragments: Option<Fragments>,
    slices: &mut [Slice],
) -> Result<(), FramesError> {
    let mut by_flow: HashMap<FlowKey, Vec<usize>> = HashMap::new();
    let mut by_host: HashMap<[u8; 16], Vec<usize>> = HashMap::new();
    for (at, slice) in slices.iter().enumerate() {
        if let Some(flow) = slice.wanted.flow {
            by_flow.entry(flow).or_default().push(at);
        }
        if let Some(host) = slice.wanted.host {
            by_host.entry(flow::key_address(host)).or_default().push(at);
        }
    }
    let mut wanting = Vec::new();
    frames::first(inputs, packets, &mut |record| {
        let keys = keys(record, fragments.as_mut());
        let of_hosts =
            (keys.iter().flat_map(|key| &key.addresses)).filter_map(|address| by_host.get(address));
        let of_flows = keys.iter().filter_map(|key| by_flow.get(key));
        wanting.clear();
        wanting.extend(of_flows.chain(of_hosts).flatten().copied());
        wanting.sort_unstable();
        wanting.dedup();
        for at in &wanting {
            slices[*at].offer(&keys, record)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Why packets cannot be cut out.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The captures, or the output.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// No packet of it.
    #[error("no packet of {what} in {packets} packets read")]
    Nothing {
        /// What was looked for.
        what: String,
        /// Packets read.
        packets: u64,
    },
}

/// What was cut out.
pub struct Extracted {
    /// Packets written.
    pub packets: u64,
    /// What was read for it.
    pub report: reading::Report,
}

/// Flows whose name is remembered while looking for one.
const KNOWN_MAX: usize = 1 << 20;

/// Writes the packets of the flow of this name ([`crate::flow::FlowRecord::name`]), whichever its times, to `out`, with the later
/// fragments of them, which a person wants to see put together, until `stop` is asked for.
///
/// # Errors
/// The captures or the output; no such packet.
pub fn extract_flow(
    inputs: &[PathBuf],
    name: &str,
    stop: &Stop,
    out: Box<dyn io::Write>,
) -> Result<Extracted, ExtractError> {
    let mut known: HashMap<FlowKey, bool> = HashMap::new();
    let comments = [format!("flow {name}")];
    let out = BufWriter::with_capacity(1 << 16, out);
    let mut out = PcapngWriter::new(out, &comments).map_err(FramesError::Output)?;
    let mut packets = 0;
    let mut fragments = Fragments::default();
    let report = frames::until(inputs, (u64::MAX, stop), &mut |record| {
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        let mut is_it = |key: &FlowKey| {
            *known.entry(*key).or_insert_with(|| {
                // Of ICMP the direction matters, which one packet alone does not tell.
                [0, 1]
                    .iter()
                    .any(|side| flow::community_id::name(key, *side) == name)
            })
        };
        if keys(record, Some(&mut fragments)).iter().any(&mut is_it) {
            packets += 1;
            let comment = (packets == 1).then_some(name);
            out.packet(
                record.time,
                record.link,
                record.wire_length,
                record.frame,
                comment,
            )?;
        }
        Ok(())
    })?;
    out.finish().map_err(FramesError::Output)?;
    if packets == 0 {
        return Err(ExtractError::Nothing {
            what: format!("flow {name}"),
            packets: report.packets,
        });
    }
    Ok(Extracted { packets, report })
}
