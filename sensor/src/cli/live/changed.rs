//! What a watch changes on the machine: privileges taken for the beginning and given up after it, offloads switched off until the end.

use std::path::Path;

use crate::{
    cli::{
        doctor::{Fixed, HeldSignals},
        fault::Fault,
        privilege,
        setup::Setup,
    },
    pipeline::Source,
};

/// Takes the privileges that there are.
pub(super) fn take_privileges() {
    privilege::raise();
}

/// Dropping this puts back what was switched.
pub(super) struct Changed {
    fixed: Option<Fixed>,
    /// Until signals are waited for, so that none ends the process with an interface changed.
    held: Option<HeldSignals>,
}

impl Changed {
    /// With `fix`, switches off what hides packets.
    pub(super) fn make(setup: &Setup, fix: bool) -> Result<Self, Fault> {
        let held = fix.then(HeldSignals::hold).transpose()?;
        let fixed = fix.then(|| {
            let (fixed, notes) = Fixed::apply(&setup.config.capture.all_interfaces());
            for note in notes {
                setup.note(&note);
            }
            fixed
        });
        Ok(Self { fixed, held })
    }

    /// Gives up what the rest of the watch does not need. Before any thread begins: what a thread is allowed is its own.
    pub(super) fn give_up_privileges(
        &self,
        setup: &Setup,
        user: Option<&str>,
        folder: Option<&Path>,
        source: &Source,
    ) -> Result<(), Fault> {
        let switched = self.fixed.as_ref().is_some_and(|fixed| !fixed.is_empty());
        let has_filters = source
            .interfaces
            .iter()
            .any(|seen| seen.egress == "tc_clsact");
        let given_up = privilege::give_up(privilege::Needs {
            user,
            folder,
            restores: switched || has_filters,
        })?;
        if let Some(note) = given_up {
            setup.note(&note);
        }
        Ok(())
    }

    /// Somebody waits for signals now.
    pub(super) fn hear_signals(&mut self) {
        self.held = None;
    }
}
