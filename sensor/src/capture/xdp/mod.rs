//! Live capture by the kernel program: load, attach, and drain once an epoch.

mod assembly;
mod attach;
mod bell;
pub mod bpf;
pub(super) mod clock;
mod error;
mod evidence;
mod interface;
mod mapped;
mod probe;
mod shape;
mod tables;
mod taps;
mod watched;

use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

pub use attach::{Attached, Mode, Role};
use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, Xdp as XdpProgram},
};
use bell::{Bell, Woken};
pub use error::XdpError;
use evidence::Evidence;
pub use evidence::{Copied, Copies, EvidenceSettings};
pub use interface::interface_index;
pub(super) use interface::traits_of;
pub use probe::{Proof, Proved};
pub use sensor_ebpf::maps::Counting;
use sensor_ebpf::{
    flow::{EPOCH_SHIFT, FlowKey, epoch_of},
    maps::{self, Hook, Ledger},
};
use shape::Shape;
pub use tables::DrainReport;
use tables::Tables;
pub(super) use tables::merge;
use taps::Taps;
use watched::Watched;

use super::{Capture, CaptureError, Epoch, Progress, Stop};

/// How the kernel side is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Interfaces to watch.
    pub interfaces: Vec<String>,
    /// Flows that a flow table of one CPU has room for. A table that fills is emptied before its epoch is over.
    pub flows_per_table: u32,
    /// Flows of an epoch that tables may be emptied of before it is over. Beyond that a full table stays full until then, and what
    /// finds no room is in [`Ledger::overflow_full`]: memory must not follow the number of an attacker's sources.
    pub early_flows_max: usize,
    /// Those of them that are taps (mirror ports): what arrives is counted, or handed over to sockets, and then dropped.
    pub taps: Vec<String>,
    /// Which packets are copied to the agent while they pass, if any.
    pub evidence: Option<EvidenceSettings>,
    /// Whether flows are those inside of tunnels ([`sensor_ebpf::frame::tunnel`]) and not those on the wire.
    pub inside_tunnels: bool,
    /// How often a packet counts that is forwarded between two of the interfaces.
    pub counting: Counting,
    /// Packet times come from the frames themselves, for tests.
    pub clock_from_frame: bool,
    /// Egress by a filter on the clsact qdisc even where the kernel has TCX.
    pub clsact: bool,
    /// Where XDP is not to be had, also because somebody else has it, count what arrives at TCX.
    pub instead_tcx: bool,
}

impl Settings {
    /// The defaults, on these interfaces.
    pub fn on(interfaces: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            interfaces: interfaces.into_iter().map(Into::into).collect(),
            flows_per_table: shape::default_flows(cpus().unwrap_or(1), memory_bytes()),
            early_flows_max: 1 << 19,
            taps: Vec::new(),
            evidence: None,
            inside_tunnels: false,
            counting: Counting::default(),
            clock_from_frame: false,
            clsact: false,
            instead_tcx: false,
        }
    }

    /// With flow tables that take at most so many bytes, on all CPUs together.
    ///
    /// # Errors
    /// [`XdpError::Memory`] with what the smallest tables take.
    pub fn within(mut self, bytes: u64) -> Result<Self, XdpError> {
        let cpus = cpus().unwrap_or(1);
        let flows = shape::flows_within(cpus, bytes);
        let least = shape::table_bytes(cpus, flows);
        if least > bytes {
            return Err(XdpError::Memory { cpus, least, bytes });
        }
        self.flows_per_table = self.flows_per_table.min(flows);
        Ok(self)
    }
}

/// After the end of an epoch, how long until it is drained. A program that read the clock just before may still be
/// on its way; the swap waits for it anyway, so this only has to cover the difference between two readings.
const GRACE: Duration = Duration::from_millis(1);

/// The loaded and attached programs. Dropping this detaches them: the links end with their file descriptors,
/// also when the process is killed.
pub struct Xdp {
    /// `None` once the programs are detached.
    object: Option<Ebpf>,
    /// One for each hook of each interface; closing it detaches.
    links: Vec<OwnedFd>,
    tables: Tables,
    attached: Vec<Attached>,
    proofs: Vec<Proof>,
    clock_offset: u64,
    next: u64,
    /// Epochs to drain after a stop: the running one, and the one that may have begun since.
    last: Option<u64>,
    bell: Bell,
    stop: Stop,
    report: DrainReport,
    evidence: Evidence,
    taps: Taps,
    watched: Watched,
}

