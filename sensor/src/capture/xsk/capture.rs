//! The kernel programs together with the sockets of taps: one source of epochs.

use std::io;

use sensor_ebpf::{
    flow::{FlowKey, epoch_of},
    maps::Ledger,
};

use super::{Binding, Handed, Losses, Settings, Tap, Unbound, balance::Balance};
use crate::capture::{
    Capture, CaptureError, CopyCounts, Epoch, Progress, Record, Stop,
    link::LinkType,
    sort,
    xdp::{Attached, DrainReport, Mode, Xdp, XdpError, clock, interface_index, merge, traits_of},
};

/// A live capture by the kernel programs, of which those on taps hand packets over to AF_XDP where that can be had.
pub struct AfXdp {
    /// Dropped first: the programs go before the sockets.
    xdp: Xdp,
    taps: Vec<Tap>,
    bound: Vec<Bound>,
    /// Tells the workers that the programs are gone.
    detached: Stop,
    losses: Losses,
    balance: Balance,
    report: DrainReport,
    /// Where the packets of all epochs went.
    totals: Ledger,
}

/// What became of the wish for sockets on a tap.
#[derive(Debug)]
pub struct Bound {
    /// The interface.
    pub interface: String,
    /// How its sockets are bound, one for each receive queue; or why the kernel counts in their stead.
    pub binding: Result<Binding, Unbound>,
    /// Receive queues.
    pub queues: u32,
}

/// What an interface's driver offers to AF_XDP, as far as it says (netdev netlink family, Linux 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Receive queues: sockets, and workers.
    pub queues: u32,
    /// Whether the driver runs XDP programs itself.
    pub native: bool,
    /// Whether it writes to a socket's memory.
    pub zero_copy: bool,
}

/// Asks what an interface offers.
///
/// # Errors
/// No such interface, or a kernel that does not tell.
pub fn offered(interface: &str) -> io::Result<Offered> {
    let index = interface_index(interface).map_err(io::Error::other)?;
    let traits = traits_of(interface)?;
    let features = xdp::nic::NicIndex::new(index)
        .query_capabilities()?
        .xdp_features;
    Ok(Offered {
        queues: traits.queues,
        native: features.redirect(),
        zero_copy: features.zero_copy(),
    })
}

impl Bound {
    /// The ways that were tried, best first, with the reason why each was passed over, `None` for the one in use.
    pub fn ways(&self) -> Vec<(&'static str, Option<String>)> {
        let zero_copy = |reason: String| ("af_xdp_zero_copy", Some(reason));
        match &self.binding {
            Ok(Binding::ZeroCopy) => vec![("af_xdp_zero_copy", None)],
            Ok(Binding::Copy(reason)) => vec![zero_copy(reason.clone()), ("af_xdp_copy", None)],
            Err(unbound) => vec![
                zero_copy(unbound.reason()),
                ("af_xdp_copy", Some(unbound.reason())),
            ],
        }
    }
}

impl AfXdp {
    /// Opens sockets for the taps of a capture that has begun; without `settings`, none. A tap that cannot have any is counted in the
    /// kernel.
    ///
    /// # Errors
    /// A failing system call other than those that make a socket.
    pub fn start(xdp: Xdp, settings: Option<&Settings>) -> Result<Self, XdpError> {
        let mut this = Self {
            xdp,
            taps: Vec::new(),
            bound: Vec::new(),
            detached: Stop::default(),
            losses: Losses::default(),
            balance: Balance::default(),
            report: DrainReport::default(),
            totals: Ledger::default(),
        };
        if let Some(settings) = settings {
            let taps: Vec<_> = this
                .xdp
                .attached()
                .iter()
                .filter(|attached| attached.egress == Mode::Tap)
                .cloned()
                .collect();
            for tap in taps {
                this.open(tap, settings)?;
            }
        }
        Ok(this)
    }

    fn open(&mut self, tap: Attached, settings: &Settings) -> Result<(), XdpError> {
        let Attached {
            interface,
            index,
            ingress,
            ..
        } = tap;
        let failed = |what: &'static str| move |source| XdpError::System { what, source };
        let traits = traits_of(&interface).map_err(failed("ask a tap for its queues"))?;
        let opened = match ingress {
            Mode::Native | Mode::Generic(_) => {
                Tap::open(index, traits.queues, traits.longest_frame, settings)
            }
            _ => Err(Unbound::without_xdp()),
        };
        let binding = match opened {
            Ok(mut tap) => {
                self.xdp.hand_over(index, &tap.sockets())?;
                let offset = self.xdp.clock_offset();
                tap.start(index, offset, settings, &self.detached)
                    .map_err(failed("start the worker of a tap"))?;
                log::info!("{interface}: {} ({} queues)", tap.binding, traits.queues);
                let binding = tap.binding.clone();
                self.taps.push(tap);
                Ok(binding)
            }
            Err(unbound) => {
                log::warn!("{interface}: no AF_XDP, counted in the kernel: {unbound}");
                Err(unbound)
            }
        };
        self.bound.push(Bound {
            interface,
            binding,
            queues: traits.queues,
        });
        Ok(())
    }

