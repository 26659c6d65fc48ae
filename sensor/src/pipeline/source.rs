//! Live captures of every kind behind one type.

use crate::{
    capture::{Capture, CaptureError, Epoch, Progress, Stop, libpcap},
    config::CaptureMode,
};

#[cfg(target_os = "linux")]
use crate::capture::xdp;

/// A live capture.
pub struct Source {
    kind: Kind,
    /// How each interface is seen: its name, ingress and egress, for people and for metrics.
    pub interfaces: Vec<Seen>,
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

enum Kind {
    #[cfg(target_os = "linux")]
    Xdp(Box<xdp::Xdp>),
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
}

impl Source {
    /// Begins to capture.
    ///
    /// # Errors
    /// No such interface, no permission, no way to capture.
    pub fn open(interfaces: &[String], mode: CaptureMode) -> Result<Self, CaptureError> {
        if interfaces.is_empty() {
            return Err(libpcap::LibpcapError::NoInterfaces.into());
        }
        #[cfg(target_os = "linux")]
        if mode != CaptureMode::Libpcap {
            match Self::by_xdp(interfaces) {
                Ok(source) => return Ok(source),
                Err(error) => {
                    let hopeless = matches!(
                        error,
                        xdp::XdpError::NoInterface { .. } | xdp::XdpError::Permission
                    );
                    if mode == CaptureMode::Xdp || hopeless || !cfg!(feature = "libpcap") {
                        return Err(error.into());
                    }
                    let mut source = Self::by_libpcap(interfaces)?;
                    source
                        .notes
                        .push(format!("no XDP, libpcap instead: {error}"));
                    return Ok(source);
                }
            }
        }
        #[cfg(not(target_os = "linux"))]
        if mode == CaptureMode::Xdp {
            return Err(CaptureError::Libpcap(libpcap::LibpcapError::Failed {
                interface: interfaces.join(", "),
                what: "XDP is of Linux only; use --capture libpcap".to_owned(),
            }));
        }
        Self::by_libpcap(interfaces)
    }

    #[cfg(target_os = "linux")]
    fn by_xdp(interfaces: &[String]) -> Result<Self, xdp::XdpError> {
        // A wrong name is said before anything is loaded.
        for interface in interfaces {
            xdp::interface_index(interface)?;
        }
        let capture = xdp::Xdp::start(&xdp::Settings::on(interfaces))?;
        let attached = capture.attached();
        let seen = attached.iter().map(|attached| Seen {
            interface: attached.interface.clone(),
            ingress: attached.ingress.name().to_owned(),
            egress: attached.egress.name().to_owned(),
        });
        let notes = attached.iter().map(|attached| {
            format!(
                "{}: arriving packets by {}, leaving packets by {}",
                attached.interface, attached.ingress, attached.egress
            )
        });
        Ok(Self {
            interfaces: seen.collect(),
            notes: notes.collect(),
            kind: Kind::Xdp(Box::new(capture)),
        })
    }

    fn by_libpcap(interfaces: &[String]) -> Result<Self, CaptureError> {
        let capture = libpcap::Libpcap::open(&libpcap::Settings::on(interfaces))?;
        let seen = interfaces.iter().map(|interface| Seen {
            interface: interface.clone(),
            ingress: "libpcap".to_owned(),
            egress: "libpcap".to_owned(),
        });
        Ok(Self {
            interfaces: seen.collect(),
            notes: vec![format!("{}: by libpcap", interfaces.join(", "))],
            kind: Kind::Libpcap(Box::new(capture)),
        })
    }

    /// A handle that ends the capture.
    pub fn stop_handle(&self) -> Stop {
        match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Xdp(capture) => capture.stop_handle(),
            Kind::Libpcap(capture) => capture.stop_handle(),
        }
    }

    /// How the capture does.
    fn how(&self) -> Health {
        match &self.kind {
            #[cfg(target_os = "linux")]
            Kind::Xdp(capture) => {
                let report = capture.drain_report();
                Health {
                    fill: report.fullest as f64 / f64::from(capture.flows_per_table()),
                    early: report.early,
                    drift_ns: capture.clock_drift_ns(),
                    dropped: [0, 0],
                }
            }
            Kind::Libpcap(capture) => {
                let report = capture.report();
                Health {
                    fill: f64::NAN,
                    early: 0,
                    drift_ns: 0,
                    dropped: [report.dropped_by_kernel, report.dropped_by_interface],
                }
            }
        }
    }
}

/// A capture that goes on for as long as it is let.
pub trait LiveCapture: Capture {
    /// How it does.
    fn health(&self) -> Health;
}

impl LiveCapture for Source {
    fn health(&self) -> Health {
        self.how()
    }
}

impl Capture for Source {
    fn next_epoch(&mut self, epoch: &mut Epoch) -> Result<Progress, CaptureError> {
        match &mut self.kind {
            #[cfg(target_os = "linux")]
            Kind::Xdp(capture) => capture.next_epoch(epoch),
            Kind::Libpcap(capture) => capture.next_epoch(epoch),
        }
    }
}
