//! Offloads that hide what came over the wire, switched off for as long as somebody watches.

use std::{
    io, mem,
    sync::{Mutex, Once, PoisonError},
};

use super::ethtool::{Flag, Interface};

/// What hides packets, with the word for it.
pub(super) const HARMFUL: [(Flag, &str, &str); 2] = [
    (Flag::VlanStripping, "VLAN stripping", "rxvlan"),
    (Flag::LargeReceive, "large receive offload", "lro"),
];

/// What is switched off at the moment. Not in [`Fixed`], because a second signal ends the process from another thread.
static SWITCHED: Mutex<Vec<(String, Flag, &str)>> = Mutex::new(Vec::new());

/// Offloads that were switched off. Dropping this switches them on again, and so does any other orderly end of the process; one that is
/// killed cannot.
pub(in crate::cli) struct Fixed(());

impl Fixed {
    /// Switches off what is on and can be switched; says what it did, and what it could not do.
    pub(in crate::cli) fn apply(interfaces: &[String]) -> (Self, Vec<String>) {
        static AT_EXIT: Once = Once::new();
        AT_EXIT.call_once(|| {
            // SAFETY: a function that takes nothing, does not unwind, and is there until the end. That there is no room for it is no
            // reason not to go on: it is for the second signal only.
            let _ = unsafe { libc::atexit(restore_at_exit) };
        });
        let mut notes = Vec::new();
        for name in interfaces {
            let Ok(interface) = Interface::open(name) else {
                continue;
            };
            for (flag, word, _) in HARMFUL {
                if !interface.is_on(flag).unwrap_or(false) {
                    continue;
                }
                match interface.switch(flag, false) {
                    Ok(()) => {
                        notes.push(format!("{name}: {word} switched off until the end"));
                        let mut switched = SWITCHED.lock().unwrap_or_else(PoisonError::into_inner);
                        switched.push((name.clone(), flag, word));
                    }
                    Err(error) => notes.push(format!("{name}: {word} stays on: {error}")),
                }
            }
        }
        (Self(()), notes)
    }

    /// Whether there is something to put back.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        let switched = SWITCHED.lock().unwrap_or_else(PoisonError::into_inner);
        switched.is_empty()
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        restore();
    }
}

extern "C" fn restore_at_exit() {
    restore();
}

fn restore() {
    let switched = mem::take(&mut *SWITCHED.lock().unwrap_or_else(PoisonError::into_inner));
    for (name, flag, word) in switched.into_iter().rev() {
        let restored = Interface::open(&name).and_then(|interface| interface.switch(flag, true));
        if let Err(error) = restored {
            eprintln!("warning: {name}: {word} could not be switched on again: {error}");
        }
    }
}

/// Keeps SIGINT and SIGTERM back until it is dropped: for the time between a change of an interface and whoever is there to put it back
/// when a signal comes. What came meanwhile comes then. For the calling thread and those it begins.
pub(in crate::cli) struct HeldSignals(libc::sigset_t);

impl HeldSignals {
    pub(in crate::cli) fn hold() -> io::Result<Self> {
        // SAFETY: all zeroes is a set; it is made empty in the next line.
        let mut held: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: a live set, here and in the next lines.
        unsafe { libc::sigemptyset(&raw mut held) };
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // SAFETY: as above, and a signal that there is.
            unsafe { libc::sigaddset(&raw mut held, signal) };
        }
        let mut before = held;
        // SAFETY: two live sets.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const held, &raw mut before) } {
            0 => Ok(Self(before)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // SAFETY: the set that was there before, and none asked for.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}