    /// Refuses to go on where a tap is without sockets.
    ///
    /// # Errors
    /// [`XdpError::NoSockets`] names the first.
    pub fn demand(&self) -> Result<(), XdpError> {
        let without = self
            .bound
            .iter()
            .find_map(|bound| Some((bound, bound.binding.as_ref().err()?)));
        match without {
            None => Ok(()),
            Some((bound, unbound)) => Err(XdpError::NoSockets {
                interface: bound.interface.clone(),
                why: unbound.to_string(),
            }),
        }
    }

    /// What became of each tap.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// The kernel side.
    pub fn kernel(&self) -> &Xdp {
        &self.xdp
    }

    /// The kernel side, for what changes it.
    pub fn kernel_mut(&mut self) -> &mut Xdp {
        &mut self.xdp
    }

    /// Has the next `packets` of a flow copied, wherever they come by: in the kernel, and at each queue of a tap. `false` if a list is
    /// full.
    pub fn watch(&mut self, key: &FlowKey, packets: u32) -> bool {
        let in_kernel = self.xdp.watch(key, packets).is_ok();
        let at_taps = self.taps.iter().all(|tap| tap.watch(key, packets));
        if !in_kernel || !at_taps {
            self.unwatch(key);
        }
        in_kernel && at_taps
    }

    /// Has no more packets of a flow copied.
    pub fn unwatch(&mut self, key: &FlowKey) {
        self.xdp.unwatch(key);
        for tap in &self.taps {
            tap.unwatch(key);
        }
    }

    /// Hands on the packets copied since the last call, of the kernel's and of each queue in the order in which they were made; how many
    /// there were since the start.
    pub fn copies(&mut self, each: &mut dyn FnMut(&Record<'_>)) -> CopyCounts {
        self.xdp.copies(&mut |copied| {
            each(&Record {
                time: copied.time,
                link: LinkType::ETHERNET,
                wire_length: copied.frame_length,
                frame: copied.bytes,
            });
        });
        // Once the programs are detached there is nobody to ask, and nothing new.
        let made = self.xdp.copies_made().unwrap_or_default();
        let mut counts = CopyCounts {
            copied: made.copied,
            lost: made.lost,
        };
        for tap in &self.taps {
            counts.add(&tap.copies(each));
        }
        counts
    }

    /// A handle that ends this capture.
    pub fn stop_handle(&self) -> Stop {
        self.xdp.stop_handle()
    }

    /// How the last epoch went, sockets included.
    pub fn report(&self) -> DrainReport {
        self.report
    }

    /// Packets of the last epoch that are neither out of a socket nor in one of its counters: 0, or a defect.
    pub fn unaccounted(&self) -> i64 {
        self.report.unaccounted - self.xdp.drain_report().unaccounted
    }

    /// Packets that sockets lost so far.
    pub fn losses(&self) -> Losses {
        self.losses
    }

    /// Where the packets of all epochs went.
    pub fn totals(&self) -> Ledger {
        self.totals
    }

    /// Adds the sockets' part to an epoch of the kernel's.
    fn add_sockets(&mut self, epoch: &mut Epoch) -> io::Result<()> {
        let before = epoch.flows.len();
        let mut handed = Handed::default();
        for tap in &mut self.taps {
            handed.add(&tap.merge(epoch)?);
        }
        if handed.parts > 1 || (before > 0 && handed.parts > 0) {
            merge(&mut epoch.flows);
        }
        if handed.parts > 0 {
            sort(&mut epoch.flows);
        }
        let arrived = handed.received + handed.losses.sum();
        let now = epoch_of(clock::now(self.xdp.clock_offset()));
        let is_in_time = self.xdp.is_detached() || now < epoch.index + 2;
        let handed_over = epoch.ledger.handed_over;
        self.report.unaccounted += self.balance.add(handed_over, arrived, is_in_time);
        self.losses.add(&handed.losses);
        // The workers' ledgers are in the sum, and say of each packet where it went. What is left of those handed over is what was
        // lost on the way.
        let ledger = &mut epoch.ledger;
        ledger.seen = (ledger.seen + handed.losses.sum()).saturating_sub(ledger.handed_over);
        ledger.handed_over = handed.losses.sum();
        Ok(())
    }
}

impl Capture for AfXdp {
    fn next_epoch(&mut self, epoch: &mut Epoch) -> Result<Progress, CaptureError> {
        if self.xdp.next_epoch(epoch)? == Progress::End {
            return Ok(Progress::End);
        }
        self.report = self.xdp.drain_report();
        if self.taps.is_empty() {
            self.totals.add(&epoch.ledger);
            return Ok(Progress::Epoch);
        }
        if self.xdp.is_detached() {
            self.detached.stop();
        }
        let failed = |source| XdpError::System {
            what: "receive from a tap's socket",
            source,
        };
        self.add_sockets(epoch).map_err(failed)?;
        if self.xdp.is_last(epoch.index) {
            self.report.unaccounted += self.balance.close();
        }
        self.totals.add(&epoch.ledger);
        Ok(Progress::Epoch)
    }
}

impl Drop for AfXdp {
    fn drop(&mut self) {
        // The workers end within one wait.
        self.detached.stop();
    }
}