/// What the loader writes where copies are wanted, or not.
fn evidence_constants(wanted: Option<EvidenceSettings>) -> EvidenceSettings {
    /// A ring is whole pages, a power of two of them; no machine has larger ones.
    const PAGE_BYTES: u32 = 65_536;
    match wanted {
        Some(wanted) => EvidenceSettings {
            bytes: wanted.bytes.clamp(1, maps::EVIDENCE_BYTES_MAX as u32),
            ring_bytes: wanted
                .ring_bytes
                .clamp(PAGE_BYTES, 1 << 30)
                .next_power_of_two(),
            ..wanted
        },
        None => EvidenceSettings {
            bytes: 0,
            first_packets: 0,
            ring_bytes: PAGE_BYTES,
        },
    }
}

impl Xdp {
    /// Loads the programs, attaches them to all interfaces and proves that they run.
    ///
    /// # Errors
    /// See [`XdpError`]. Nothing stays attached.
    pub fn start(settings: &Settings) -> Result<Self, XdpError> {
        let mut capture = Self::load(settings)?;
        // All names before any attaching, so that a misspelt one changes nothing.
        for name in &settings.interfaces {
            interface_index(name)?;
        }
        for name in &settings.interfaces {
            if let Some(object) = &mut capture.object {
                let role = if settings.taps.contains(name) {
                    Role::Tap
                } else {
                    Role::Host
                };
                let attached = attach::attach(object, name, role, settings, &mut capture.links)?;
                log::info!(
                    "{}: ingress by {}, egress by {}",
                    attached.interface,
                    attached.ingress,
                    attached.egress
                );
                capture.watched.add(&attached)?;
                capture.attached.push(attached);
            }
        }
        capture.proofs = capture.prove()?;
        for proof in &capture.proofs {
            for (hook, proved) in [("XDP", proof.ingress), ("TC", proof.egress)] {
                if proved == Proved::DoesNotRun {
                    return Err(XdpError::NotRunning {
                        interface: proof.interface.clone(),
                        hook,
                    });
                }
                log::info!("{} ({hook}): {proved}", proof.interface);
            }
        }
        Ok(capture)
    }

    /// Loads the programs without attaching them.
    ///
    /// # Errors
    /// See [`XdpError`].
    pub fn load(settings: &Settings) -> Result<Self, XdpError> {
        raise_memory_limit();
        let cpus = cpus()?;
        let clock_offset = if settings.clock_from_frame {
            0
        } else {
            clock::offset()
        };
        let evidence = evidence_constants(settings.evidence);
        let shape = Shape::of(cpus, settings.flows_per_table);
        let secrets = shape::secrets();
        let mut object = EbpfLoader::new()
            .map_max_entries(maps::FLOW_SLOTS, shape.slots())
            .map_max_entries(maps::FLOW_INDEX, shape.lines())
            .map_max_entries(maps::FLOW_FILLS, shape.tables())
            .map_max_entries(maps::FLOWS, shape.entries())
            .override_global(maps::TABLE_SIZE, &shape.size, true)
            .override_global(maps::TABLE_SECRETS, secrets.as_slice(), true)
            .override_global(maps::CLOCK_OFFSET, &clock_offset, true)
            .override_global(
                maps::CLOCK_FROM_FRAME,
                &u8::from(settings.clock_from_frame),
                true,
            )
            .override_global(maps::DECAP, &u8::from(settings.inside_tunnels), true)
            .override_global(maps::COUNTING, &(settings.counting as u8), true)
            .map_max_entries(maps::EVIDENCE, evidence.ring_bytes)
            .override_global(maps::EVIDENCE_BYTES, &evidence.bytes, true)
            .override_global(
                maps::FIRST_PACKETS,
                &u64::from(evidence.first_packets),
                true,
            )
            .override_global(maps::BELL_MASK, &shape.bell_mask(), true)
            .load(sensor_ebpf::OBJECT)
            .map_err(XdpError::of_object)?;
        let tables = Tables::new(&mut object, shape, settings.early_flows_max)?;
        let stop = Stop::default();
        let bell = Bell::new(&mut object, stop.clone())?;
        let evidence = Evidence::new(&mut object)?;
        let taps = Taps::new(&mut object)?;
        let watched = Watched::new(&mut object)?;
        for name in [maps::PROGRAM_INGRESS, maps::PROGRAM_TAP] {
            let program = attach::program::<XdpProgram>(&mut object, name)?;
            attach::load(name, || program.load())?;
        }
        let egress = attach::program::<SchedClassifier>(&mut object, maps::PROGRAM_EGRESS)?;
        attach::load(maps::PROGRAM_EGRESS, || egress.load())?;
        Ok(Self {
            object: Some(object),
            links: Vec::new(),
            tables,
            attached: Vec::new(),
            proofs: Vec::new(),
            clock_offset,
            next: epoch_of(clock::now(clock_offset)),
            last: None,
            bell,
            stop,
            report: DrainReport::default(),
            evidence,
            taps,
            watched,
        })
    }

