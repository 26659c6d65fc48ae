//! Elsewhere than on Linux a process is not pinned and not measured.

use std::{ffi::OsStr, path::Path};

use serde::Serialize;

use super::{BenchError, Sample};

#[derive(Debug, Serialize)]
pub(super) struct Machine {}

impl std::fmt::Display for Machine {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

pub(super) fn pin(_: Option<usize>) -> Result<Machine, BenchError> {
    Err(BenchError::Machine(
        "this benchmark needs Linux: it keeps to one CPU and reads wait4(2)".to_owned(),
    ))
}

pub(super) struct Job {}

impl Job {
    pub(super) fn new(_: impl AsRef<OsStr>) -> Self {
        Self {}
    }

    pub(super) fn arg(self, _: impl AsRef<OsStr>) -> Self {
        self
    }

    pub(super) fn args(self, _: &[&str]) -> Self {
        self
    }

    pub(super) fn with_empty(self, _: &Path) -> Self {
        self
    }

    pub(super) fn with_padding(self, _: usize) -> Self {
        self
    }

    pub(super) fn ends_within(&self, _: std::time::Duration) -> bool {
        false
    }

    pub(super) fn typed(&self) -> String {
        String::new()
    }

    pub(super) fn run(&self) -> Result<(Sample, String), BenchError> {
        Err(BenchError::Machine("this benchmark needs Linux".to_owned()))
    }
}
