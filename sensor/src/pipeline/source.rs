//! Live captures of every kind behind one type, and the chain of ways to have one: the best that this machine offers, with the
//! reason why each better one was passed over.

use sensor_ebpf::flow::FlowKey;

use crate::{
    capture::{
        Capture, CaptureError, CopyCounts, CopySettings, Epoch, Progress, Record, Stop, libpcap,
    },
    config::{self, CaptureMode, FragmentsBy},
};

#[cfg(target_os = "linux")]
use crate::capture::{xdp, xsk};

/// A live capture.
pub struct Source {
    kind: Kind,
    /// How each interface is seen: its name, ingress and egress, for people and for metrics.
    pub interfaces: Vec<Seen>,
    /// The ways to take packets from each interface that were tried, best first.
    pub steps: Vec<Step>,
    /// What a person should know about how it began.
    pub notes: Vec<String>,
}

/// How one interface is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub interface: String,
    /// How packets are seen that arrive.
    pub ingress: String,
    /// How packets are seen that leave.
    pub egress: String,
}

/// One way to take the packets that arrive at an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The interface.
    pub interface: String,
    /// `af_xdp_zero_copy`, `af_xdp_copy`, `xdp_native`, `xdp_generic`, `tcx` or `libpcap`.
    pub mode: &'static str,
    /// Why it was passed over; `None` of the one in use.
    pub passed_over: Option<String>,
}

enum Kind {
    #[cfg(target_os = "linux")]
    Kernel(Box<xsk::AfXdp>),
    Libpcap(Box<libpcap::Libpcap>),
}

/// What a live capture says of its last epoch, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Health {
    /// Fill of the fullest table, 0 to 1; NaN where there is none.
    pub fill: f64,
    /// How often tables were emptied before the epoch was over, because they filled.
    pub early: u32,
    /// How far the wall clock is ahead of packet time, nanoseconds.
    pub drift_ns: i64,
    /// Packets lost before they could be counted, by the kernel and by the interface.
    pub dropped: [u64; 2],
    /// Packets lost by AF_XDP sockets so far: the ring was full, there was no frame, other reasons.
    pub socket_losses: [u64; 3],
    /// Packets that sockets neither delivered nor lost by name: 0, or a defect.
    pub unaccounted: u64,
}

impl Source {
    /// Begins to capture.
    ///
    /// # Errors
    /// No such interface, no permission, no way to capture.
    pub fn open(
        wanted: &config::Capture,
        copies: Option<CopySettings>,
    ) -> Result<Self, CaptureError> {
        let interfaces = wanted.all_interfaces();
        if interfaces.is_empty() {
            return Err(libpcap::LibpcapError::NoInterfaces.into());
        }
        #[cfg(target_os = "linux")]
        if wanted.mode != CaptureMode::Libpcap {
            match Self::by_kernel(&interfaces, wanted, copies) {
                Ok(source) => return Ok(source),
                Err(error) => {
                    let hopeless = matches!(
                        error,
                        xdp::XdpError::NoInterface { .. }
                            | xdp::XdpError::Permission
                            | xdp::XdpError::Memory { .. }
                    );
                    let only = matches!(wanted.mode, CaptureMode::Xdp | CaptureMode::AfXdp);
                    if only || hopeless || !cfg!(feature = "libpcap") {
                        return Err(error.into());
                    }
                    let mut source = Self::by_libpcap(&interfaces, wanted, copies)?;
                    for interface in interfaces {
                        source.steps.insert(
                            0,
                            Step {
                                interface,
                                mode: "xdp_native",
                                passed_over: Some(error.kind().to_owned()),
                            },
                        );
                    }
                    source
                        .notes
                        .push(format!("no XDP, libpcap instead: {error}"));
                    return Ok(source);
                }
            }
        }
        #[cfg(not(target_os = "linux"))]
        if matches!(wanted.mode, CaptureMode::Xdp | CaptureMode::AfXdp) {
            return Err(CaptureError::Libpcap(libpcap::LibpcapError::Failed {
                interface: interfaces.join(", "),
                what: "XDP is of Linux only; use --capture libpcap".to_owned(),
            }));
        }
        Self::by_libpcap(&interfaces, wanted, copies)
    }

