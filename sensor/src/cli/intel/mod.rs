//! `intel check` and `intel lookup`.

mod args;

use std::{
    hint::black_box,
    io::Write,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub(super) use self::args::IntelAction;
use self::args::{IntelCheck, IntelLookup};
use super::{
    fault::{Fault, code},
    setup::{Flags, Setup, output, style},
};
use crate::{
    config::Format,
    intel::{Event, Keeper, Limits, ListError, ListInfo, Lists, Prefix, Space},
    score::{bytes, count},
    sink::table::{Align, Style, Table, paragraph},
    time,
};

/// What lists may cost here, and which space is ours.
pub(super) fn limits(setup: &Setup) -> Limits {
    let intel = &setup.config.intel;
    let own = intel.own.iter().filter_map(|text| Prefix::parse(text));
    Limits {
        entries: intel.max_entries,
        bytes: intel.max_bytes,
        space: Space::new(own.collect(), intel.accept_reserved),
    }
}

impl From<ListError> for Fault {
    fn from(error: ListError) -> Self {
        let code = match &error {
            error if error.is_missing() => code::NO_INPUT,
            error if error.is_forbidden() => code::NO_PERMISSION,
            _ => code::FAILED,
        };
        Self::new(code, error.to_string())
    }
}

/// What the configured lists say now, for commands that read captures; one that cannot be used is said.
pub(super) fn configured(setup: &Setup) -> Arc<Lists> {
    let wanted = &setup.config.intel;
    if wanted.lists.is_empty() {
        return Arc::default();
    }
    let (keeper, events) = Keeper::open(
        &wanted.lists,
        &wanted.allow_lists,
        limits(setup),
        time::now(),
    );
    for event in &events {
        if let Event::Refused { why, .. } = event {
            setup.note(&format!("warning: threat list {why}"));
        }
    }
    keeper.current()
}

/// The lists that are meant: those named, or those of the configuration.
fn named(setup: &Setup, given: &[PathBuf]) -> Result<Vec<PathBuf>, Fault> {
    let lists = if given.is_empty() {
        setup.config.intel.lists.clone()
    } else {
        given.to_vec()
    };
    if lists.is_empty() {
        return Err(Fault::new(
            code::USAGE,
            "no list: name one, or set intel.lists in the configuration",
        ));
    }
    Ok(lists)
}

/// Opens lists that must all be usable.
fn open(setup: &Setup, lists: &[PathBuf]) -> Result<Keeper, Fault> {
    let allow = &setup.config.intel.allow_lists;
    let (keeper, events) = Keeper::open(lists, allow, limits(setup), time::now());
    for event in events {
        if let Event::Refused { why, .. } = event {
            return Err(why.into());
        }
    }
    Ok(keeper)
}

pub(super) fn run(action: &IntelAction) -> Result<u8, Fault> {
    match action {
        IntelAction::Check(args) => check(args),
        IntelAction::Lookup(args) => lookup(args),
    }
}

fn check(args: &IntelCheck) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default().format(args.printed.format))?;
    let lists = named(&setup, &args.lists)?;
    let begun = Instant::now();
    let keeper = open(&setup, &lists)?;
    let took = begun.elapsed();
    let lists = keeper.current();
    let mut out = output(&args.printed.output.path)?;
    if setup.config.output.format == Format::Json {
        writeln!(out, "{:#}", value(&lists))?;
    } else {
        table(&mut out, &lists, took, style(&args.printed.output.path))?;
    }
    out.flush()?;
    Ok(0)
}

fn value(lists: &Lists) -> Value {
    let one = |list: &ListInfo| {
        let losses: serde_json::Map<_, _> = list
            .losses
            .each()
            .map(|(loss, number)| (loss.name().to_owned(), json!(number)))
            .collect();
        json!({
            "name": list.name, "form": list.form, "prefixes": list.prefixes, "domains": list.domains,
            "fingerprints": list.fingerprints, "allowed": list.allowed, "not_used": losses, "look_at": list.quoted,
        })
    };
    json!({
        "lists": lists.lists().iter().map(one).collect::<Vec<_>>(),
        "entries": lists.entries(),
        "memory_bytes": lists.bytes(),
    })
}

