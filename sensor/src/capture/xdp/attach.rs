//! Attaching the programs to interfaces, and saying how.

use std::{ffi::CString, fmt, io, path::Path};

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode, tc,
        tc::{NlOptions, TcAttachOptions},
    },
};
use sensor_ebpf::maps::{PROGRAM_EGRESS, PROGRAM_INGRESS};

use super::XdpError;

/// How a program hangs on a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// XDP in the driver.
    Native,
    /// XDP in the stack, with the reason why the driver did not do it.
    Generic(String),
    /// TC by a TCX link (Linux 6.6).
    Tcx,
    /// TC by a filter on the clsact qdisc, with the reason why TCX was not to be had. The only mode that leaves
    /// something behind when the agent is killed: a filter, which the next start replaces.
    Clsact(String),
}

impl Mode {
    /// The name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Native => "xdp_native",
            Self::Generic(_) => "xdp_generic",
            Self::Tcx => "tcx",
            Self::Clsact(_) => "tc_clsact",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native XDP"),
            Self::Generic(reason) => write!(f, "generic XDP ({reason})"),
            Self::Tcx => f.write_str("TCX"),
            Self::Clsact(reason) => write!(f, "TC clsact ({reason})"),
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

/// Index of an interface, or an error that names those that exist.
pub fn interface_index(name: &str) -> Result<u32, XdpError> {
    let index = CString::new(name).map_or(0, |name| {
        // SAFETY: a string with a final zero.
        unsafe { libc::if_nametoindex(name.as_ptr()) }
    });
    if index != 0 {
        return Ok(index);
    }
    let mut known: Vec<String> = Path::new("/sys/class/net")
        .read_dir()
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default();
    known.sort();
    Err(XdpError::NoInterface {
        name: name.to_owned(),
        known: known.join(", "),
    })
}

/// Attaches both programs to `interface`. Nobody else's program is replaced.
pub(super) fn attach(object: &mut Ebpf, interface: &str) -> Result<Attached, XdpError> {
    let index = interface_index(interface)?;
    let ingress = attach_ingress(object, interface, index)?;
    let egress = attach_egress(object, interface)?;
    Ok(Attached {
        interface: interface.to_owned(),
        index,
        ingress,
        egress,
    })
}

fn attach_ingress(object: &mut Ebpf, interface: &str, index: u32) -> Result<Mode, XdpError> {
    let program: &mut Xdp = program(object, PROGRAM_INGRESS)?;
    let Err(native) = program.attach_to_if_index(index, XdpMode::Driver) else {
        return Ok(Mode::Native);
    };
    if errno(&native) == Some(libc::EBUSY) {
        return Err(XdpError::Occupied {
            interface: interface.to_owned(),
        });
    }
    match program.attach_to_if_index(index, XdpMode::Skb) {
        Ok(_) => Ok(Mode::Generic(reason(&native))),
        Err(error) if matches!(errno(&error), Some(libc::EBUSY | libc::EEXIST)) => {
            Err(XdpError::Occupied {
                interface: interface.to_owned(),
            })
        }
        Err(error) => Err(XdpError::Attach {
            interface: interface.to_owned(),
            hook: "XDP",
            error: Box::new(error),
        }),
    }
}

fn attach_egress(object: &mut Ebpf, interface: &str) -> Result<Mode, XdpError> {
    let program: &mut SchedClassifier = program(object, PROGRAM_EGRESS)?;
    let order = TcAttachOptions::TcxOrder(LinkOrder::default());
    let Err(tcx) = program.attach_with_options(interface, TcAttachType::Egress, order) else {
        return Ok(Mode::Tcx);
    };
    // Succeeds or says that it is there already; either way the attempt that follows tells.
    let _ = tc::qdisc_add_clsact(interface);
    program
        .attach_with_options(
            interface,
            TcAttachType::Egress,
            TcAttachOptions::Netlink(NlOptions::default()),
        )
        .map(|_| Mode::Clsact(reason(&tcx)))
        .map_err(|error| XdpError::Attach {
            interface: interface.to_owned(),
            hook: "TC",
            error: Box::new(error),
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

fn errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

fn reason(error: &ProgramError) -> String {
    match errno(error) {
        Some(libc::EOPNOTSUPP) => "the driver has none".to_owned(),
        Some(code) => io::Error::from_raw_os_error(code).to_string(),
        None => error.to_string(),
    }
}
