//! The end before the end of the input, because somebody asked for it.

use std::io::{self, IsTerminal as _};

use super::{Fault, Setup, code};
use crate::{capture::Stop, cli::signals::told_to_stop, pipeline};

impl Setup {
    /// For commands that can use a part of their input: at the first ^C, or SIGTERM, what was read until then is taken for all
    /// there is; a second one ends the process.
    pub(in crate::cli) fn ending_when_told(mut self) -> Result<Self, Fault> {
        let stop = told_to_stop(None)?;
        if !self.quiet {
            stop.on_stop(|| {
                // Behind the progress and the terminal's `^C`.
                let line = if io::stderr().is_terminal() { "\n" } else { "" };
                eprintln!("{line}ending with what was read so far; ^C again ends at once");
            });
        }
        self.stop = Some(stop);
        Ok(self)
    }

    /// Whether the end was asked for.
    pub(in crate::cli) fn is_told_to_stop(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_asked)
    }

    /// What to say of a pass that was stopped, and the exit code.
    pub(in crate::cli) fn interrupted(&self, pass: &pipeline::Pass) -> u8 {
        if !pass.stopped {
            return 0;
        }
        self.note(&format!("warning: {}", pass.interruption()));
        code::INTERRUPTED
    }
}