    /// Has the next `packets` of a flow copied, or changes how many are still to be. Takes effect with the next packet.
    ///
    /// # Errors
    /// The watch list is full ([`maps::WATCH_MAX`] flows).
    pub fn watch(&mut self, key: &FlowKey, packets: u32) -> Result<(), XdpError> {
        self.evidence.watch(key, packets)
    }

    /// Has no more packets of a flow copied, and makes room on the watch list.
    pub fn unwatch(&mut self, key: &FlowKey) {
        self.evidence.unwatch(key);
    }

    /// Hands on the copies of packets made since the last call, in the order in which the kernel made them.
    pub fn copies(&mut self, each: &mut dyn FnMut(Copied<'_>)) {
        self.evidence.take(each);
    }

    /// How many packets were copied since the start, and how many were lost because nobody took the copies away in time.
    ///
    /// # Errors
    /// A failing system call.
    pub fn copies_made(&self) -> Result<Copies, XdpError> {
        self.tables.copies()
    }

    /// Has frames that arrive at a tap handed over to AF_XDP sockets, one for each receive queue from the first on. They are
    /// in [`Ledger::handed_over`] until their reader has accounted for them.
    ///
    /// # Errors
    /// A failing system call; more than [`maps::XSKS_MAX`] sockets or [`maps::TAPS_MAX`] taps.
    pub fn hand_over(
        &mut self,
        interface: u32,
        sockets: &[BorrowedFd<'_>],
    ) -> Result<(), XdpError> {
        self.taps.hand_over(interface, sockets)
    }

    /// Proves, for each interface and hook, that the program is not only attached but runs.
    ///
    /// # Errors
    /// A failing system call; a hook that does not run is in the answer.
    pub fn prove(&self) -> Result<Vec<Proof>, XdpError> {
        self.attached
            .iter()
            .map(|attached| probe::prove(attached, &self.tables))
            .collect()
    }

    /// What [`Self::start`] found out about each interface.
    pub fn proofs(&self) -> &[Proof] {
        &self.proofs
    }

    /// The interfaces and how the programs hang on them.
    pub fn attached(&self) -> &[Attached] {
        &self.attached
    }

    /// A handle that ends this capture.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// How the last drain went.
    pub fn drain_report(&self) -> DrainReport {
        self.report
    }

    /// Flows a flow table has room for.
    pub fn flows_per_table(&self) -> u32 {
        self.tables.flows_max()
    }

    /// Where the packets of all drained epochs went, by hook.
    pub fn totals(&self, hook: Hook) -> Ledger {
        self.tables.totals(hook)
    }

    /// How far the wall clock is ahead of packet time, in nanoseconds.
    pub fn clock_drift_ns(&self) -> i64 {
        clock::drift(self.clock_offset)
    }

    /// What makes the monotonic clock the sensor's.
    pub(super) fn clock_offset(&self) -> u64 {
        self.clock_offset
    }

    /// Whether the programs are gone, because the capture was asked to end.
    pub(super) fn is_detached(&self) -> bool {
        self.last.is_some()
    }

    /// Whether no epoch follows this one.
    pub(super) fn is_last(&self, epoch: u64) -> bool {
        self.last == Some(epoch)
    }

    /// The program of a hook, for running it on frames of one's own.
    ///
    /// # Errors
    /// [`XdpError::Object`] once the programs are detached.
    pub fn program(&self, hook: Hook) -> Result<BorrowedFd<'_>, XdpError> {
        let name = match hook {
            Hook::Ingress => maps::PROGRAM_INGRESS,
            Hook::Egress => maps::PROGRAM_EGRESS,
        };
        self.program_called(name)
    }

    fn program_called(&self, name: &str) -> Result<BorrowedFd<'_>, XdpError> {
        self.object
            .as_ref()
            .and_then(|object| object.program(name))
            .and_then(|program| program.fd().ok())
            .map(|fd| fd.as_fd())
            .ok_or(XdpError::Object {
                what: "the program is not loaded",
            })
    }