    #[cfg(target_os = "linux")]
    fn by_kernel(
        interfaces: &[String],
        wanted: &config::Capture,
        copies: Option<CopySettings>,
    ) -> Result<Self, xdp::XdpError> {
        // A wrong name is said before anything is loaded.
        for interface in interfaces {
            xdp::interface_index(interface)?;
        }
        let evidence = copies.map(|copies| xdp::EvidenceSettings {
            bytes: copies.bytes,
            first_packets: copies.first_packets,
            ring_bytes: copies.waiting_bytes,
        });
        let settings = xdp::Settings {
            early_flows_max: wanted.epoch_flows as usize,
            taps: wanted.taps.clone(),
            evidence,
            instead_tcx: wanted.mode == CaptureMode::Auto,
            inside_tunnels: wanted.decap,
            counting: match wanted.count {
                config::Count::FirstHook => xdp::Counting::FirstHook,
                config::Count::Both => xdp::Counting::Both,
                config::Count::PerInterface => xdp::Counting::PerInterface,
            },
            ..xdp::Settings::on(interfaces)
        };
        let settings = match wanted.table_bytes {
            Some(bytes) => settings.within(bytes)?,
            None => settings,
        };
        let sockets = (wanted.mode != CaptureMode::Xdp).then(|| {
            let usual = xsk::Settings::default();
            xsk::Settings {
                frames: wanted.frames,
                busy_poll: wanted.busy_poll,
                inside_tunnels: wanted.decap,
                follow_fragments: wanted.fragments == FragmentsBy::Follow,
                copies,
                flows_per_epoch: usual.flows_per_epoch.min(wanted.epoch_flows as usize),
                ..usual
            }
        });
        let capture = xsk::AfXdp::start(xdp::Xdp::start(&settings)?, sockets.as_ref())?;
        if wanted.mode == CaptureMode::AfXdp {
            capture.demand()?;
        }
        let (mut seen, mut steps, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for attached in capture.kernel().attached() {
            let interface = &attached.interface;
            let bound = capture
                .bound()
                .iter()
                .find(|bound| bound.interface == *interface);
            let ways = bound
                .map(xsk::Bound::ways)
                .into_iter()
                .flatten()
                .chain(attached.ingress.ways());
            for (mode, passed_over) in ways {
                let is_last = passed_over.is_none();
                if let Some(reason) = &passed_over {
                    log::info!("{interface}: not by {mode}: {reason}");
                }
                steps.push(Step {
                    interface: interface.clone(),
                    mode,
                    passed_over,
                });
                if is_last {
                    break;
                }
            }
            let sockets = bound.and_then(|bound| bound.binding.as_ref().ok());
            let ingress = sockets.map_or(attached.ingress.name(), xsk::Binding::name);
            let how = sockets.map_or(attached.ingress.to_string(), ToString::to_string);
            seen.push(Seen {
                interface: interface.clone(),
                ingress: ingress.to_owned(),
                egress: attached.egress.name().to_owned(),
            });
            notes.push(format!(
                "{interface}: arriving packets by {how}, leaving packets by {}",
                attached.egress
            ));
            if wanted.fragments == FragmentsBy::Follow && sockets.is_none() {
                notes.push(format!(
                    "{interface}: warning: counted in the kernel, where later fragments count by address pair (capture.fragments)"
                ));
            }
            if let Some(Err(unbound)) = bound.map(|bound| &bound.binding) {
                notes.push(format!(
                    "{interface}: no AF_XDP, counted in the kernel and dropped: {unbound}"
                ));
            }
            if attached.egress == xdp::Mode::Tap
                && matches!(attached.ingress, xdp::Mode::TcxIngress { .. })
            {
                notes.push(format!(
                    "{interface}: warning: without XDP its packets go on into the stack"
                ));
            }
        }
        Ok(Self {
            interfaces: seen,
            steps,
            notes,
            kind: Kind::Kernel(Box::new(capture)),
        })
    }

    fn by_libpcap(
        interfaces: &[String],
        wanted: &config::Capture,
        copies: Option<CopySettings>,
    ) -> Result<Self, CaptureError> {
        let capture = libpcap::Libpcap::open(&libpcap::Settings {
            inside_tunnels: wanted.decap,
            follow_fragments: wanted.fragments == FragmentsBy::Follow,
            flows_per_epoch: wanted.epoch_flows as usize,
            copies,
            ..libpcap::Settings::on(interfaces)
        })?;
        let seen = interfaces.iter().map(|interface| Seen {
            interface: interface.clone(),
            ingress: "libpcap".to_owned(),
            egress: "libpcap".to_owned(),
        });
        let steps = interfaces.iter().map(|interface| Step {
            interface: interface.clone(),
            mode: "libpcap",
            passed_over: None,
        });
        Ok(Self {
            interfaces: seen.collect(),
            steps: steps.collect(),
            notes: vec![format!("{}: by libpcap", interfaces.join(", "))],
            kind: Kind::Libpcap(Box::new(capture)),
        })
    }

    /// A handle that ends the capture.
    pub fn stop_handle(&self) -> Stop {
        match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Kernel(capture) => capture.stop_handle(),
            Kind::Libpcap(capture) => capture.stop_handle(),
        }
    }

