//! Live capture by the kernel program: load, attach, and drain once an epoch.

mod attach;
pub mod bpf;
mod clock;
mod probe;
mod tables;

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    time::Duration,
};

pub use attach::{Attached, Mode, interface_index};
use aya::{Ebpf, EbpfLoader, programs::ProgramError};
pub use probe::{Proof, Proved};
use sensor_ebpf::{
    flow::{EPOCH_SHIFT, epoch_of},
    maps::{self, Hook, Ledger},
};
pub use tables::DrainReport;
use tables::Tables;

use super::{Capture, CaptureError, Epoch, Progress, Stop};

/// How the kernel side is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Interfaces to watch.
    pub interfaces: Vec<String>,
    /// Flows one CPU can count in one epoch.
    pub flows_per_table: u32,
    /// Whether the interfaces are taps: count, then drop.
    pub tap: bool,
    /// Packet times come from the frames themselves, for tests.
    pub clock_from_frame: bool,
}

impl Settings {
    /// The defaults, on these interfaces.
    pub fn on(interfaces: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            interfaces: interfaces.into_iter().map(Into::into).collect(),
            flows_per_table: maps::FLOWS_PER_TABLE as u32,
            tap: false,
            clock_from_frame: false,
        }
    }
}

/// Why the kernel side cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// Not allowed.
    #[error(
        "loading the BPF programs needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: run as root, or grant them with setcap or AmbientCapabilities="
    )]
    Permission,
    /// No such interface.
    #[error("interface {name} does not exist; there are: {known}")]
    NoInterface {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Another program has the hook.
    #[error(
        "interface {interface} already has an XDP program of somebody else, which is left alone; see `ip link show {interface}`"
    )]
    Occupied {
        /// The interface.
        interface: String,
    },
    /// The kernel refused to attach.
    #[error("attach to {interface} ({hook}): {error}")]
    Attach {
        /// The interface.
        interface: String,
        /// The hook.
        hook: &'static str,
        /// Why.
        error: Box<ProgramError>,
    },
    /// The kernel refused the program.
    #[error("load the BPF program {program}: {error}")]
    Load {
        /// The program.
        program: &'static str,
        /// Why, with the verifier's words.
        error: Box<ProgramError>,
    },
    /// The object cannot be loaded.
    #[error("load the BPF object: {0}")]
    Ebpf(Box<aya::EbpfError>),
    /// The object is not the one this agent was built with.
    #[error("the BPF object does not fit this program: {what}")]
    Object {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What it was for.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A map operation failed.
    #[error("{what}: {error}")]
    Map {
        /// What it was for.
        what: &'static str,
        /// What the kernel said.
        error: aya::maps::MapError,
    },
}

impl XdpError {
    /// What the program exits with (sysexits.h): 77 without permission, otherwise 69.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Permission => 77,
            _ => 69,
        }
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
    tables: Tables,
    attached: Vec<Attached>,
    clock_offset: u64,
    next: u64,
    /// Epochs to drain after a stop: the running one, and the one that may have begun since.
    last: Option<u64>,
    stop: Stop,
    report: DrainReport,
}

impl Xdp {
    /// Loads the programs, attaches them to all interfaces and proves that they run.
    ///
    /// # Errors
    /// See [`XdpError`]. Nothing stays attached.
    pub fn start(settings: &Settings) -> Result<Self, XdpError> {
        let mut capture = Self::load(settings)?;
        for interface in &settings.interfaces {
            if let Some(object) = &mut capture.object {
                capture.attached.push(attach::attach(object, interface)?);
            }
        }
        for attached in &capture.attached {
            log::info!(
                "{}: ingress by {}, egress by {}",
                attached.interface,
                attached.ingress,
                attached.egress
            );
        }
        Ok(capture)
    }

