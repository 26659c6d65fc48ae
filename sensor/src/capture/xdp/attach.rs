//! Attaching the programs to interfaces, and saying how.

use std::{
    fmt, io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use aya::{
    Ebpf,
    programs::{
        ProgramError, ProgramFd, SchedClassifier, TcAttachType, Xdp, tc,
        tc::{NlOptions, TcAttachOptions},
    },
};
use sensor_ebpf::maps::{PROGRAM_EGRESS, PROGRAM_INGRESS, PROGRAM_TAP};

use super::{
    Settings, XdpError,
    bpf::{self, LinkTo},
    error::is_denial,
    interface,
};

/// How a program hangs on a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// XDP in the driver.
    Native,
    /// XDP in the stack, with the reason why the driver did not do it.
    Generic(String),
    /// TC by a TCX link (Linux 6.6).
    Tcx,
    /// TC by a TCX link where packets arrive, because XDP was not to be had. On a tap they go on into the stack.
    TcxIngress {
        /// Why not in the driver.
        native: String,
        /// Why not in the stack.
        generic: String,
    },
    /// TC by a filter on the clsact qdisc, with the reason why TCX was not to be had. The only mode that leaves
    /// something behind when the agent is killed: a filter, which the next start replaces.
    Clsact(String),
    /// Not at all, on a loopback interface: what leaves it arrives on it, and would be counted twice.
    Loopback,
    /// Not at all, on a tap: nothing is sent there, and the interface is not to be sent to.
    Tap,
}

/// What an interface is to the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A host's or a router's own: packets go their way.
    Host,
    /// A mirror port: its packets are other people's, and never reach the stack.
    Tap,
}

impl Mode {
    /// The name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Native => "xdp_native",
            Self::Generic(_) => "xdp_generic",
            Self::Tcx | Self::TcxIngress { .. } => "tcx",
            Self::Clsact(_) => "tc_clsact",
            Self::Loopback | Self::Tap => "none",
        }
    }
}

impl Mode {
    /// The ways for packets that arrive that were tried, best first, with the reason why each but the last was passed over.
    pub fn ways(&self) -> Vec<(&'static str, Option<String>)> {
        let native = |reason: &String| ("xdp_native", Some(reason.clone()));
        match self {
            Self::Generic(reason) => vec![native(reason), (self.name(), None)],
            Self::TcxIngress {
                native: reason,
                generic,
            } => vec![
                native(reason),
                ("xdp_generic", Some(generic.clone())),
                (self.name(), None),
            ],
            Self::Native | Self::Tcx | Self::Clsact(_) | Self::Loopback | Self::Tap => {
                vec![(self.name(), None)]
            }
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native XDP"),
            Self::Generic(reason) => write!(f, "generic XDP ({reason})"),
            Self::Tcx => f.write_str("TCX"),
            Self::TcxIngress { native, generic } => {
                write!(f, "TCX (native XDP: {native}; generic XDP: {generic})")
            }
            Self::Clsact(reason) => write!(f, "TC clsact ({reason})"),
            Self::Tap => f.write_str("nothing (it is a tap)"),
            Self::Loopback => f.write_str("nothing (what leaves a loopback arrives on it)"),
        }
    }
}

/// An interface with both programs attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its name.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// How packets are seen that arrive.
    pub ingress: Mode,
    /// How packets are seen that leave.
    pub egress: Mode,
}

/// Attaches both programs to the interface called `name`, of a tap the one for ingress. Nobody else's program is replaced.
pub(super) fn attach(
    object: &mut Ebpf,
    name: &str,
    role: Role,
    settings: &Settings,
    links: &mut Vec<OwnedFd>,
) -> Result<Attached, XdpError> {
    let index = interface::interface_index(name)?;
    let hardware = interface::hardware(name).map_err(|source| XdpError::System {
        what: "ask an interface for its link type",
        source,
    })?;
    if !hardware.is_ethernet() {
        return Err(XdpError::NotEthernet {
            name: name.to_owned(),
            kind: hardware.kind,
        });
    }
    let program = match role {
        Role::Host => PROGRAM_INGRESS,
        Role::Tap => PROGRAM_TAP,
    };
    let ingress = match attach_ingress(object, name, index, program, links)? {
        Tried::Attached(mode) => mode,
        Tried::Refused { native, generic } => {
            attach_tcx_ingress(object, name, index, settings, links, &native, generic)?
        }
    };
    let egress = if role == Role::Tap {
        Mode::Tap
    } else if hardware.is_loopback() {
        Mode::Loopback
    } else {
        attach_egress(object, name, index, settings.clsact, links)?
    };
    Ok(Attached {
        interface: name.to_owned(),
        index,
        ingress,
        egress,
    })
}

/// What came of the two ways to have XDP.
enum Tried {
    Attached(Mode),
    Refused {
        native: io::Error,
        generic: io::Error,
    },
}

fn attach_ingress(
    object: &mut Ebpf,
    name: &str,
    index: u32,
    called: &'static str,
    links: &mut Vec<OwnedFd>,
) -> Result<Tried, XdpError> {
    let program: &mut Xdp = program(object, called)?;
    let program = loaded(program.fd())?;
    let native = match bpf::link(program, index, LinkTo::XdpNative) {
        Ok(link) => {
            links.push(link);
            return Ok(Tried::Attached(Mode::Native));
        }
        Err(error) => error,
    };
    log::info!("{name}: no native XDP: {native}");
    // Also where a program hangs on the generic hook (EEXIST): then the next call says EBUSY.
    match bpf::link(program, index, LinkTo::XdpGeneric) {
        Ok(link) => {
            links.push(link);
            Ok(Tried::Attached(Mode::Generic(reason(&native))))
        }
        Err(generic) => Ok(Tried::Refused { native, generic }),
    }
}