fn table(out: &mut dyn Write, lists: &Lists, took: Duration, style: Style) -> std::io::Result<()> {
    let mut table = Table::new(&[
        ("list", Align::Left),
        ("form", Align::Left),
        ("addresses", Align::Right),
        ("domains", Align::Right),
        ("fingerprints", Align::Right),
        ("not used", Align::Right),
    ]);
    for list in lists.lists() {
        table.row([
            list.name.clone(),
            list.form.to_owned(),
            count(list.prefixes as f64),
            count(list.domains as f64),
            count(list.fingerprints as f64),
            count(list.losses.total() as f64),
        ]);
    }
    table.write(out, "", style)?;
    for list in lists.lists() {
        if list.losses.total() > 0 {
            paragraph(
                out,
                &format!("{}: not used: {}", list.name, list.losses),
                "",
                style.width,
            )?;
        }
        for quoted in &list.quoted {
            paragraph(out, quoted, "  ", style.width)?;
        }
        if list.fingerprints > 0 {
            let text = format!(
                "{}: fingerprints are kept, and match nothing: no capture here sees TLS handshakes",
                list.name
            );
            paragraph(out, &text, "", style.width)?;
        }
        if list.allowed > 0 {
            let text = format!(
                "{}: {} entries never match, being allowed",
                list.name, list.allowed
            );
            paragraph(out, &text, "", style.width)?;
        }
    }
    writeln!(
        out,
        "{} entries in {}, read in {}; an address is looked up in {:.0} ns",
        count(lists.entries() as f64),
        bytes(lists.bytes() as f64),
        time::words(took.as_secs_f64()),
        look_up_ns(lists)
    )
}

/// Time of a look-up, over addresses of all the Internet, one after the other.
fn look_up_ns(lists: &Lists) -> f64 {
    const LOOKS: u32 = 1 << 20;
    let begun = Instant::now();
    let (mut state, mut found) = (1_u32, 0_usize);
    for _ in 0..LOOKS {
        // Numerical Recipes' linear congruential generator, and each address depends on the answer before it: as it is
        // for a caller who waits.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let address = IpAddr::V4((state ^ (found as u32 & 1)).into());
        found += lists.of_address(black_box(address)).count();
    }
    black_box(found);
    begun.elapsed().as_nanos() as f64 / f64::from(LOOKS)
}

fn lookup(args: &IntelLookup) -> Result<u8, Fault> {
    let setup = Setup::new(&args.common, &Flags::default().format(args.printed.format))?;
    let keeper = open(&setup, &named(&setup, &args.lists)?)?;
    let lists = keeper.current();
    let mut out = output(&args.printed.output.path)?;
    let style = style(&args.printed.output.path);
    for subject in &args.subjects {
        let found = lists.of_text(subject);
        let allowed = subject
            .parse()
            .ok()
            .and_then(|address| lists.allowed(address));
        if setup.config.output.format == Format::Json {
            let allowed = allowed.map(|prefix| prefix.to_string());
            let told = json!({"subject": subject, "matches": found, "allowed": allowed});
            writeln!(out, "{told}")?;
            continue;
        }
        let mut lines = Vec::new();
        for one in &found {
            let mut line = format!("{}: {} on list {}", one.subject, one.entry, one.list);
            if !one.label.is_empty() {
                line.push_str(&format!(", {}", one.label));
            }
            if !one.source.is_empty() {
                line.push_str(&format!(", says {}", one.source));
            }
            if let Some(confidence) = one.confidence {
                line.push_str(&format!(", confidence {confidence} of 100"));
            }
            lines.push(line);
        }
        if let Some(allowed) = allowed {
            lines.push(format!("{subject}: allowed by {allowed}"));
        } else if found.is_empty() {
            lines.push(format!("{subject}: on no list"));
        }
        for line in lines {
            paragraph(&mut out, &line, "", style.width)?;
        }
    }
    out.flush()?;
    Ok(0)
}