    /// Loads the programs without attaching them.
    ///
    /// # Errors
    /// See [`XdpError`].
    pub fn load(settings: &Settings) -> Result<Self, XdpError> {
        raise_memory_limit();
        let cpus = aya::util::nr_cpus().map_err(|(_, source)| XdpError::System {
            what: "count the CPUs",
            source,
        })?;
        let cpus = u32::try_from(cpus)
            .unwrap_or(u32::MAX)
            .min(maps::TABLES_MAX as u32 / 2);
        let clock_offset = if settings.clock_from_frame {
            0
        } else {
            clock::offset()
        };
        let mut object = EbpfLoader::new()
            .map_max_entries(maps::FLOW_TABLES, cpus * 2)
            .override_global(maps::CLOCK_OFFSET, &clock_offset, true)
            .override_global(
                maps::CLOCK_FROM_FRAME,
                &u8::from(settings.clock_from_frame),
                true,
            )
            .override_global(maps::TAP, &u8::from(settings.tap), true)
            .load(sensor_ebpf::OBJECT)
            .map_err(refused)?;
        let tables = Tables::new(&mut object, cpus, settings.flows_per_table)?;
        attach::program::<aya::programs::Xdp>(&mut object, maps::PROGRAM_INGRESS)?
            .load()
            .map_err(|error| XdpError::Load {
                program: maps::PROGRAM_INGRESS,
                error: Box::new(error),
            })?;
        attach::program::<aya::programs::SchedClassifier>(&mut object, maps::PROGRAM_EGRESS)?
            .load()
            .map_err(|error| XdpError::Load {
                program: maps::PROGRAM_EGRESS,
                error: Box::new(error),
            })?;
        Ok(Self {
            object: Some(object),
            tables,
            attached: Vec::new(),
            clock_offset,
            next: epoch_of(clock::now(clock_offset)),
            last: None,
            stop: Stop::default(),
            report: DrainReport::default(),
        })
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

    /// Where the packets of all drained epochs went, by hook.
    pub fn totals(&self, hook: Hook) -> Ledger {
        self.tables.totals(hook)
    }

    /// How far the wall clock is ahead of packet time, in nanoseconds.
    pub fn clock_drift_ns(&self) -> i64 {
        clock::drift(self.clock_offset)
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
        self.object
            .as_ref()
            .and_then(|object| object.program(name))
            .and_then(|program| program.fd().ok())
            .map(|fd| fd.as_fd())
            .ok_or(XdpError::Object {
                what: "the program is not loaded",
            })
    }

    /// Drains one epoch of packet time now, whether it is over or not. For tests that bring their own time.
    ///
    /// # Errors
    /// A failing system call.
    pub fn drain(&mut self, epoch: u64, into: &mut Epoch) -> Result<DrainReport, XdpError> {
        self.report = self.tables.drain(epoch, into)?;
        if self.report.unaccounted != 0 {
            log::error!(
                "{} packets of epoch {epoch} are in no counter",
                self.report.unaccounted
            );
        }
        Ok(self.report)
    }

    /// The epoch that is running now.
    fn current(&self) -> u64 {
        epoch_of(clock::now(self.clock_offset))
    }
}

impl Capture for Xdp {
    fn next_epoch(&mut self, epoch: &mut Epoch) -> Result<Progress, CaptureError> {
        if self.last.is_none() {
            let due = (self.next + 1) << EPOCH_SHIFT;
            let now = clock::now(self.clock_offset);
            let wait = Duration::from_nanos(due.saturating_sub(now)) + GRACE;
            if self.stop.wait(wait) {
                // Detach first: after that no packet is counted any more, and what is in the tables is all.
                self.object = None;
                self.last = Some(self.current());
            }
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

fn refused(error: aya::EbpfError) -> XdpError {
    use aya::{EbpfError, maps::MapError};
    let denied =
        |error: &io::Error| matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
    match &error {
        EbpfError::MapError(MapError::CreateError { io_error, .. }) if denied(io_error) => {
            XdpError::Permission
        }
        EbpfError::BtfError(_) if !is_root() => XdpError::Permission,
        _ => XdpError::Ebpf(Box::new(error)),
    }
}

fn is_root() -> bool {
    // SAFETY: takes no argument and always succeeds.
    unsafe { libc::geteuid() == 0 }
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