/// Where XDP is not to be had, the program of the TC hook counts what arrives, if that was asked for.
fn attach_tcx_ingress(
    object: &mut Ebpf,
    name: &str,
    index: u32,
    settings: &Settings,
    links: &mut Vec<OwnedFd>,
    native: &io::Error,
    generic: io::Error,
) -> Result<Mode, XdpError> {
    log::info!("{name}: no generic XDP: {generic}");
    if settings.instead_tcx && !is_denial(&generic) {
        let program: &mut SchedClassifier = program(object, PROGRAM_EGRESS)?;
        match bpf::link(loaded(program.fd())?, index, LinkTo::TcxIngress) {
            Ok(link) => {
                links.push(link);
                return Ok(Mode::TcxIngress {
                    native: reason(native),
                    generic: reason(&generic),
                });
            }
            Err(error) => log::info!("{name}: no TCX on ingress: {error}"),
        }
    }
    let occupied = [native, &generic]
        .iter()
        .any(|error| matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST)));
    Err(if occupied {
        XdpError::Occupied {
            interface: name.to_owned(),
        }
    } else if is_denial(&generic) {
        XdpError::Permission
    } else {
        XdpError::Attach {
            interface: name.to_owned(),
            hook: "XDP",
            error: Box::new(generic),
        }
    })
}

fn attach_egress(
    object: &mut Ebpf,
    name: &str,
    index: u32,
    clsact: bool,
    links: &mut Vec<OwnedFd>,
) -> Result<Mode, XdpError> {
    let program: &mut SchedClassifier = program(object, PROGRAM_EGRESS)?;
    // What an agent that was killed has left. One that runs loses its egress: two need TCX.
    let _ = tc::qdisc_detach_program(name, TcAttachType::Egress, PROGRAM_EGRESS);
    let why = if clsact {
        "as configured".to_owned()
    } else {
        match bpf::link(loaded(program.fd())?, index, LinkTo::TcxEgress) {
            Ok(link) => {
                links.push(link);
                return Ok(Mode::Tcx);
            }
            Err(error) if is_denial(&error) => return Err(XdpError::Permission),
            Err(error) => reason(&error),
        }
    };
    // Succeeds or says that it is there already; either way the attempt that follows tells.
    let _ = tc::qdisc_add_clsact(name);
    program
        .attach_with_options(
            name,
            TcAttachType::Egress,
            TcAttachOptions::Netlink(NlOptions::default()),
        )
        .map(|_| Mode::Clsact(why))
        .map_err(|error| XdpError::Attach {
            interface: name.to_owned(),
            hook: "TC",
            error: Box::new(error),
        })
}

fn loaded(fd: Result<&ProgramFd, ProgramError>) -> Result<BorrowedFd<'_>, XdpError> {
    fd.map(|fd| fd.as_fd()).map_err(|_| XdpError::Object {
        what: "a program is not loaded",
    })
}

/// A program of the object, by name and kind.
pub(super) fn program<'a, P>(
    object: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut P, XdpError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    object
        .program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(XdpError::Object {
            what: "a program is missing",
        })
}

/// Has the verifier look at a program. It gives up where a signal comes while it looks (EAGAIN, `do_check` in linux/kernel/bpf/verifier.c) and is asked again,
/// as often as libbpf does.
pub(super) fn load(
    name: &'static str,
    program: impl FnMut() -> Result<(), ProgramError>,
) -> Result<(), XdpError> {
    let is_interrupted = |error: &ProgramError| matches!(error, ProgramError::LoadError { io_error, .. } if io_error.raw_os_error() == Some(libc::EAGAIN));
    uninterrupted(program, is_interrupted).map_err(|error| XdpError::of_program(name, error))
}

/// Calls until it is not interrupted, five times at most.
fn uninterrupted<E>(
    mut call: impl FnMut() -> Result<(), E>,
    is_interrupted: impl Fn(&E) -> bool,
) -> Result<(), E> {
    let mut last = call();
    for _ in 1..5 {
        if !last.as_ref().is_err_and(&is_interrupted) {
            break;
        }
        last = call();
    }
    last
}

fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => "the driver has none".to_owned(),
        Some(libc::EINVAL) => "the kernel or the driver has none".to_owned(),
        Some(libc::EBUSY | libc::EEXIST) => "another program has the hook".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a call ends well that is answered so before, and how many calls there were.
    fn calls(answers: &[i32]) -> (bool, usize) {
        let mut calls = 0;
        let call = || {
            calls += 1;
            answers.get(calls - 1).map_or(Ok(()), |&answer| Err(answer))
        };
        let ended = uninterrupted(call, |answer| *answer == libc::EAGAIN);
        (ended.is_ok(), calls)
    }

    #[test]
    fn only_a_look_that_was_interrupted_is_had_again_and_not_for_ever() {
        use libc::{EAGAIN, EINVAL};
        assert_eq!(calls(&[]), (true, 1));
        assert_eq!(calls(&[EAGAIN, EAGAIN]), (true, 3));
        assert_eq!(calls(&[EINVAL]), (false, 1));
        assert_eq!(calls(&[EAGAIN, EINVAL, EAGAIN]), (false, 2));
        assert_eq!(calls(&[EAGAIN; 9]), (false, 5));
    }
}