    /// How the capture does.
    fn how(&self) -> Health {
        match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Kernel(capture) => {
                let (report, kernel, losses) =
                    (capture.report(), capture.kernel(), capture.losses());
                Health {
                    fill: report.fullest as f64 / f64::from(kernel.flows_per_table()),
                    early: report.early,
                    drift_ns: kernel.clock_drift_ns(),
                    socket_losses: [losses.ring_full, losses.no_frame, losses.other],
                    unaccounted: capture.unaccounted().unsigned_abs(),
                    ..Health::default()
                }
            }
            Kind::Libpcap(capture) => {
                let report = capture.report();
                Health {
                    fill: f64::NAN,
                    dropped: [report.dropped_by_kernel, report.dropped_by_interface],
                    ..Health::default()
                }
            }
        }
    }
}

/// A capture that goes on for as long as it is let.
pub trait LiveCapture: Capture {
    /// How it does.
    fn health(&self) -> Health;
    /// Has the next packets of a flow copied; `false` if that cannot be.
    fn watch(&mut self, _key: &FlowKey, _packets: u32) -> bool {
        false
    }
    /// Has no more packets of a flow copied.
    fn unwatch(&mut self, _key: &FlowKey) {}
    /// Hands on the packets copied since the last call; how many there were since the start.
    fn copies(&mut self, _each: &mut dyn FnMut(&Record<'_>)) -> CopyCounts {
        CopyCounts::default()
    }
}

impl LiveCapture for Source {
    fn health(&self) -> Health {
        self.how()
    }

    fn watch(&mut self, key: &FlowKey, packets: u32) -> bool {
        match &mut self.kind {
            #[cfg(target_os = "linux")]
            Kind::Kernel(capture) => capture.watch(key, packets),
            Kind::Libpcap(capture) => capture.watch(key, packets),
        }
    }

    fn unwatch(&mut self, key: &FlowKey) {
        match &mut self.kind {
            #[cfg(target_os = "linux")]
            Kind::Kernel(capture) => capture.unwatch(key),
            Kind::Libpcap(capture) => capture.unwatch(key),
        }
    }

    fn copies(&mut self, each: &mut dyn FnMut(&Record<'_>)) -> CopyCounts {
        match &mut self.kind {
            #[cfg(target_os = "linux")]
            Kind::Kernel(capture) => capture.copies(each),
            Kind::Libpcap(capture) => capture.copies(each),
        }
    }
}

impl Capture for Source {
    fn next_epoch(&mut self, epoch: &mut Epoch) -> Result<Progress, CaptureError> {
        match &mut self.kind {
            #[cfg(target_os = "linux")]
            Kind::Kernel(capture) => capture.next_epoch(epoch),
            Kind::Libpcap(capture) => capture.next_epoch(epoch),
        }
    }
}
