//! `sinks test`: whether everyone who is to be told can be told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    args::SinksTest,
    fault::{Fault, code},
    live::outlets,
    setup::{Flags, Setup, output},
};
use crate::{
    config::Format,
    sink::{
        alert::{self, Alert},
        escape,
        message::Message,
        notify::sensor,
        outlet::{DeliveryError, OutletSpec},
    },
    time,
};

/// What became of the test alert at one sink.
struct Outcome {
    /// Which.
    sink: String,
    /// Whether the receiver has it; nothing where the sink takes no alerts.
    delivered: Option<bool>,
    /// What the receiver said, or what went wrong.
    said: String,
    /// How long it took.
    took: Duration,
}

/// Sends a test alert to every sink that is configured.
pub(super) fn test(args: &SinksTest) -> Result<u8, Fault> {
    let setup = Setup::of_sensor(&args.common, &Flags::default().format(args.printed.format))?;
    let mut specs = outlets::configured(&setup)?;
    if let Some(name) = &args.sink {
        specs.retain(|spec| spec.name == name.as_str() || spec.folder == *name);
    }
    if specs.is_empty() {
        return Err(Fault::new(
            code::CONFIG,
            match &args.sink {
                Some(name) => format!("no sink `{name}` is configured; `anomaly-detect config dump` shows what is"),
                None => "no sink is configured; try for example --set webhook.targets=json=https://example.org/hook (docs/notify.md)".to_owned(),
            },
        ));
    }
    let alert = Arc::new(made_up(&sensor(), time::now()));
    let mut out = output(&args.printed.output.path)?;
    let mut failed = false;
    for spec in specs {
        let outcome = ask(spec, &alert);
        failed |= outcome.delivered == Some(false);
        match setup.config.output.format {
            Format::Json => writeln!(
                out,
                "{}",
                json!({
                    "sink": outcome.sink,
                    "delivered": outcome.delivered,
                    "said": outcome.said,
                    "seconds": (outcome.took.as_secs_f64() * 1e3).round() / 1e3,
                })
            )?,
            _ => writeln!(out, "{}", words(&outcome))?,
        }
        out.flush()?;
    }
    Ok(if failed { code::FAILED } else { 0 })
}

/// `webhook slack hooks.slack.com: delivered in 132 ms: 200 OK: ok`.
fn words(outcome: &Outcome) -> String {
    let took = time::words(outcome.took.as_secs_f64());
    let verdict = match outcome.delivered {
        None => "takes no alerts".to_owned(),
        Some(true) => format!("delivered in {took}"),
        Some(false) => format!("NOT delivered after {took}"),
    };
    let said = match outcome.said.as_str() {
        "" => String::new(),
        said => format!(": {said}"),
    };
    escape::terminal(&format!("{}: {verdict}{said}", outcome.sink)).replace('\n', " ")
}

/// One try, without a spool: who is asked here wants to know now.
fn ask(mut spec: OutletSpec, alert: &Arc<Alert>) -> Outcome {
    let mut parcels = Vec::new();
    if spec.wants.alerts {
        spec.encode
            .encode(&Message::Alert(Arc::clone(alert)), &mut parcels);
        spec.encode.finish(&mut parcels);
    }
    let begun = Instant::now();
    let mut outcome = Outcome {
        sink: format!("{} {}", spec.name, spec.target),
        delivered: None,
        said: String::new(),
        took: Duration::ZERO,
    };
    if parcels.is_empty() {
        return outcome;
    }
    spec.deliver.stopping();
    let mut left = parcels.as_slice();
    let result = loop {
        let (taken, result) = spec
            .deliver
            .deliver(&left[..left.len().min(spec.batch.max(1))]);
        left = &left[taken.min(left.len())..];
        if left.is_empty() || result.is_err() || taken == 0 {
            break result;
        }
    };
    spec.deliver.finish();
    outcome.took = begun.elapsed();
    outcome.delivered = Some(left.is_empty() && result.is_ok());
    outcome.said = match result {
        Ok(()) => spec.deliver.said(),
        Err(DeliveryError::Later {
            why,
            after: Some(after),
        }) => {
            format!(
                "{why} (asks to be left alone for {})",
                time::words(after.as_secs_f64())
            )
        }
        Err(error) => error.to_string(),
    };
    outcome
}

/// An alert that no filter holds back, and that says what it is.
fn made_up(sensor: &str, now: u64) -> Alert {
    Alert {
        kind: "test".to_owned(),
        sentence: format!(
            "this is a test by `anomaly-detect sinks test` on {sensor}: nothing happened, and nothing need be done"
        ),
        first_ns: now.saturating_sub(60_000_000_000),
        last_ns: now,
        ..alert::example(now)
    }
}
