//! `doctor`: can this machine do what the sensor needs? A line for each thing, and what to do about what is missing.

#[cfg(target_os = "linux")]
mod ethtool;
#[cfg(target_os = "linux")]
mod fix;
#[cfg(target_os = "linux")]
mod hooks;
mod machine;
#[cfg_attr(not(target_os = "linux"), path = "network_other.rs")]
mod network;
mod own;

use std::io::Write;

use serde_json::{Value, json};

#[cfg(target_os = "linux")]
pub(super) use self::fix::{Fixed, HeldSignals};
use super::{
    args::Doctor,
    fault::{Fault, code},
    setup::{Flags, Setup, output, style},
};
use crate::{
    config::Format,
    sink::table::{Align, Table},
};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// Something is missing that not every use needs.
    Limited,
    /// What was asked for cannot work.
    Bad,
}

/// One line.
#[derive(Debug)]
struct Check {
    name: String,
    state: State,
    finding: String,
    /// What to do about it; nothing for what is good.
    fix: Option<String>,
}

impl Check {
    fn good(name: &str, finding: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            state: State::Good,
            finding: finding.into(),
            fix: None,
        }
    }

    fn limited(name: &str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            state: State::Limited,
            fix: Some(fix.into()),
            ..Self::good(name, finding)
        }
    }

    fn bad(name: &str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            state: State::Bad,
            ..Self::limited(name, finding, fix)
        }
    }
}

pub(super) fn run(args: &Doctor) -> Result<u8, Fault> {
    let format = if args.json {
        Some(Format::Json)
    } else {
        args.printed.format
    };
    let setup = Setup::new(&args.common, &Flags::default().format(format))?;
    let configured = setup.config.capture.all_interfaces();
    let wanted = if args.interfaces.is_empty() {
        &configured
    } else {
        &args.interfaces
    };
    // A signal that comes while something is switched off ends this when it has been put back.
    #[cfg(target_os = "linux")]
    let held = args.fix.then(HeldSignals::hold).transpose()?;
    #[cfg(target_os = "linux")]
    let fixed = args.fix.then(|| {
        let (fixed, notes) = Fixed::apply(wanted);
        for note in notes {
            setup.note(&note);
        }
        fixed
    });
    let mut checks = machine::checks();
    checks.extend(network::checks(wanted));
    checks.extend(own::checks(&setup));
    #[cfg(target_os = "linux")]
    drop(fixed);
    #[cfg(target_os = "linux")]
    drop(held);
    let worst_is_bad = checks.iter().any(|check| check.state == State::Bad);
    tell(args, setup.config.output.format, &checks)?;
    Ok(if worst_is_bad { code::FAILED } else { 0 })
}

fn tell(args: &Doctor, format: Format, checks: &[Check]) -> Result<(), Fault> {
    let mut out = output(&args.printed.output.path)?;
    let word = |state| match state {
        State::Good => "ok",
        State::Limited => "limited",
        State::Bad => "failed",
    };
    if format == Format::Json {
        let all: Vec<Value> = checks
            .iter()
            .map(|check| {
                json!({
                    "check": check.name, "state": word(check.state),
                    "finding": check.finding, "fix": check.fix,
                })
            })
            .collect();
        writeln!(out, "{:#}", Value::from(all))?;
    } else {
        let mut table = Table::new(&[
            ("state", Align::Left),
            ("check", Align::Left),
            ("finding", Align::Left),
            ("what to do", Align::Left),
        ]);
        for check in checks {
            table.row([
                word(check.state).to_owned(),
                check.name.clone(),
                check.finding.clone(),
                check.fix.clone().unwrap_or_default(),
            ]);
        }
        table.write(&mut out, "", style(&args.printed.output.path))?;
    }
    out.flush()?;
    Ok(())
}
