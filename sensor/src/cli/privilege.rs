//! Giving up what only the beginning needs: once the programs are attached and the port is taken, a sensor needs no more than
//! its files.

use std::{ffi::CString, fs, io, os::unix::fs::MetadataExt as _, path::Path};

use super::fault::{Fault, code};
use crate::capabilities;

/// Capabilities that may be kept (capabilities(7)).
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_NET_ADMIN: u32 = 12;
const CAP_BPF: u32 = 39;

/// What the rest of the run still needs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs<'a> {
    /// The user to become, by name or number.
    pub(super) user: Option<&'a str>,
    /// Where files are written.
    pub(super) folder: Option<&'a Path>,
    /// Whether something of an interface is put back at the end: a filter of clsact, an offload.
    pub(super) restores: bool,
}

/// Gives up all else, for the calling thread and those it begins from now on; nothing can be taken back, by this process or by
/// a program it starts. Answers what a person should know.
pub(super) fn give_up(needs: Needs<'_>) -> Result<Option<String>, Fault> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let user = match needs.user {
        Some(_) if !is_root => {
            return Err(Fault::new(
                code::NO_PERMISSION,
                "--user: only root can become another user; leave it out",
            ));
        }
        Some(name) => Some((name, find(name)?)),
        None => None,
    };
    let mut keep = 0_u64;
    if needs.restores {
        keep |= 1 << CAP_NET_ADMIN;
    }
    // Before, any use of a map wanted the capability (kernel/bpf/syscall.c, `__sys_bpf`).
    if kernel() < (5, 19) {
        keep |= 1 << CAP_BPF;
    }
    // Run by sudo in the folder of somebody else: root without this could not write there.
    let is_foreign = |folder: &Path| fs::metadata(folder).is_ok_and(|found| found.uid() != 0);
    if user.is_none() && is_root && needs.folder.is_some_and(is_foreign) {
        keep |= 1 << CAP_DAC_OVERRIDE;
    }
    let had = capabilities::permitted();
    keep &= had;
    let failed = |what: &'static str| {
        move |error: io::Error| {
            Fault::new(
                code::FAILED,
                format!("giving up privileges: {what}: {error}"),
            )
        }
    };
    capabilities::no_new_privileges().map_err(failed("no new privileges"))?;
    capabilities::bound(keep);
    if let Some((_, (uid, gid))) = user {
        // A folder just made is the user's from now on.
        if let Some(folder) = needs.folder
            && fs::read_dir(folder).is_ok_and(|mut files| files.next().is_none())
        {
            std::os::unix::fs::chown(folder, Some(uid), Some(gid))
                .map_err(failed("hand the folder over"))?;
        }
        // What is permitted outlives the change of user, to be cut down below.
        capabilities::prctl(libc::PR_SET_KEEPCAPS, 1).map_err(failed("keep capabilities"))?;
        become_user(uid, gid).map_err(failed("change the user"))?;
        capabilities::prctl(libc::PR_SET_KEEPCAPS, 0).map_err(failed("keep capabilities"))?;
    }
    capabilities::keep(keep).map_err(failed("capabilities"))?;
    if let (Some((name, _)), Some(folder)) = (user, needs.folder) {
        check_writable(folder, name)?;
    }
    let lost = is_root || had != keep;
    Ok(lost.then(|| {
        let user = user.map_or(String::new(), |(name, _)| format!("now user {name}, "));
        let kept: Vec<_> = [
            (CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
            (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
            (CAP_BPF, "CAP_BPF"),
        ]
        .into_iter()
        .filter(|(bit, _)| keep >> bit & 1 == 1)
        .map(|(_, name)| name)
        .collect();
        match kept.as_slice() {
            [] => format!("privileges given up: {user}no capability left"),
            kept => format!("privileges given up: {user}{} left", kept.join(", ")),
        }
    }))
}

/// Makes effective what is permitted: capabilities of the program's file that are given as permitted only (`setcap ...=p`),
/// so that it starts also where they are not to be had, and only what needs them fails.
pub(super) fn raise() {
    let permitted = capabilities::permitted();
    if permitted != 0 {
        // What then needs a capability that it has not says so itself.
        let _ = capabilities::keep(permitted);
    }
}

/// User and group number of a user.
fn find(name: &str) -> Result<(u32, u32), Fault> {
    let unknown = || {
        Fault::new(
            code::USAGE,
            format!("--user {name}: no such user on this machine"),
        )
    };
    let text = CString::new(name).map_err(|_| unknown())?;
    // SAFETY: a string with a final zero.
    let entry = unsafe { libc::getpwnam(text.as_ptr()) };
    // SAFETY: null, or an entry that stays until somebody asks for another user; nobody does.
    let entry = unsafe { entry.as_ref() };
    if let Some(entry) = entry {
        return Ok((entry.pw_uid, entry.pw_gid));
    }
    name.parse()
        .map(|number| (number, number))
        .map_err(|_| unknown())
}

/// Changes user and groups of all threads: the C library tells the others (nptl(7)).
fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let checked = |result: libc::c_int| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: no groups, so no pointer is followed.
    checked(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: plain numbers.
    checked(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: plain numbers.
    checked(unsafe { libc::setresuid(uid, uid, uid) })
}

fn check_writable(folder: &Path, name: &str) -> Result<(), Fault> {
    let probe = folder.join(".writable");
    match fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)) {
        Ok(()) => Ok(()),
        Err(error) => Err(Fault::new(
            code::NO_PERMISSION,
            format!(
                "{}: {error} for user {name}; make it theirs: chown -R {name} {}",
                folder.display(),
                folder.display()
            ),
        )),
    }
}

/// Version of the kernel.
fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
