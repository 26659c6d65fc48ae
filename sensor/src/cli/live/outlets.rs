//! Every sink that is configured.

use super::senders;
use crate::{
    cli::{fault::Fault, setup::Setup},
    sink::outlet::OutletSpec,
};

/// What the configuration asks for, ready to start.
pub(in crate::cli) fn configured(setup: &Setup) -> Result<Vec<OutletSpec>, Fault> {
    senders::configured(setup)
}