    /// The program of taps, for running it on frames of one's own.
    ///
    /// # Errors
    /// [`XdpError::Object`] once the programs are detached.
    pub fn tap_program(&self) -> Result<BorrowedFd<'_>, XdpError> {
        self.program_called(maps::PROGRAM_TAP)
    }

    /// Drains one epoch of packet time now, whether it is over or not. For tests that bring their own time.
    ///
    /// # Errors
    /// A failing system call.
    pub fn drain(&mut self, epoch: u64, into: &mut Epoch) -> Result<DrainReport, XdpError> {
        let (offset, detached) = (self.clock_offset, self.object.is_none());
        let at_rest = || detached || epoch_of(clock::now(offset)) < epoch + 2;
        self.report = self.tables.drain(epoch, at_rest, into)?;
        if self.report.unaccounted != 0 {
            log::error!(
                "{} packets of epoch {epoch} are in no counter",
                self.report.unaccounted
            );
        }
        Ok(self.report)
    }

    /// Sleeps until the next epoch to drain is over. Tables that fill before that are emptied meanwhile.
    fn sleep(&mut self) -> Result<Woken, XdpError> {
        let failed = |what: &'static str| move |source| XdpError::System { what, source };
        let due = (self.next + 1) << EPOCH_SHIFT;
        loop {
            let left = due.saturating_sub(clock::now(self.clock_offset));
            let woken = self
                .bell
                .wait(Duration::from_nanos(left) + GRACE)
                .map_err(failed("wait for the end of an epoch"))?;
            if woken != Woken::Rung {
                return Ok(woken);
            }
            self.tables.relieve(self.current())?;
        }
    }

    /// The epoch that is running now.
    fn current(&self) -> u64 {
        epoch_of(clock::now(self.clock_offset))
    }
}

impl Capture for Xdp {
    fn next_epoch(&mut self, epoch: &mut Epoch) -> Result<Progress, CaptureError> {
        if self.last.is_none() && self.sleep()? == Woken::Asked {
            // Detach first: after that no packet is counted any more, and what is in the tables is all.
            self.links.clear();
            self.object = None;
            self.last = Some(self.current());
        }
        if self.last.is_some_and(|last| self.next > last) {
            return Ok(Progress::End);
        }
        let index = self.next;
        self.next += 1;
        self.drain(index, epoch)?;
        Ok(Progress::Epoch)
    }
}

/// CPUs that packets can come by on.
fn cpus() -> Result<u32, XdpError> {
    let cpus = aya::util::nr_cpus().map_err(|(_, source)| XdpError::System {
        what: "count the CPUs",
        source,
    })?;
    Ok(u32::try_from(cpus)
        .unwrap_or(u32::MAX)
        .min(maps::SLOTS_MAX as u32 / 2))
}

/// Memory of this machine; a gigabyte where it cannot be known.
fn memory_bytes() -> u64 {
    // SAFETY: no pointers.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    // SAFETY: no pointers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    match (u64::try_from(pages), u64::try_from(page)) {
        (Ok(pages), Ok(page)) if pages > 0 => pages * page,
        _ => 1 << 30,
    }
}

/// Kernels before 5.11 charge BPF memory to RLIMIT_MEMLOCK. Not being allowed to raise it shows when a map is made.
fn raise_memory_limit() {
    let unlimited = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: a valid structure; the result says only whether the limit changed.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) };
}
