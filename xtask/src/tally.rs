//! Counts what `cargo test` ran, from what it prints.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use crate::process::{Failure, typed};

/// Tests by result, over several runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Passed.
    pub(crate) passed: u64,
    /// Failed.
    pub(crate) failed: u64,
    /// Not run because they are marked so.
    pub(crate) ignored: u64,
}

impl Tally {
    /// Reads libtest's closing line: `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
    fn parse(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        let count = |what: &str| {
            let count = counts
                .split("; ")
                .find_map(|part| part.strip_suffix(what))?;
            count.trim().parse().ok()
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            ignored: count("ignored")?,
        })
    }

    /// The sum in the same format, for whoever reads the last line by machine.
    pub(crate) fn line(&self, ok: bool, time: Duration) -> String {
        let Self {
            passed,
            failed,
            ignored,
        } = self;
        let verdict = if ok { "ok" } else { "FAILED" };
        format!(
            "test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out; finished in {:.2}s",
            time.as_secs_f64()
        )
    }
}

/// Runs `cargo test`, passes its output on with the per-target results indented (so that the last line of the whole
/// run is the only sum), and adds to `tally`. Returns how many ran.
pub(crate) fn run_tests(command: &mut Command, tally: &mut Tally) -> Result<u64, Failure> {
    let start = |source| Failure::Start {
        program: "cargo".to_owned(),
        source,
    };
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(start)?;
    let mut ran = 0;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(start)?;
            let line = String::from_utf8_lossy(&line);
            let Some(part) = Tally::parse(&line) else {
                println!("{line}");
                continue;
            };
            println!("  {}", line.trim_start_matches("test result: "));
            ran += part.passed + part.failed;
            tally.passed += part.passed;
            tally.failed += part.failed;
            tally.ignored += part.ignored;
        }
    }
    let status = child.wait().map_err(start)?;
    if status.success() {
        Ok(ran)
    } else {
        Err(Failure::Exit {
            command: typed(command),
            status,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_cargo_prints() {
        let line = "test result: FAILED. 31 passed; 2 failed; 4 ignored; 0 measured; 7 filtered out; finished in 0.52s";
        assert_eq!(
            Tally::parse(line),
            Some(Tally {
                passed: 31,
                failed: 2,
                ignored: 4
            })
        );
        assert_eq!(Tally::parse("test capture::replay ... ok"), None);
    }

    #[test]
    fn its_own_line_reads_back() {
        let tally = Tally {
            passed: 5,
            failed: 0,
            ignored: 3,
        };
        assert_eq!(
            Tally::parse(&tally.line(true, Duration::from_millis(1200))),
            Some(tally)
        );
    }
}
