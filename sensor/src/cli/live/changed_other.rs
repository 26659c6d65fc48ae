//! Elsewhere than on Linux a watch changes nothing on the machine.

use std::path::Path;

use crate::{
    cli::{
        fault::{Fault, code},
        setup::Setup,
    },
    pipeline::Source,
};

/// There are none to be taken.
pub(super) fn take_privileges() {}

/// Nothing to put back.
pub(super) struct Changed;

impl Changed {
    /// Nothing is changed.
    pub(super) fn make(_: &Setup, _: bool) -> Result<Self, Fault> {
        Ok(Self)
    }

    /// There is nothing to give up, and nobody to become.
    pub(super) fn give_up_privileges(
        &self,
        _: &Setup,
        user: Option<&str>,
        _: Option<&Path>,
        _: &Source,
    ) -> Result<(), Fault> {
        match user {
            None => Ok(()),
            Some(_) => Err(Fault::new(
                code::USAGE,
                "--user: becoming another user is of Linux only",
            )),
        }
    }

    /// None was held back.
    pub(super) fn hear_signals(&mut self) {}
}
